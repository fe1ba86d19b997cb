/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_ROUTE_H
#define OMNIBUS_ROUTE_H

#include "send/transit.h"
#include "state/bus.h"

/*
 * The route layer: reading from peers, and the decision where each message goes.
 *
 * - input.c reads a peer's socket in bounded turns and hands complete messages, parsed and validated, to
 *   route_message, which decides by type and destination: another peer, the subscribers of a broadcast, the
 *   driver, or the parking place for a name without owner.
 * - Methods of the driver that read or change tables of the data plane are answered here (driver.c,
 *   names_fast.c, activate.c). All others go to the control plane, and their sender is stopped until the
 *   answer: messages of one sender are handled in order, wherever that happens.
 * - A message that waits for the control plane is held or parked as a copy, charged to its sender. Only a
 *   sender whose later messages could overtake it is stopped.
 * - Whether a receiver gets the message is not decided here but in send/.
 *
 * Routing each message into per-receiver queues for other threads was rejected: the order over all receivers,
 * which clients and monitors rely on, would have to be restored.
 */

/* Routes a message of a peer. fds remain the caller's. */
void route_message(struct bus *bus, struct peer *sender, const struct message *m, struct fds *fds);
/* Ends the wait for the message that the sender is stopped for, before it is freed. */
void route_answered(struct bus *bus, struct peer *sender);
/* Delivers to one peer if both policies allow it; otherwise the sender gets an error. */
bool route_unicast(struct transit *t, struct peer *to);
/* Parks a message to a name that has no owner, or for which messages are parked already. */
void route_park(struct transit *t);
/* Delivers a parked message if its destination has an owner by now; otherwise it stays parked. */
void route_parked(struct bus *bus, struct parked *parked);
void route_reject(struct bus *bus, struct parked *parked, const char *name, const char *text);
/*
 * Notes that the control plane has begun a start for the message, and has sent its messages about that.
 * Monitors see the parked message after those.
 */
void route_begun(struct bus *bus, struct parked *parked);
/* Hands a message to the control plane and stops its sender until the answer. */
void route_up(struct bus *bus, struct peer *sender, const struct message *m, struct fds *fds);
/* Hands up the name that a call of the driver is about, until the answer. False: no memory. */
bool route_hand_up_name(struct bus *bus, struct peer *sender, const struct message *m);
/* These report a message that is held, or parked, to a control plane that knows nothing of it. */
void route_held_again(struct bus *bus, struct peer *sender);
void route_parked_again(struct bus *bus, struct parked *parked);

#endif
