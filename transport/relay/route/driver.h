/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_DRIVER_H
#define OMNIBUS_DRIVER_H

#include "state/bus.h"

/*
 * Answers calls to org.freedesktop.DBus that only read or change tables of the data plane, those about names
 * that it decides about, and those with a prepared reply. False: the message is none of these, or not
 * well-formed, or its answer is not known here, and it goes to the control plane.
 */
bool driver_answer(struct bus *bus, struct peer *sender, const struct message *m);
/* The owner of a name: a peer, or NULL for the bus itself. *found: there is an owner. */
struct peer *driver_owner(const struct bus *bus, struct span name, bool *found);

#endif
