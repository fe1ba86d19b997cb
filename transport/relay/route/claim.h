/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_CLAIM_H
#define OMNIBUS_CLAIM_H

#include "state/bus.h"

/*
 * RequestName and ReleaseName of a name that is the data plane's (state/registry.h) and for which one answer
 * is possible; the control plane is told. False: the control plane has to answer.
 */
bool claim_name(struct bus *bus, struct peer *sender, const struct message *m, struct span name);
bool claim_release(struct bus *bus, struct peer *sender, const struct message *m, struct span name);

#endif
