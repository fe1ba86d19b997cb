/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_ACTIVATE_H
#define OMNIBUS_ACTIVATE_H

#include "send/transit.h"

/*
 * Questions about services, as far as the catalogue (state/catalog.h) and the names answer them. What remains
 * for the control plane: to start a service, and to read the catalogue if it is not current.
 */

/* StartServiceByName and ListActivatableNames. False: the control plane has to answer. */
bool activate_start(struct bus *bus, struct peer *sender, const struct message *m, struct span name);
bool activate_list(struct bus *bus, struct peer *sender, const struct message *m, struct span none);
/*
 * True if a message to a name without owner cannot start a service, and was answered. *current: it can, by a
 * catalogue that is current.
 */
bool activate_refuses(struct transit *t, bool *current);

#endif
