/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_LIFECYCLE_H
#define OMNIBUS_LIFECYCLE_H

#include "state/bus.h"

/* Makes an empty bus, and frees one with its connections. 0 or a negative errno; lifecycle_end is called also
 * after a failure. */
int lifecycle_begin(struct bus *bus, struct events *events, const char *guid);
void lifecycle_end(struct bus *bus);

#endif
