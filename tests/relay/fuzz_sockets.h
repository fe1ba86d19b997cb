/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_FUZZ_SOCKETS_H
#define OMNIBUS_FUZZ_SOCKETS_H

/*
 * A fake of the part of the kernel that the relay uses: Unix sockets with descriptors in their messages,
 * edge-triggered epoll, eventfd. Real system calls would take half of an input's time; these have no state
 * besides the input's, which chooses the size of their buffers. Descriptors from SOCKETS_FIRST on are fake,
 * all others belong to the real kernel.
 */

#include "fuzz_world.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#define SOCKETS_FIRST 4096
#define SOCKETS_DESCRIPTORS 512
#define SOCKETS_THINGS 96
#define SOCKETS_BUFFER (256u << 10)
#define SOCKETS_SEGMENTS 128u
#define SOCKETS_FDS 8u /* with one message; more are refused */
#define SOCKETS_WATCHES 96
#define SOCKETS_BACKLOG 16

enum thing_kind { THING_NONE, THING_PLAIN, THING_COUNTER, THING_EPOLL, THING_SOCKET, THING_LISTENER };

/* The data of one send in a buffer; bytes without descriptors are appended to the previous segment. */
struct segment {
    size_t size;
    uint32_t n_fds;
    struct thing *fds[SOCKETS_FDS];
};

struct watch {
    struct thing *thing;
    int fd;
    bool edge; /* something has happened since the event was last reported */
    struct epoll_event event;
};

struct thing {
    enum thing_kind kind;
    uint32_t references; /* references by descriptors, including those in messages */
    uint64_t count;      /* THING_COUNTER */
    struct thing *backlog[SOCKETS_BACKLOG];
    uint32_t n_backlog;
    /* THING_SOCKET: data to be read */
    struct thing *other; /* NULL: it is closed */
    bool packets, no_reading, no_writing;
    int error;
    uint32_t watched; /* bytes by which it is reduced */
    size_t capacity, begin, used;
    uint8_t *data; /* kept from one input to the next */
    struct segment segments[SOCKETS_SEGMENTS];
    uint32_t n_segments;
};

static struct thing things[SOCKETS_THINGS];
static struct thing *descriptors[SOCKETS_DESCRIPTORS];
static struct thing *sockets_epoll; /* the relay's; there is one at a time */
static struct watch watches[SOCKETS_WATCHES];
static uint32_t n_watches;

static inline struct thing *thing_new(enum thing_kind kind)
{
    for (struct thing *thing = things; thing < things + SOCKETS_THINGS; thing++) {
        if (thing->kind != THING_NONE)
            continue;
        thing->kind = kind;
        thing->references = thing->n_backlog = thing->n_segments = thing->watched = 0;
        thing->count = 0;
        thing->other = NULL;
        thing->packets = thing->no_reading = thing->no_writing = false;
        thing->error = 0;
        thing->capacity = SOCKETS_BUFFER;
        thing->begin = thing->used = 0;
        return thing;
    }
    abort();
}

static inline struct thing *thing_of(int fd)
{
    bool known = fd >= SOCKETS_FIRST && fd < SOCKETS_FIRST + SOCKETS_DESCRIPTORS;
    struct thing *thing = known ? descriptors[fd - SOCKETS_FIRST] : NULL;
    if (!thing)
        errno = EBADF;
    return thing;
}

static inline bool is_ours(int fd)
{
    return fd >= SOCKETS_FIRST;
}

static inline int descriptor_new(struct thing *thing)
{
    for (int i = 0; i < SOCKETS_DESCRIPTORS; i++) {
        if (descriptors[i])
            continue;
        descriptors[i] = thing;
        thing->references++;
        return SOCKETS_FIRST + i;
    }
    abort();
}

/* The number of open descriptors. */
static inline uint32_t descriptors_count(void)
{
    uint32_t n = 0;
    for (int i = 0; i < SOCKETS_DESCRIPTORS; i++)
        n += descriptors[i] != NULL;
    return n;
}

/* Marks an event that epoll may have to report. */
static inline void wake(const struct thing *thing)
{
    for (uint32_t i = 0; thing->watched && i < n_watches; i++) {
        if (watches[i].thing == thing)
            watches[i].edge = true;
    }
}

static inline uint32_t readiness(const struct thing *thing)
{
    switch (thing->kind) {
    case THING_COUNTER:
        return EPOLLOUT | (thing->count ? EPOLLIN : 0);
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

static inline void thing_unref(struct thing *thing);

static inline void socket_close(struct thing *thing)
{
    struct thing *other = thing->other;
    if (other) {
        other->other = NULL;
        other->error = thing->used ? ECONNRESET : 0;
        wake(other);
    }
    for (uint32_t i = 0; i < thing->n_segments; i++) {
        for (uint32_t k = 0; k < thing->segments[i].n_fds; k++)
            thing_unref(thing->segments[i].fds[k]);
    }
}

static inline void thing_unref(struct thing *thing)
{
    if (--thing->references > 0)
        return;
    if (thing->kind == THING_SOCKET)
        socket_close(thing);
    for (uint32_t i = 0; i < thing->n_backlog; i++)
        thing_unref(thing->backlog[i]);
    if (thing == sockets_epoll) {
        for (uint32_t i = 0; i < n_watches; i++)
            watches[i].thing->watched--;
        n_watches = 0;
        sockets_epoll = NULL;
    }
    for (uint32_t i = n_watches; thing->watched && i-- > 0;) {
        if (watches[i].thing == thing)
            watches[i] = watches[--n_watches];
    }
    thing->kind = THING_NONE;
}

int __real_close(int fd);

int __wrap_close(int fd)
{
    if (!is_ours(fd))
        return __real_close(fd);
    struct thing *thing = thing_of(fd);
    ASSERT(thing); /* closed twice */
    descriptors[fd - SOCKETS_FIRST] = NULL;
    thing_unref(thing);
    return 0;
}

static inline void sockets_pair(int ends[2], bool packets)
{
    struct thing *a = thing_new(THING_SOCKET), *b = thing_new(THING_SOCKET);
    a->other = b;
    b->other = a;
    a->packets = b->packets = packets;
    ends[0] = descriptor_new(a);
    ends[1] = descriptor_new(b);
}

static inline int sockets_listen(void)
{
    return descriptor_new(thing_new(THING_LISTENER));
}

/* -1: too many wait already. */
static inline int sockets_connect(int listener)
{
    struct thing *thing = thing_of(listener);
    int ends[2];
    if (thing->n_backlog == SOCKETS_BACKLOG)
        return -1;
    sockets_pair(ends, false);
    thing->backlog[thing->n_backlog] = thing_of(ends[1]);
    thing->backlog[thing->n_backlog++]->references++;
    __wrap_close(ends[1]);
    wake(thing);
    return ends[0];
}

/* Limits what the other end may write until this one reads. */
static inline void sockets_limit(int fd, size_t size)
{
    thing_of(fd)->capacity = size < SOCKETS_BUFFER ? size : SOCKETS_BUFFER;
}

static inline void sockets_shutdown(int fd, bool reading, bool writing)
{
    struct thing *thing = thing_of(fd), *other = thing->other;
    thing->no_reading |= reading;
    thing->no_writing |= writing;
    if (!other)
        return;
    other->no_reading |= writing;
    other->no_writing |= reading;
    wake(other);
}

int __wrap_accept4(int fd, struct sockaddr *address, socklen_t *size, int flags)
{
    (void)address, (void)size, (void)flags;
    struct thing *thing = thing_of(fd);
    if (world_fails(WORLD_ACCEPT))
        return -1;
    if (thing->n_backlog == 0) {
        errno = EAGAIN;
        return -1;
    }
    struct thing *first = thing->backlog[0];
    memmove(thing->backlog, thing->backlog + 1, --thing->n_backlog * sizeof(first));
    int accepted = descriptor_new(first);
    first->references--;
    return accepted;
}

/* Makes room for more bytes at the end. */
static inline uint8_t *socket_room(struct thing *thing, size_t size)
{
    if (!thing->data)
        thing->data = __real_malloc(SOCKETS_BUFFER);
    ASSERT(thing->data);
    if (thing->begin + thing->used + size > SOCKETS_BUFFER) {
        memmove(thing->data, thing->data + thing->begin, thing->used);
        thing->begin = 0;
    }
    return thing->data + thing->begin + thing->used;
}

/* The descriptors of a message, as things; false: there are too many, or they are not open. */
static inline bool control_things(const struct msghdr *header, struct segment *segment)
{
    segment->n_fds = 0;
    const struct cmsghdr *control = header->msg_control ? CMSG_FIRSTHDR(header) : NULL;
    if (!control)
        return true;
    size_t n = (control->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    errno = ETOOMANYREFS;
    for (size_t i = 0; i < n && n <= SOCKETS_FDS; i++) {
        int fd;
        memcpy(&fd, CMSG_DATA(control) + i * sizeof(fd), sizeof(fd));
        struct thing *thing = thing_of(fd);
        ASSERT(thing); /* no sender closes a descriptor before sending it */
        segment->fds[segment->n_fds++] = thing;
    }
    return n <= SOCKETS_FDS;
}

static inline size_t iov_size(const struct msghdr *header)
{
    size_t size = 0;
    for (size_t i = 0; i < header->msg_iovlen; i++)
        size += header->msg_iov[i].iov_len;
    return size;
}

static inline void socket_put(struct thing *to, const struct msghdr *header, size_t size,
                              const struct segment *like)
{
    uint8_t *at = socket_room(to, size);
    struct segment *last = to->n_segments ? &to->segments[to->n_segments - 1] : NULL;
    size_t left = size;
    for (size_t i = 0; i < header->msg_iovlen && left > 0; i++) {
        size_t n = header->msg_iov[i].iov_len < left ? header->msg_iov[i].iov_len : left;
        memcpy(at, header->msg_iov[i].iov_base, n);
        at += n;
        left -= n;
    }
    to->used += size;
    if (last && !to->packets && like->n_fds == 0 && last->n_fds == 0) {
        last->size += size;
        return;
    }
    to->segments[to->n_segments] = *like;
    to->segments[to->n_segments++].size = size;
    for (uint32_t i = 0; i < like->n_fds; i++)
        like->fds[i]->references++;
}

ssize_t __wrap_sendmsg(int fd, const struct msghdr *header, int flags)
{
    (void)flags;
    struct segment segment;
    struct thing *from = thing_of(fd);
    size_t size = iov_size(header);
    if (!from)
        return -1;
    struct thing *to = from->other;
    errno = EPIPE;
    /* the kernel looks for the other end before anything else can fail: there is no later edge to wait for */
    if (!to || from->no_writing)
        return -1;
    if (world_fails(header->msg_control ? WORLD_SEND_FDS : WORLD_SEND) || !control_things(header, &segment))
        return -1;
    errno = to->packets && size > to->capacity ? EMSGSIZE : EAGAIN;
    size_t room = to->capacity > to->used ? to->capacity - to->used : 0;
    if (room == 0 || to->n_segments == SOCKETS_SEGMENTS || (to->packets && size > room))
        return -1;
    size = size < room ? size : room;
    socket_put(to, header, size, &segment);
    wake(to);
    return (ssize_t)size;
}

ssize_t __wrap_send(int fd, const void *bytes, size_t size, int flags)
{
    struct iovec iov = {(void *)bytes, size};
    struct msghdr header = {.msg_iov = &iov, .msg_iovlen = 1};
    return __wrap_sendmsg(fd, &header, flags);
}

/* Descriptors that do not fit are closed. */
static inline void give_fds(struct segment *segment, struct msghdr *header, size_t room)
{
    uint32_t fit = room >= CMSG_LEN(sizeof(int)) ? (uint32_t)((room - CMSG_LEN(0)) / sizeof(int)) : 0;
    uint32_t n = segment->n_fds < fit ? segment->n_fds : fit;
    struct cmsghdr *control = header->msg_control;
    for (uint32_t i = 0; i < segment->n_fds; i++) {
        int fd = i < n ? descriptor_new(segment->fds[i]) : -1;
        if (i < n)
            memcpy(CMSG_DATA(control) + i * sizeof(fd), &fd, sizeof(fd));
        thing_unref(segment->fds[i]);
    }
    if (n > 0) {
        *control = (struct cmsghdr){CMSG_LEN(n * sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
        header->msg_controllen = CMSG_SPACE(n * sizeof(int)) < room ? CMSG_SPACE(n * sizeof(int)) : room;
    }
    header->msg_flags |= n < segment->n_fds ? MSG_CTRUNC : 0;
    segment->n_fds = 0;
}

static inline void end_segment(struct thing *thing)
{
    memmove(thing->segments, thing->segments + 1, --thing->n_segments * sizeof(struct segment));
}

/* A stream's read ends after a segment with descriptors, a packet's at its end. */
static inline size_t socket_take(struct thing *thing, struct msghdr *header, size_t room)
{
    uint8_t *to = header->msg_iov[0].iov_base;
    size_t left = header->msg_iov[0].iov_len, all = left;
    while (left > 0 && thing->n_segments > 0) {
        struct segment *segment = &thing->segments[0];
        bool last = segment->n_fds > 0 || thing->packets;
        size_t n = segment->size < left ? segment->size : left;
        memcpy(to + (all - left), thing->data + thing->begin, n);
        if (segment->n_fds > 0)
            give_fds(segment, header, room);
        header->msg_flags |= thing->packets && n < segment->size ? MSG_TRUNC : 0;
        size_t gone = thing->packets ? segment->size : n;
        thing->begin += gone;
        thing->used -= gone;
        segment->size -= gone;
        left -= n;
        if (segment->size == 0)
            end_segment(thing);
        if (last)
            break;
    }
    return all - left;
}

ssize_t __wrap_recvmsg(int fd, struct msghdr *header, int flags)
{
    (void)flags;
    struct thing *thing = thing_of(fd);
    size_t room = header->msg_controllen;
    if (!thing || world_fails(WORLD_RECEIVE))
        return -1;
    if (world.running && world.cut) {
        room = CMSG_SPACE(sizeof(int));
        world.cut = false;
    }
    header->msg_controllen = 0;
    header->msg_flags = 0;
    if (thing->n_segments > 0) {
        size_t n = socket_take(thing, header, room);
        if (thing->other && thing->used * 4 <= thing->capacity)
            wake(thing->other);
        return (ssize_t)n;
    }
    if (thing->error) {
        errno = thing->error;
        thing->error = 0;
        return -1;
    }
    errno = EAGAIN;
    return !thing->other || thing->no_reading ? 0 : -1;
}

int __wrap_epoll_create1(int flags)
{
    (void)flags;
    ASSERT(!sockets_epoll);
    sockets_epoll = thing_new(THING_EPOLL);
    return descriptor_new(sockets_epoll);
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
    ASSERT(thing_of(epoll) == sockets_epoll);
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
        ASSERT(n_watches < SOCKETS_WATCHES);
        watch = &watches[n_watches++];
        thing->watched++;
    }
    *watch = (struct watch){thing, fd, true, *event};
    return 0;
}

int __wrap_epoll_wait(int epoll, struct epoll_event *events, int max, int timeout)
{
    (void)timeout;
    ASSERT(thing_of(epoll) == sockets_epoll);
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

/* Only F_DUPFD_CLOEXEC and flags. */
int __wrap_fcntl(int fd, int command, ...)
{
    struct thing *thing = thing_of(fd);
    if (!thing)
        return -1;
    return command == F_DUPFD_CLOEXEC ? descriptor_new(thing) : 0;
}

static inline int world_option(const void *from, size_t n, void *value, socklen_t *size)
{
    errno = ERANGE;
    if (*size < n)
        return -1;
    memcpy(value, from, n);
    *size = (socklen_t)n;
    return 0;
}

static inline int option_number(int number, void *value, socklen_t *size)
{
    return world_option(&number, sizeof(number), value, size);
}

int __wrap_getsockopt(int fd, int level, int option, void *value, socklen_t *size)
{
    const struct thing *thing = thing_of(fd);
    (void)level;
    errno = ENOPROTOOPT;
    if (!thing || (thing->kind != THING_SOCKET && thing->kind != THING_LISTENER))
        return -1;
    switch (option) {
    case SO_TYPE:
        return option_number(thing->packets ? SOCK_SEQPACKET : SOCK_STREAM, value, size);
    case SO_DOMAIN:
        return option_number(AF_UNIX, value, size);
    case SO_PEERPIDFD:
        return world.user.pid ? option_number(descriptor_new(thing_new(THING_PLAIN)), value, size) : -1;
    case SO_PEERCRED:
        return world.user.pid < 0 ? -1 : world_option(&world.user, sizeof(world.user), value, size);
    case SO_PEERGROUPS:
        if (world.n_groups < 0)
            return -1;
        return world_option(world.groups, (size_t)world.n_groups * sizeof(gid_t), value, size);
    default:
        return world.label ? world_option(world.label, strlen(world.label), value, size) : -1;
    }
}

int __wrap_setsockopt(int fd, int level, int option, const void *value, socklen_t size)
{
    int wanted;
    struct thing *thing = thing_of(fd);
    (void)level;
    ASSERT(option == SO_SNDBUF && size == sizeof(wanted));
    memcpy(&wanted, value, sizeof(wanted));
    if (thing->other)
        thing->other->capacity = (size_t)wanted < SOCKETS_BUFFER ? (size_t)wanted : SOCKETS_BUFFER;
    return 0;
}

#endif
