/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_QUOTA_H
#define OMNIBUS_QUOTA_H

#include "state/bus.h"

/*
 * Who does not read is the one that suffers. What waits for a receiver is charged to who sent it, which slows
 * the sender down; after QUOTA_STALL_TIME without a byte taken it is charged to the receiver itself, and its
 * senders go on. A receiver with more than max_outgoing_bytes waiting is refused everything but replies and
 * what the bus says; it is cut off once it has taken nothing for QUOTA_STUCK_TIME as well.
 */
#define QUOTA_STALL_TIME 2000                 /* milliseconds */
#define QUOTA_STUCK_TIME 30000                /* milliseconds */
#define QUOTA_TICK 500                        /* milliseconds between looks at who has a backlog */
#define QUOTA_UID_CONNECTIONS 4u              /* full queues that one uid may have */
#define QUOTA_UID_BYTES (1024u * 1024 * 1024) /* but not more than this, unless one queue may be longer */

/* What waits for the connections of one uid. */
struct quota_uid {
    struct table_node node; /* bus.uids */
    uint32_t uid;
    uint32_t connections; /* with a backlog */
    uint64_t bytes;
};

/* What waits for one receiver from the senders of one uid. */
struct quota_share {
    struct quota_share *next;
    uint32_t uid;
    uint64_t bytes;
};

/* May a sender's message (NULL: the bus's) be said to the receiver, beyond what it has waiting already? */
bool quota_has_room(const struct bus *bus, const struct peer *sender, const struct peer *receiver);
/* Does the peer have so much under way, or so much waiting for it, that it is not read from? */
bool quota_exceeded(const struct bus *bus, const struct peer *peer);
/* A message was put into the queue, or taken from it. */
void quota_keep(struct bus *bus, struct peer *peer, struct outgoing *kept);
void quota_take(struct bus *bus, struct peer *peer, const struct outgoing *kept);
/* The socket took something. */
void quota_progress(struct peer *peer);
/* A message was refused; tells it once a backlog. */
void quota_refused(struct bus *bus, struct peer *peer);
/* Descriptors wait for their message to be whole, or no more. */
void quota_fds_wait(struct bus *bus, struct peer *peer);
/* Looks who has stalled. Returns the milliseconds until the next look; -1: there is nothing to look for. */
int quota_tick(struct bus *bus);

#endif
