/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_LEAVE_H
#define OMNIBUS_LEAVE_H

#include "state/bus.h"

#define LEAVE_STEPS 32
#define LEAVE_TIME 200 /* microseconds */

/*
 * A lost connection's names are for the control plane to give to others: it is told, and forgets it with a
 * command. Of one that has none, and that the control plane has had nothing to do with, it is told later.
 */
void leave(struct bus *bus, struct peer *peer);
/*
 * Forgets those that have left without having to do with the control plane, and settles more of the calls of
 * the others, for LEAVE_TIME and one step more; true: something is to be sent.
 */
bool leave_turn(struct bus *bus);
/* The unique name is given up, the socket closed, and no table knows the peer any more; it is freed when its
 * calls are settled. */
void leave_forget(struct bus *bus, struct peer *peer);
/*
 * The peer neither answers nor is answered any more: NoReply for those that wait for it, the latest call
 * first, as in the reference. There may be 50,000: so many as LEAVE_STEPS at once, the others in the turns
 * that follow.
 */
void leave_settle(struct bus *bus, struct peer *peer);

#endif
