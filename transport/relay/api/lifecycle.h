/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_LIFECYCLE_H
#define OMNIBUS_LIFECYCLE_H

#include "state/bus.h"

/*
 * Make an empty bus, and free a bus with its connections. 0 or a negative errno; lifecycle_end is also called
 * after a failure.
 */
int lifecycle_begin(struct bus *bus, struct events *events, const char *guid);
void lifecycle_end(struct bus *bus);

#endif
