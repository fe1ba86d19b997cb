/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_HELLO_H
#define OMNIBUS_HELLO_H

#include "state/bus.h"

/*
 * Answers Hello and reports that. False: the control plane has to decide, since a limit may be reached or a
 * monitor may want to see the call.
 */
bool hello_answer(struct bus *bus, struct peer *peer, const struct message *m);
/* Makes the peer active and sends the reply, NameOwnerChanged and NameAcquired. */
void hello_welcome(struct bus *bus, struct peer *peer, uint32_t serial);
/* Stops counting a lost peer. */
void hello_leave(struct bus *bus, struct peer *peer);

#endif
