/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_NAMES_FAST_H
#define OMNIBUS_NAMES_FAST_H

#include "state/bus.h"

/*
 * RequestName and ReleaseName: refuses what grammar, policy or limits forbid, then answers if the data plane
 * decides about the name (state/registry.h) and only one answer is possible, and reports the change. False:
 * the control plane has to answer, without checking anything again.
 */
bool names_fast_name(struct bus *bus, struct peer *sender, const struct message *m, struct span name);
bool names_fast_release(struct bus *bus, struct peer *sender, const struct message *m, struct span name);

#endif
