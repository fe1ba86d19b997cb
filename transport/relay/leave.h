/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_LEAVE_H
#define OMNIBUS_LEAVE_H

#include "bus.h"

/*
 * A lost connection's names are for the control plane to give to others: it is told, and forgets it with a
 * command. Of one that has none, and that the control plane has had nothing to do with, it is told later.
 */
void leave(struct bus *bus, struct peer *peer);
/* Forgets those who have left without having to do with the control plane; true: so something is to be sent.
 */
bool leave_turn(struct bus *bus);
/* The unique name is given up, and every caller gets NoReply; no table knows the peer any more. */
void leave_forget(struct bus *bus, struct peer *peer);
/* NoReply for who waits for the peer, the latest call first, as in the reference. */
void leave_answer_owed(struct bus *bus, struct peer *peer);

#endif
