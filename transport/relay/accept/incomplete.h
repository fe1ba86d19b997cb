/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_INCOMPLETE_H
#define OMNIBUS_INCOMPLETE_H

#include "state/bus.h"

void incomplete_add(struct bus *bus, struct incomplete *one, int64_t began);
void incomplete_remove(struct bus *bus, struct incomplete *one); /* once; later calls do nothing */
/* Changes the number of connections that are with the control plane. */
void incomplete_above(struct bus *bus, int32_t more);
/*
 * Disconnects clients that exceeded auth_timeout. Returns the milliseconds until the next one does; -1: none.
 */
int64_t incomplete_tick(struct bus *bus);

#endif
