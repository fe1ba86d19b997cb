/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_IN_ORDER_H
#define OMNIBUS_IN_ORDER_H

#include "state/bus.h"

/*
 * The contents of hash tables, in an order that does not depend on their keys. Arrays to be freed; NULL: no
 * memory.
 */
struct peer **peers_in_order(const struct bus *bus, uint32_t *n); /* by id */
/* By number, without those whose sender is gone: they are freed with the control plane's answer. */
struct parked **parked_in_order(const struct bus *bus, uint32_t *n);
struct handed **awaited_in_order(const struct bus *bus, uint32_t *n); /* by name */

#endif
