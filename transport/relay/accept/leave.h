/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_LEAVE_H
#define OMNIBUS_LEAVE_H

#include "state/bus.h"

#define LEAVE_STEPS 32
#define LEAVE_TIME 200 /* microseconds for one call of leave_turn */

/*
 * Begins the end of a lost connection. The control plane passes its names on: it gets GONE, and forgets the
 * peer with a command. A peer without names, of which the control plane has done nothing, is reported later
 * as LEFT.
 */
void leave(struct bus *bus, struct peer *peer);
/*
 * Forgets peers that left without involving the control plane, and settles calls of the others, for
 * LEAVE_TIME and one step more. True: something is to be sent.
 */
bool leave_turn(struct bus *bus);
/*
 * Releases the unique name, closes the socket and removes the peer from all tables. It is freed when its
 * calls are settled.
 */
void leave_forget(struct bus *bus, struct peer *peer);
/*
 * Answers calls to the peer with NoReply, the latest call first, as the reference does, and drops its own
 * calls. There may be 50,000: LEAVE_STEPS of them are settled at once, the others in the following turns.
 */
void leave_settle(struct bus *bus, struct peer *peer);

#endif
