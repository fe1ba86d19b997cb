/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_OUTPUT_H
#define OMNIBUS_OUTPUT_H

#include "state/bus.h"

/*
 * The send layer: who gets a message, in which form, and when it is written.
 *
 * - judge.c asks the policy for both ends and logs; deliver.c adds the other conditions (quotas, descriptors)
 *   and finds subscribers; monitor.c shows every message to monitors; say.c writes the messages of the bus.
 * - transit.c makes the outgoing form of a message once, when the first receiver is found. All receivers
 *   share it; each has a delivery that refers to it.
 * - Nothing is written while messages are routed. output_add queues a delivery, output_flush writes all of
 *   them at the end of the wake-up, with one system call per receiver. Until then messages lie in the batch
 *   and in the buffers they were received in; what a socket does not take is copied once, into memory charged
 *   to the sender.
 * - The order of messages to one receiver is the order of output_add. A flush may lose any peer.
 *
 * Writing each message at once was rejected: a burst would cost a system call per message and receiver. So
 * was copying each message on receipt: most are never queued.
 */

/* Queues a message for a peer, to be written at the end of this wake-up. */
void output_add(struct bus *bus, struct peer *peer, struct outgoing *out);
/* Loses the peer after one attempt to write its pending messages. */
void output_close(struct bus *bus, struct peer *peer, enum relay_gone reason);
/* Writes the pending messages of all peers, each with one system call unless descriptors require more. */
void output_flush(struct bus *bus);
/* Writes kept messages to a socket that has become writable. */
void output_continue(struct bus *bus, struct peer *peer);
/* Drops all messages for the peer. */
void output_drop(struct peer *peer);

#endif
