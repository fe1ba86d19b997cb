/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_DIRECT_H
#define OMNIBUS_DIRECT_H

#include "bus.h"

/*
 * Messages that go from client to client without this process: unix_multicast(7). All of these do nothing
 * while bus->direct is NULL.
 */

/* The descriptor is closed by direct_end, and here on failure. */
int direct_begin(struct bus *bus, int group, uint32_t max_members, bool trust_everybody);
void direct_end(struct bus *bus);

#endif
