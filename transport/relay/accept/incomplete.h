/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_INCOMPLETE_H
#define OMNIBUS_INCOMPLETE_H

#include "state/bus.h"

void incomplete_add(struct bus *bus, struct incomplete *one, int64_t began);
void incomplete_remove(struct bus *bus, struct incomplete *one); /* once; later calls do nothing */
/* More, or fewer, are with the control plane. */
void incomplete_above(struct bus *bus, int32_t more);
/* Shows out whose time is up. Milliseconds until the next one's is; -1: there is nobody. */
int64_t incomplete_tick(struct bus *bus);

#endif
