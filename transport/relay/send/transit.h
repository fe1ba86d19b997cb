/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_TRANSIT_H
#define OMNIBUS_TRANSIT_H

#include "state/bus.h"

/* One message under way through the router; its outgoing form is made when the first receiver is found. */
struct transit {
    struct bus *bus;
    struct peer *sender; /* NULL: the bus itself */
    const struct message *m;
    struct fds *fds;
    struct account *payer; /* who pays for what has to wait; NULL: the sender, or nobody if that is the bus */
    struct outgoing *out;
};

/* Delivers to one peer. False: no memory for it. */
bool transit_deliver(struct transit *t, struct peer *to);

#endif
