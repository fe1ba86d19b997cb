/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_SUBJECT_H
#define OMNIBUS_SUBJECT_H

#include "state/bus.h"

/* Names that are listed for each message. A client with 50,000 would make each cost two milliseconds. */
#define SUBJECT_NAMES_MAX 64u

/* What match rules know the sender of a message by, and its recipient. */
void subject_from(struct match_subject *subject, const struct bus *bus, struct peer *sender);
void subject_to(struct match_subject *subject, const struct bus *bus, struct peer *recipient);

#endif
