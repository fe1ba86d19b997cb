/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_FUZZ_SOCKETS_H
#define OMNIBUS_FUZZ_SOCKETS_H

/* Unix sockets with descriptors in their messages; the input chooses the size of their buffers. */

#include "fuzz_things.h"

#include <sys/socket.h>

#define SOCKETS_BUFFER (256u << 10)

static inline void socket_end(struct thing *thing)
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

static inline struct thing *socket_new(bool packets)
{
    struct thing *thing = thing_new(THING_SOCKET);
    thing->end = socket_end;
    thing->packets = packets;
    thing->capacity = SOCKETS_BUFFER;
    return thing;
}

static inline void sockets_pair(int ends[2], bool packets)
{
    struct thing *a = socket_new(packets), *b = socket_new(packets);
    a->other = b;
    b->other = a;
    ends[0] = descriptor_new(a);
    ends[1] = descriptor_new(b);
}

static inline void listener_end(struct thing *thing)
{
    for (uint32_t i = 0; i < thing->n_backlog; i++)
        thing_unref(thing->backlog[i]);
}

static inline int sockets_listen(void)
{
    struct thing *thing = thing_new(THING_LISTENER);
    thing->end = listener_end;
    return descriptor_new(thing);
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

int __wrap_sendmmsg(int fd, struct mmsghdr *messages, unsigned int n, int flags)
{
    ASSERT(n == 1);
    ssize_t sent = __wrap_sendmsg(fd, &messages->msg_hdr, flags);
    if (sent < 0)
        return -1;
    messages->msg_len = (unsigned int)sent;
    world_moment();
    return 1;
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
        *control = (struct cmsghdr){
            .cmsg_len = CMSG_LEN(n * sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
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

int __wrap_recvmmsg(int fd, struct mmsghdr *messages, unsigned int n, int flags, struct timespec *timeout)
{
    ASSERT(n == 1 && !timeout);
    ssize_t received = __wrap_recvmsg(fd, &messages->msg_hdr, flags);
    if (received < 0)
        return -1;
    messages->msg_len = (unsigned int)received;
    world_moment();
    return 1;
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
