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

/* Names that are listed for each message. A client with 50,000 would make each cost two milliseconds. */
#define TRANSIT_NAMES_MAX 64u

/* What match rules know the sender of a message by, and its recipient. */
void transit_subject_from(struct match_subject *subject, const struct bus *bus, struct peer *sender);
void transit_subject_to(struct match_subject *subject, const struct bus *bus, struct peer *recipient);

#endif
