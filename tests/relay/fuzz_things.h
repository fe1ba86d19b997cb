/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_FUZZ_THINGS_H
#define OMNIBUS_FUZZ_THINGS_H

/*
 * A fake of the part of the kernel that the relay uses: descriptors, and the things that they refer to. Real
 * system calls would take half of an input's time; these have no state besides the input's. Descriptors from
 * DESCRIPTORS_FIRST on are fake, all others belong to the real kernel.
 *
 * Sockets are in fuzz_sockets.h, epoll and eventfd in fuzz_epoll.h, inotify in fuzz_notify.h.
 */

#include "fuzz_world.h"

#include <stdarg.h>
#include <sys/epoll.h>
#include <sys/stat.h>

#define DESCRIPTORS_FIRST 4096
#define DESCRIPTORS 512
#define THINGS 96
#define WATCHES 96 /* of epoll */

/* Of sockets. */
#define SOCKETS_SEGMENTS 128u
#define SOCKETS_FDS 8u /* with one message; more are refused */
#define SOCKETS_BACKLOG 16

enum thing_kind {
    THING_NONE,
    THING_PLAIN,
    THING_COUNTER,
    THING_EPOLL,
    THING_SOCKET,
    THING_LISTENER,
    THING_NOTIFIER
};

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
    uint64_t number;                  /* of all things that ever were */
    uint32_t references;              /* references by descriptors, including those in messages */
    void (*end)(struct thing *thing); /* when the last reference is gone; NULL: nothing to do */
    uint64_t count;                   /* THING_COUNTER */
    const bool *urgent;               /* THING_COUNTER: it has EPOLLPRI as well; NULL: never */
    struct notifier *notifier;        /* THING_NOTIFIER */
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

static struct thing things[THINGS];
static struct thing *descriptors[DESCRIPTORS];
static struct watch watches[WATCHES];
static uint32_t n_watches;
static uint64_t n_things;

static inline struct thing *thing_new(enum thing_kind kind)
{
    for (struct thing *thing = things; thing < things + THINGS; thing++) {
        if (thing->kind != THING_NONE)
            continue;
        thing->kind = kind;
        thing->number = ++n_things;
        thing->references = thing->n_backlog = thing->n_segments = thing->watched = 0;
        thing->end = NULL;
        thing->count = 0;
        thing->notifier = NULL;
        thing->urgent = NULL;
        thing->other = NULL;
        thing->packets = thing->no_reading = thing->no_writing = false;
        thing->error = 0;
        thing->capacity = thing->begin = thing->used = 0;
        return thing;
    }
    abort();
}

static inline struct thing *thing_of(int fd)
{
    bool known = fd >= DESCRIPTORS_FIRST && fd < DESCRIPTORS_FIRST + DESCRIPTORS;
    struct thing *thing = known ? descriptors[fd - DESCRIPTORS_FIRST] : NULL;
    if (!thing)
        errno = EBADF;
    return thing;
}

static inline bool is_ours(int fd)
{
    return fd >= DESCRIPTORS_FIRST;
}

static inline int descriptor_new(struct thing *thing)
{
    for (int i = 0; i < DESCRIPTORS; i++) {
        if (descriptors[i])
            continue;
        descriptors[i] = thing;
        thing->references++;
        return DESCRIPTORS_FIRST + i;
    }
    abort();
}

/* The number of open descriptors. */
static inline uint32_t descriptors_count(void)
{
    uint32_t n = 0;
    for (int i = 0; i < DESCRIPTORS; i++)
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

static inline void thing_unref(struct thing *thing)
{
    if (--thing->references > 0)
        return;
    if (thing->end)
        thing->end(thing);
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
    descriptors[fd - DESCRIPTORS_FIRST] = NULL;
    thing_unref(thing);
    return 0;
}

int __real_fcntl(int fd, int command, ...);

/* Only F_DUPFD_CLOEXEC and flags; of the real kernel's descriptors what has a number as its argument. */
int __wrap_fcntl(int fd, int command, ...)
{
    if (fd >= 0 && !is_ours(fd)) {
        va_list arguments;
        va_start(arguments, command);
        int argument = va_arg(arguments, int);
        va_end(arguments);
        return __real_fcntl(fd, command, argument);
    }
    struct thing *thing = thing_of(fd);
    if (!thing)
        return -1;
    return command == F_DUPFD_CLOEXEC ? descriptor_new(thing) : 0;
}

int __real_fstat(int fd, struct stat *found);

int __wrap_fstat(int fd, struct stat *found)
{
    if (!is_ours(fd))
        return __real_fstat(fd, found);
    const struct thing *thing = thing_of(fd);
    if (!thing)
        return -1;
    *found = (struct stat){.st_dev = 1, .st_ino = 1 + (ino_t)(thing - things)};
    return 0;
}

#endif
