/* SPDX-License-Identifier: MIT */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "syscalls.h"

#include <limits.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#define CHUNK 65536u
#define MAX_EVENTS 4096 /* libdbus asks for 32 */
#define CONTROL_SIZE 4096u

bool syscall_waits(uint64_t number)
{
#ifdef SYS_epoll_wait
    if (number == SYS_epoll_wait)
        return true;
#endif
    return number == SYS_epoll_pwait || number == SYS_epoll_pwait2;
}

bool syscall_polls(const struct tracer *t)
{
    struct {
        int64_t seconds, nanoseconds;
    } time;
    if (t->call.number != SYS_epoll_pwait2)
        return (int32_t)t->call.args[3] == 0;
    if (t->call.args[3] == 0)
        return false; /* no limit */
    return !tracer_read(t, t->call.args[3], &time, sizeof(time)) ||
           (time.seconds == 0 && time.nanoseconds == 0);
}

/* One direction of one call, as its parts are passed on. */
struct movement {
    const struct tracer *tracer;
    struct traffic *traffic;
    int fd;
    bool writes, first, control;
    uint32_t n_fds;
    size_t left; /* of what was moved */
};

static void move(struct movement *m, const uint8_t *bytes, size_t n)
{
    if (m->writes) {
        traffic_write(m->traffic, m->fd, bytes, n, m->first);
    } else {
        const struct traffic_read read = {bytes, n, m->first, m->control, m->n_fds};
        traffic_read(m->traffic, m->fd, &read);
    }
    m->first = false;
}

static void move_buffer(struct movement *m, uint64_t at, uint64_t size)
{
    static uint8_t bytes[CHUNK];
    size_t n = size < m->left ? (size_t)size : m->left;
    m->left -= n;
    for (; n > 0; at += CHUNK, n -= n < CHUNK ? n : CHUNK) {
        size_t part = n < CHUNK ? n : CHUNK;
        if (!tracer_read(m->tracer, at, bytes, part)) {
            m->traffic->failed = true;
            return;
        }
        move(m, bytes, part);
    }
}

static void move_buffers(struct movement *m, uint64_t at, uint64_t n)
{
    for (uint64_t i = 0; i < n && i < IOV_MAX && m->left > 0; i++) {
        struct iovec part;
        if (!tracer_read(m->tracer, at + i * sizeof(part), &part, sizeof(part))) {
            m->traffic->failed = true;
            return;
        }
        move_buffer(m, (uintptr_t)part.iov_base, part.iov_len);
    }
}

/* The number of descriptors in what the kernel has written for recvmsg(2). */
static uint32_t count_descriptors(const struct tracer *t, const struct msghdr *header)
{
    union {
        uint8_t bytes[CONTROL_SIZE];
        struct cmsghdr aligned;
    } control;
    struct msghdr own = {.msg_control = control.bytes, .msg_controllen = header->msg_controllen};
    if (own.msg_controllen > sizeof(control.bytes))
        own.msg_controllen = sizeof(control.bytes);
    if (!tracer_read(t, (uintptr_t)header->msg_control, control.bytes, own.msg_controllen))
        return 1; /* some */
    uint32_t n = 0;
    for (struct cmsghdr *one = CMSG_FIRSTHDR(&own); one; one = CMSG_NXTHDR(&own, one)) {
        if (one->cmsg_len < CMSG_LEN(0))
            return n + 1;
        if (one->cmsg_level == SOL_SOCKET && one->cmsg_type == SCM_RIGHTS)
            n += (uint32_t)((one->cmsg_len - CMSG_LEN(0)) / sizeof(int));
    }
    return n;
}

static void note_message(struct movement *m, uint64_t at)
{
    struct msghdr header;
    if (!tracer_read(m->tracer, at, &header, sizeof(header))) {
        m->traffic->failed = true;
        return;
    }
    m->control = header.msg_control != NULL;
    if (!m->writes && header.msg_controllen > 0)
        m->n_fds = count_descriptors(m->tracer, &header);
    move_buffers(m, (uintptr_t)header.msg_iov, header.msg_iovlen);
}

static void note_movement(const struct tracer *tracer, struct traffic *traffic, bool writes)
{
    const struct tracer_call *call = &tracer->call;
    int fd = (int)call->args[0];
    if (call->result < 0 || !traffic_client(traffic, (uint64_t)(int64_t)fd))
        return;
    struct movement m = {tracer, traffic, fd, writes, .first = true, .left = (size_t)call->result};
    if (m.left == 0 && !writes)
        move(&m, (const uint8_t *)"", 0);
    else if (call->number == SYS_readv || call->number == SYS_writev)
        move_buffers(&m, call->args[1], call->args[2]);
    else if (call->number == SYS_recvmsg || call->number == SYS_sendmsg)
        note_message(&m, call->args[1]);
    else
        move_buffer(&m, call->args[1], call->args[2]);
}

void syscall_note(const struct tracer *tracer, struct traffic *traffic)
{
    const struct tracer_call *call = &tracer->call;
    switch (call->number) {
    case SYS_read:
    case SYS_readv:
    case SYS_recvfrom:
    case SYS_recvmsg:
        note_movement(tracer, traffic, false);
        break;
    case SYS_write:
    case SYS_writev:
    case SYS_sendto:
    case SYS_sendmsg:
        note_movement(tracer, traffic, true);
        break;
    case SYS_accept:
    case SYS_accept4:
        if (call->result >= 0)
            traffic_open(traffic, (int)call->result, true);
        break;
    case SYS_close:
        traffic_close(traffic, (int)call->args[0]);
        break;
    default:
        break;
    }
}

bool syscall_plug(const struct tracer *t)
{
    struct epoll_event events[MAX_EVENTS];
    int64_t n = t->call.result, kept = 0;
    if (n <= 0)
        return true;
    if (n > MAX_EVENTS || !tracer_read(t, t->call.args[1], events, (size_t)n * sizeof(*events)))
        return false;
    for (int64_t i = 0; i < n; i++) {
        if (events[i].events & EPOLLOUT) {
            events[kept] = events[i];
            events[kept++].events = EPOLLOUT;
        }
    }
    return tracer_write(t, t->call.args[1], events, (size_t)kept * sizeof(*events)) &&
           tracer_set_result(t, kept);
}
