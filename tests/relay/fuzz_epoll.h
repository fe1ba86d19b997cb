/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_FUZZ_EPOLL_H
#define OMNIBUS_FUZZ_EPOLL_H

/* Edge-triggered epoll, eventfd, and pipes that are eventfds as well. */

#include "fuzz_notify.h"
#include "fuzz_things.h"

static struct thing *epoll_thing; /* the relay's; there is one at a time */

static inline void epoll_end(struct thing *thing)
{
    (void)thing;
    for (uint32_t i = 0; i < n_watches; i++)
        watches[i].thing->watched--;
    n_watches = 0;
    epoll_thing = NULL;
}

static inline uint32_t readiness(const struct thing *thing)
{
    switch (thing->kind) {
    case THING_COUNTER:
        return EPOLLOUT | (thing->count ? EPOLLIN : 0) | (thing->urgent && *thing->urgent ? EPOLLPRI : 0);
    case THING_LISTENER:
        return thing->n_backlog ? EPOLLIN : 0;
    case THING_SOCKET: {
        const struct thing *other = thing->other;
        bool ended = thing->no_reading || !other;
        uint32_t ready = thing->used || ended ? EPOLLIN : 0;
        ready |= ended ? EPOLLRDHUP : 0;
        ready |= !other || (thing->no_reading && thing->no_writing) ? EPOLLHUP : 0;
        ready |= thing->error ? EPOLLERR : 0;
        return ready | (!other || other->used * 4 <= other->capacity ? EPOLLOUT : 0);
    }
    default:
        return 0;
    }
}

int __wrap_epoll_create1(int flags)
{
    (void)flags;
    ASSERT(!epoll_thing);
    epoll_thing = thing_new(THING_EPOLL);
    epoll_thing->end = epoll_end;
    return descriptor_new(epoll_thing);
}

/* NULL: this descriptor is not watched. */
static inline struct watch *watch_find(const struct thing *thing, int fd)
{
    for (struct watch *watch = watches; watch < watches + n_watches; watch++) {
        if (watch->thing == thing && watch->fd == fd)
            return watch;
    }
    return NULL;
}

int __wrap_epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event)
{
    struct thing *thing = thing_of(fd);
    ASSERT(thing_of(epoll) == epoll_thing);
    if (!thing || (operation != EPOLL_CTL_DEL && world_fails(WORLD_WATCH)))
        return -1;
    struct watch *watch = watch_find(thing, fd);
    errno = watch ? EEXIST : ENOENT;
    if (!watch == (operation != EPOLL_CTL_ADD))
        return -1;
    if (operation == EPOLL_CTL_DEL) {
        *watch = watches[--n_watches];
        thing->watched--;
        return 0;
    }
    if (!watch) {
        ASSERT(n_watches < WATCHES);
        watch = &watches[n_watches++];
        thing->watched++;
    }
    *watch = (struct watch){thing, fd, true, *event};
    return 0;
}

int __wrap_epoll_wait(int epoll, struct epoll_event *events, int max, int timeout)
{
    (void)timeout;
    ASSERT(thing_of(epoll) == epoll_thing);
    int n = 0;
    for (uint32_t i = 0; i < n_watches && n < max; i++) {
        struct watch *watch = &watches[i];
        if (watch->event.events & EPOLLET && !watch->edge)
            continue;
        uint32_t told = readiness(watch->thing) & (watch->event.events | EPOLLERR | EPOLLHUP);
        watch->edge = false;
        if (told)
            events[n++] = (struct epoll_event){.events = told, .data = watch->event.data};
    }
    return n;
}

int __wrap_eventfd(unsigned first, int flags)
{
    (void)flags;
    if (world_fails(WORLD_COUNTER))
        return -1;
    struct thing *thing = thing_new(THING_COUNTER);
    thing->count = first;
    return descriptor_new(thing);
}

/* The bytes don't matter, only that there are some. */
int __wrap_pipe2(int ends[2], int flags)
{
    if (world_fails(WORLD_PIPE))
        return -1;
    ends[0] = __wrap_eventfd(0, flags);
    ends[1] = descriptor_new(thing_of(ends[0]));
    return 0;
}

ssize_t __real_read(int fd, void *bytes, size_t size);
ssize_t __real_write(int fd, const void *bytes, size_t size);

ssize_t __wrap_read(int fd, void *bytes, size_t size)
{
    if (!is_ours(fd))
        return __real_read(fd, bytes, size);
    struct thing *thing = thing_of(fd);
    if (thing && thing->kind == THING_NOTIFIER)
        return notifier_read(thing->notifier, bytes, size);
    errno = EAGAIN;
    if (!thing || thing->count == 0 || size < sizeof(thing->count))
        return -1;
    memcpy(bytes, &thing->count, sizeof(thing->count));
    thing->count = 0;
    return sizeof(thing->count);
}

ssize_t __wrap_write(int fd, const void *bytes, size_t size)
{
    if (!is_ours(fd))
        return __real_write(fd, bytes, size);
    uint64_t more;
    struct thing *thing = thing_of(fd);
    ASSERT(thing && size == sizeof(more));
    memcpy(&more, bytes, sizeof(more));
    thing->count += more;
    wake(thing);
    return sizeof(more);
}

#endif
