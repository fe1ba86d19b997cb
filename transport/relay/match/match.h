/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_MATCH_H
#define OMNIBUS_MATCH_H

#include "base/list.h"
#include "wire/message.h"

#define MATCH_MAX_RULE_TEXT 1024u
#define MATCH_MAX_CANONICAL (2 * MATCH_MAX_RULE_TEXT + 256u) /* limit of match_rule_text */
/*
 * The match layer: match rules (D-Bus specification, "Match Rules"), and the index that finds the owners of
 * the rules that match a message.
 *
 * - A broadcast costs time in proportion to the rules that match, not to the rules that exist. Rules with the
 *   same keys share a shape; a message looks up the few values that it can have for the keys of each shape
 *   (match_find.c). Equal rules share one pattern.
 * - match_linear.c compares rule by rule. It is the definition that the tests hold the index against.
 * - No operation takes time in proportion to the rules of one connection, since it may have 50,000. The rules
 *   of a connection that has left stop matching at once and are removed by match_index_sweep.
 * - The layer knows texts and opaque owners, not peers; state/ and send/ connect the two.
 *
 * One hash table per key was rejected: a rule with several keys would be filed under one of them, and clients
 * choose which one is common to all. A decision tree over all rules was rejected for the cost of changing it.
 */

#define MATCH_SWEEP_TIME 200 /* microseconds for one call of match_index_sweep */

struct match_rule; /* D-Bus specification, "Match Rules" */
struct match_index;

/*
 * Parses a rule. 0; -ENOMEM; -EINVAL (MatchRuleInvalid) or -E2BIG (LimitsExceeded: longer than
 * MATCH_MAX_RULE_TEXT), with the message of the reference in why.
 */
int match_rule_parse(struct span text, struct match_rule **rule, char *why, size_t why_size);
/* The same for a text of match_rule_text, which may be longer, and have one key more. 0, -ENOMEM or -EINVAL.
 */
int match_rule_parse_canonical(struct span text, struct match_rule **rule);
void match_rule_free(struct match_rule *rule); /* NULL is fine; must not be in an index */
bool match_rule_equal(const struct match_rule *a, const struct match_rule *b);
bool match_rule_eavesdrops(const struct match_rule *rule);
/*
 * True if a broadcast can match. *sender is the name that its sender has to have; without text: any will do.
 */
bool match_rule_takes_broadcasts(const struct match_rule *rule, struct span *sender);
/* Implies eavesdrop='true', for the rules of monitors. Only before the rule is added to an index. */
void match_rule_set_eavesdrop(struct match_rule *rule);
/* Writes the rule in the canonical form of the reference. Returns its length, like snprintf. */
size_t match_rule_text(const struct match_rule *rule, char *out, size_t size);
size_t match_rule_memory(const struct match_rule *rule); /* bytes, for accounting */

/* The rules of one connection, in the order of AddMatch; the index and the list share the rule. */
struct match_list {
    struct match_rule *first, *last;
    uint32_t count, eavesdroppers;
    size_t memory;           /* the sum of match_rule_memory */
    void *owner;             /* the connection, passed to the visitor; NULL: it is gone */
    struct list in_departed; /* index.departed */
};

struct match_list *match_list_new(void *owner); /* NULL: no memory */

static inline uint32_t match_list_count(const struct match_list *list)
{
    return list ? list->count : 0;
}

int match_index_new(struct match_index **index);
void match_index_free(struct match_index *index); /* frees remaining rules; does not access lists */
/* The rules of present owners, and how many of these have eavesdrop=true. */
uint32_t match_index_count(const struct match_index *index);
uint32_t match_index_eavesdroppers(const struct match_index *index);
/*
 * Takes ownership of the rule on success. Returns the rule in the index, perhaps an equal one of the same
 * list. NULL: no memory.
 */
struct match_rule *match_index_add(struct match_index *index, struct match_list *list,
                                   struct match_rule *rule);
/* Adds more copies of a rule that match_index_add returned. */
void match_index_repeat(struct match_index *index, struct match_rule *rule, uint32_t n);
/* Removes one copy of the rule of the list (NULL: empty) that equals the given one. False: there is none. */
bool match_index_remove(struct match_index *index, struct match_list *list, const struct match_rule *like);
/* How many copies of the rule that equals the given one the list (NULL: empty) has. */
uint32_t match_index_copies(const struct match_index *index, const struct match_list *list,
                            const struct match_rule *like);
/*
 * Ends the rules of an owner that is gone: they no longer match or count. Takes ownership of the list (NULL
 * is fine) in constant time; match_index_sweep removes the rules.
 */
void match_index_depart(struct match_index *index, struct match_list *list);
/*
 * Ends a unique name, which is never reused: rules of any list with it as sender or destination are removed,
 * as by the reference when a connection ends. They can match nothing any more, so the sweep removes them.
 */
void match_index_forget(struct match_index *index, struct span name);
/*
 * Removes ended rules, for at most MATCH_SWEEP_TIME. True: some are left. A connection may have 50,000 rules,
 * and be named in as many of others; removing all of them at once would delay every other client.
 */
bool match_index_sweep(struct match_index *index);
bool match_index_is_swept(const struct match_index *index);
/*
 * Iterates over the rules of a list (NULL: empty), for exports: NULL starts, NULL ends. Equal rules are one.
 */
const struct match_rule *match_list_next(const struct match_list *list, const struct match_rule *rule);
uint32_t match_rule_copies(const struct match_rule *rule); /* how often the rule was added */

/* What rules are compared with, besides the message. */
struct match_subject {
    const struct message *m;
    const struct span
        *sender_names; /* the unique name of the sender, then all well-known names that it owns */
    uint32_t n_sender_names;
    /* of the addressed recipient; none if it is unknown: then the DESTINATION of the message counts */
    const struct span *recipient_names;
    uint32_t n_recipient_names;
    /* A peer with too many names to list: the list has its unique name, and owns answers for the others. */
    const void *sender, *recipient;
    bool (*owns)(const void *names, const void *peer, struct span name);
    const void *names;
    bool eavesdropping; /* only rules with eavesdrop=true count (the message is not a broadcast) */
};

typedef void (*match_visit)(void *context, void *owner);
/*
 * Calls visit for the owner of every rule that matches, in no order: once for each matching rule, not for
 * each copy of it. visit must not change the index. Returns the cost in steps of about 20 ns.
 */
uint64_t match_index_find(struct match_index *index, const struct match_subject *subject, match_visit visit,
                          void *context);
/* True if a rule of the list matches, by comparing each one without the index: the oracle of tests. */
bool match_list_matches(const struct match_list *list, const struct match_subject *subject);

#endif
