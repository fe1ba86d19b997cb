/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_CREDENTIALS_H
#define OMNIBUS_CREDENTIALS_H

#include "state/bus.h"

/* GetConnectionUnixUser, GetConnectionUnixProcessID and GetConnectionCredentials; all are answered here. */
bool credentials_user(struct bus *bus, struct peer *sender, const struct message *m, struct span name);
bool credentials_process(struct bus *bus, struct peer *sender, const struct message *m, struct span name);
bool credentials_all(struct bus *bus, struct peer *sender, const struct message *m, struct span name);

#endif
