/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_HELLO_H
#define OMNIBUS_HELLO_H

#include "state/bus.h"

/*
 * Answers Hello, which the control plane is told of. False: it has to decide, since a limit may be reached,
 * or since somebody wants to see the call.
 */
bool hello_answer(struct bus *bus, struct peer *peer, const struct message *m);
/* The peer becomes active: the reply, NameOwnerChanged and NameAcquired. */
void hello_welcome(struct bus *bus, struct peer *peer, uint32_t serial);
/* It is lost, and counts no more. */
void hello_leave(struct bus *bus, struct peer *peer);

#endif
