/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_ROUTE_H
#define OMNIBUS_ROUTE_H

#include "send/transit.h"
#include "state/bus.h"

/* Where a message goes that a peer sent. fds stay the caller's. */
void route_message(struct bus *bus, struct peer *sender, const struct message *m, struct fds *fds);
/* The control plane is done with the message that the sender is stopped for, which is freed next. */
void route_answered(struct bus *bus, struct peer *sender);
/* To one peer, if both policies allow it; the sender is told if not. */
bool route_unicast(struct transit *t, struct peer *to);
/* The name has no owner yet, or others wait for it already. */
void route_park(struct transit *t);
/* A parked message whose destination may have an owner now; without one it stays parked. */
void route_parked(struct bus *bus, struct parked *parked);
void route_reject(struct bus *bus, struct parked *parked, const char *name, const char *text);
/* The control plane has begun a start for it, and has said what it had to say before: monitors see the
 * message behind that. */
void route_begun(struct bus *bus, struct parked *parked);
/* A message for the control plane: its sender is stopped until the answer. */
void route_up(struct bus *bus, struct peer *sender, const struct message *m, struct fds *fds);

#endif
