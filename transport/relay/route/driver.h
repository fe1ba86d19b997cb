/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_DRIVER_H
#define OMNIBUS_DRIVER_H

#include "state/bus.h"

/*
 * The calls to org.freedesktop.DBus that only read or touch the data plane's own tables are answered here,
 * and those for names that nobody disputes. False: the message is not one of them, or not well-formed, and
 * goes to the control plane.
 */
bool driver_answer(struct bus *bus, struct peer *sender, const struct message *m);

#endif
