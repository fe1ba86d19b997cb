/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_DELIVER_H
#define OMNIBUS_DELIVER_H

#include "send/judge.h"
#include "send/transit.h"

/* Everything besides policies that can keep a message from its receiver; owed: it does not count against the
 * queue. */
bool deliver_fits(struct bus *bus, const struct policy_case *c, const struct fds *fds, bool owed,
                  struct denial *denial);
/* To all peers whose rules match but the one that it is addressed to; unicast: only to those that eavesdrop.
 */
void deliver_spread(struct transit *t, struct peer *addressed, bool unicast);
/* A unicast message to those that eavesdrop; addressed NULL: it is for the bus. */
void deliver_overheard(struct transit *t, struct peer *addressed);
/* A message of the bus itself, to one peer or (NULL) to all whose rules match. */
void deliver_said(struct bus *bus, struct peer *to, const struct message *m, struct fds *fds);

#endif
