/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_ROUTE_H
#define OMNIBUS_ROUTE_H

#include "bus.h"

/* Where a message goes that a peer sent. fds stay the caller's. */
void route_message(struct bus *bus, struct peer *sender, const struct message *m, struct fds *fds);
/* A message of the bus itself, to one peer or (NULL) to all whose rules match. */
void route_said(struct bus *bus, struct peer *to, const struct message *m, struct fds *fds);
/* A parked message whose destination may have an owner now; without one it stays parked. */
void route_parked(struct bus *bus, struct parked *parked);
/* A message for the control plane: its sender is stopped until the answer. */
void route_up(struct bus *bus, struct peer *sender, const struct message *m, struct fds *fds);

#endif
