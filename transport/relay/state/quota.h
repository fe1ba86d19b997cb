/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_QUOTA_H
#define OMNIBUS_QUOTA_H

#include "state/bus.h"

/*
 * Back-pressure falls on the receiver that does not read. Queued messages are charged to their sender, which
 * slows the sender down; after QUOTA_STALL_TIME without a byte taken they are charged to the receiver itself,
 * and its senders go on. A receiver with more than max_outgoing_bytes queued is refused all messages but
 * replies and those of the bus; it is disconnected once it has taken nothing for QUOTA_STUCK_TIME as well.
 */
#define QUOTA_STALL_TIME 2000                 /* milliseconds */
#define QUOTA_STUCK_TIME 30000                /* milliseconds */
#define QUOTA_TICK 500                        /* milliseconds between checks of backlogs */
#define QUOTA_UID_CONNECTIONS 4u              /* limit of full queues of one uid */
#define QUOTA_UID_BYTES (1024u * 1024 * 1024) /* limit of their bytes, unless one queue may be longer */

/* The messages queued for one receiver from senders of one uid. */
struct quota_share {
    struct quota_share *next;
    uint32_t uid;
    uint64_t bytes;
};

/* The same for a receiver that has a queue. */
bool quota_queue_has_room(const struct bus *bus, const struct peer *sender, const struct peer *receiver);
/* True if the receiver may get another message of the sender (NULL: the bus), given its queue. */
static inline bool quota_has_room(const struct bus *bus, const struct peer *sender,
                                  const struct peer *receiver)
{
    if (!receiver->output.queue.first)
        return receiver->output.pending_bytes <= bus->limits.max_outgoing_bytes;
    return quota_queue_has_room(bus, sender, receiver);
}
/* True if the peer has so much in flight, or queued for it, that it is not read from. */
static inline bool quota_exceeded(const struct bus *bus, const struct peer *peer)
{
    return peer->account->bytes >= bus->limits.max_incoming_bytes ||
           peer->account->fds >= bus->limits.max_incoming_unix_fds ||
           peer->output.queued_bytes > bus->limits.max_outgoing_bytes;
}
/* Account for a message put into the queue, or removed from it. */
void quota_keep(struct bus *bus, struct peer *peer, struct outgoing *kept);
void quota_take(struct peer *peer, const struct outgoing *kept);
/* Notes that the socket took bytes. */
void quota_progress(struct peer *peer);
/* Notes a refused message; logs it once per backlog. */
void quota_refused(struct bus *bus, struct peer *peer);
/* Notes whether descriptors wait for their message to be complete. */
void quota_fds_wait(struct bus *bus, struct peer *peer);
/* Checks for stalled receivers. Returns the milliseconds until the next check; -1: none is needed. */
int quota_tick(struct bus *bus);
static inline bool quota_waits(const struct bus *bus)
{
    return !list_empty(&bus->backlogs) || !list_empty(&bus->fd_waits);
}

#endif
