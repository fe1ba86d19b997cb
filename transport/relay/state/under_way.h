/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_UNDER_WAY_H
#define OMNIBUS_UNDER_WAY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>

struct delivery;
struct delivery_list;
struct peer;

/*
 * What the data plane has begun and not recorded yet, so that a standby can complete it if the bus is killed
 * in between (resume/salvage.c).
 *
 * - A read and a write go through recvmmsg(2) and sendmmsg(2), with one message each: the kernel itself
 *   stores how many bytes were moved, within the call. So a process that is killed never leaves bytes behind
 *   that are neither in the socket nor noted.
 * - A note is in force while it has a peer. It is ended, with a release store, when the tables say all that
 *   it says; then it changes nothing.
 * - Of the messages that are routed the one between two offsets may be routed in part. Each of the two is
 *   moved by a single store: before the message is routed, and after it.
 *
 * Rejected: a note of the length after recvmsg(2). A fifth of the time of a busy bus is spent in these calls,
 * and a process that is killed there would lose what it has read.
 */

#define UNDER_WAY_FDS 253 /* the kernel's SCM_MAX_FD */

/* As struct mmsghdr, which is declared with _GNU_SOURCE only. */
struct noted_call {
    struct msghdr header;
    unsigned int moved; /* bytes, as the kernel stores them */
};

/* A read of a connection, until its messages are routed and the rest is in the connection's tail. */
struct read_note {
    struct peer *_Atomic peer; /* NULL: none */
    const uint8_t *data;       /* the input that was there before, followed by what the call adds */
    size_t have;               /* bytes of the former */
    size_t doubtful,
        routed;       /* offsets in data: what precedes both is routed, the message between them in part */
    uint32_t n_fds;   /* unclaimed descriptors of the peer before that message claimed its own */
    uint32_t had_fds; /* the same before the read */
    bool fds_open;    /* the peer's before the read, too */
    bool claimed;     /* the descriptors that came with the read are the peer's */
    struct noted_call call;
    struct iovec iov; /* its buffer */
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(UNDER_WAY_FDS * sizeof(int))];
};

/* A write to a connection, until its queue is shortened by it. */
struct write_note {
    struct peer *_Atomic peer; /* NULL: none */
    struct delivery_list *list;
    struct delivery *first; /* of the list, when the call was made */
    size_t offset;          /* bytes of the first that were sent before */
    struct noted_call call;
};

struct under_way {
    struct read_note reading;
    struct write_note writing;
};

static inline void read_note_end(struct read_note *reading)
{
    atomic_store_explicit(&reading->peer, NULL, memory_order_release);
}

static inline void read_note_begin(struct read_note *reading, struct peer *peer, const uint8_t *data,
                                   size_t have)
{
    read_note_end(reading);
    atomic_signal_fence(memory_order_seq_cst); /* for the compiler: a process ends between instructions */
    reading->data = data;
    reading->have = have;
    reading->doubtful = reading->routed = 0;
    reading->call.moved = 0;
    reading->claimed = true;
    atomic_store_explicit(&reading->peer, peer, memory_order_release);
}

/* Before the call. */
static inline void write_note_begin(struct write_note *writing, struct peer *peer, struct delivery_list *list,
                                    struct delivery *first, size_t offset)
{
    writing->list = list;
    writing->first = first;
    writing->offset = offset;
    writing->call.moved = 0;
    atomic_store_explicit(&writing->peer, peer, memory_order_release);
}

static inline void write_note_end(struct write_note *writing)
{
    atomic_store_explicit(&writing->peer, NULL, memory_order_release);
}

#endif
