/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_TRANSIT_H
#define OMNIBUS_TRANSIT_H

#include "state/bus.h"

/* A message being routed. Its outgoing form is made when the first receiver is found. */
struct transit {
    struct bus *bus;
    struct peer *sender; /* NULL: the bus itself */
    const struct message *m;
    struct fds *fds;
    struct account *payer; /* charged for queued copies; NULL: the sender, or none for the bus */
    struct outgoing *out;
};

/* Delivers to one peer. False: no memory. */
bool transit_deliver(struct transit *t, struct peer *to);

/* Limit of names listed for a message: listing 50,000 would take two milliseconds for each message. */
#define TRANSIT_NAMES_MAX 64u

/* Fills in the names by which match rules know the sender of a message and its recipient. */
void transit_subject_from(struct match_subject *subject, const struct bus *bus, struct peer *sender);
void transit_subject_to(struct match_subject *subject, const struct bus *bus, struct peer *recipient);

#endif
