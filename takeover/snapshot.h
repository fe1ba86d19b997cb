/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_TAKEOVER_SNAPSHOT_H
#define OMNIBUS_TAKEOVER_SNAPSHOT_H

#include "wire/message.h"

#include <stddef.h>

/*
 * What the daemon says of its names and match rules. The answers are hostile input: they come from another
 * program, with texts of all of its clients.
 */

struct snapshot_name {
    char *text;
    uint64_t *queue; /* primary owner first */
    uint32_t n;
};

struct snapshot_rule {
    uint64_t peer;
    char *text; /* canonical, of size bytes */
    uint32_t size, copies;
};

struct snapshot {
    char guid[33];
    uint64_t *ids; /* of all unique names, in order */
    uint32_t n_ids;
    struct snapshot_name *names;
    uint32_t n_names;
    struct snapshot_rule *rules; /* by peer, and in the order of AddMatch */
    uint32_t n_rules;
    char why[256]; /* what could not be read */
};

/* Each takes the reply of one method. False: it can't be used, and why says that. */
bool snapshot_take_guid(struct snapshot *s, const struct message *reply);  /* GetId */
bool snapshot_take_names(struct snapshot *s, const struct message *reply); /* ListNames */
/* ListQueuedOwners of names[i]. A name that has no owner any more has an empty queue. */
bool snapshot_take_queue(struct snapshot *s, uint32_t i, const struct message *reply);
bool snapshot_take_rules(struct snapshot *s, const struct message *reply); /* GetAllMatchRules */
void snapshot_free(struct snapshot *s);

/* The place of a unique name among ids; UINT32_MAX: it is not there. */
uint32_t snapshot_place(const struct snapshot *s, uint64_t id);
static inline bool snapshot_has(const struct snapshot *s, uint64_t id)
{
    return snapshot_place(s, id) != UINT32_MAX;
}
/* NULL: no such name. */
const struct snapshot_name *snapshot_name(const struct snapshot *s, const char *text);
bool snapshot_eavesdrops(const struct snapshot *s, uint64_t peer);

#endif
