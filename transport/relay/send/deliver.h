/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_DELIVER_H
#define OMNIBUS_DELIVER_H

#include "send/judge.h"
#include "send/transit.h"

/*
 * Checks everything besides the policy that can keep a message from its receiver. owed: the receiver is owed
 * the message, so a full queue does not matter.
 */
bool deliver_fits(struct bus *bus, const struct policy_case *c, const struct fds *fds, bool owed,
                  struct denial *denial);
/*
 * Delivers to all peers whose rules match, except the addressed one; unicast: only to those that eavesdrop.
 */
void deliver_spread(struct transit *t, struct peer *addressed, bool unicast);
/* Delivers a unicast message to eavesdroppers. addressed NULL: it is for the bus. */
static inline void deliver_overheard(struct transit *t, struct peer *addressed)
{
    if (match_index_eavesdroppers(t->bus->matches) > 0)
        deliver_spread(t, addressed, true);
}
/* Delivers a message of the bus itself, to one peer or (NULL) to all whose rules match. */
void deliver_said(struct bus *bus, struct peer *to, const struct message *m, struct fds *fds);

#endif
