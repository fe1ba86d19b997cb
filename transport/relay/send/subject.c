/* SPDX-License-Identifier: MIT */
#include "send/subject.h"

static bool owns(const void *names, const void *peer, struct span name)
{
    return name_owner(registry_find(names, name)) == peer;
}

/* True: it has too many to list. */
static bool has_many(struct match_subject *subject, const struct bus *bus, const struct peer *peer)
{
    subject->names = &bus->registry;
    subject->owns = owns;
    return peer->n_claims > SUBJECT_NAMES_MAX;
}

void subject_from(struct match_subject *subject, const struct bus *bus, struct peer *sender)
{
    if (!has_many(subject, bus, sender)) {
        subject->sender_names = registry_names(sender, &subject->n_sender_names);
        return;
    }
    subject->sender_names = &sender->unique;
    subject->n_sender_names = 1;
    subject->sender = sender;
}

void subject_to(struct match_subject *subject, const struct bus *bus, struct peer *recipient)
{
    if (!has_many(subject, bus, recipient)) {
        subject->recipient_names = registry_names(recipient, &subject->n_recipient_names);
        return;
    }
    subject->recipient_names = &recipient->unique;
    subject->n_recipient_names = 1;
    subject->recipient = recipient;
}
