/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_MATCH_H
#define OMNIBUS_MATCH_H

#include "base/list.h"
#include "wire/message.h"

#define MATCH_MAX_RULE_TEXT 1024u
#define MATCH_SWEEP_TIME 200 /* microseconds */

struct match_rule; /* D-Bus specification, "Match Rules" */
struct match_index;

/*
 * Parses a rule. 0; -ENOMEM; -EINVAL (MatchRuleInvalid) or -E2BIG (LimitsExceeded: longer than
 * MATCH_MAX_RULE_TEXT), with the reference's sentence in why.
 */
int match_rule_parse(struct span text, struct match_rule **rule, char *why, size_t why_size);
void match_rule_free(struct match_rule *rule); /* NULL is fine; must not be in an index */
bool match_rule_equal(const struct match_rule *a, const struct match_rule *b);
bool match_rule_eavesdrops(const struct match_rule *rule);
/* As if it said eavesdrop='true', which monitors needn't say; not once it is in an index. */
void match_rule_set_eavesdrop(struct match_rule *rule);
/* The rule in the reference's canonical words; returns the length that it has, like snprintf. */
size_t match_rule_text(const struct match_rule *rule, char *out, size_t size);
size_t match_rule_memory(const struct match_rule *rule); /* bytes, for accounting */

/* The rules of one connection, in the order of AddMatch; the index and the list share the rule. */
struct match_list {
    struct match_rule *first, *last;
    uint32_t count, eavesdroppers;
    size_t memory;           /* of all of them, as match_rule_memory has it */
    void *owner;             /* the connection; handed to the visitor. NULL: it is gone */
    struct list in_departed; /* index.departed */
};

struct match_list *match_list_new(void *owner); /* NULL: no memory */

static inline uint32_t match_list_count(const struct match_list *list)
{
    return list ? list->count : 0;
}

int match_index_new(struct match_index **index);
void match_index_free(struct match_index *index); /* rules still in it are freed; no list is touched */
/* Rules of owners that are there, and those of them with eavesdrop=true. */
uint32_t match_index_count(const struct match_index *index);
uint32_t match_index_eavesdroppers(const struct match_index *index);
/* Takes the rule over on success: the one that is in the index, perhaps an equal one of the list. NULL: no
 * memory. */
struct match_rule *match_index_add(struct match_index *index, struct match_list *list,
                                   struct match_rule *rule);
/* Removes the rule of the list (NULL: of none) that equals the given one, once; false: there is none. */
bool match_index_remove(struct match_index *index, struct match_list *list, const struct match_rule *like);
/*
 * The owner is gone: its rules match and count no more. Takes the list (NULL is fine) over, in constant time;
 * match_index_sweep removes the rules.
 */
void match_index_depart(struct match_index *index, struct match_list *list);
/*
 * A unique name is gone for good: the rules of all lists that have it as sender or destination are to be
 * removed, as the reference does when a connection ends. They match nothing any more, so the sweep does it.
 */
void match_index_forget(struct match_index *index, struct span name);
/*
 * Removes what is to be removed, for MATCH_SWEEP_TIME at most; true: there is more. A connection may have
 * 50,000 rules, and be named in all those of others: nobody else is to wait for that.
 */
bool match_index_sweep(struct match_index *index);
bool match_index_is_swept(const struct match_index *index);
/* The rules of a list (NULL: of none), for exports: NULL starts, NULL ends. Equal ones are one. */
const struct match_rule *match_list_next(const struct match_list *list, const struct match_rule *rule);
uint32_t match_rule_copies(const struct match_rule *rule); /* how often it was added */

/* What a rule is compared with, besides the message. */
struct match_subject {
    const struct message *m;
    const struct span *sender_names; /* the sender's unique name, then all well-known names that it owns */
    uint32_t n_sender_names;
    /* of the addressed recipient; none where that is not known: then the message's own DESTINATION counts */
    const struct span *recipient_names;
    uint32_t n_recipient_names;
    /* Of one with too many names to list: the list has its unique name, and owns tells of the others. */
    const void *sender, *recipient;
    bool (*owns)(const void *names, const void *peer, struct span name);
    const void *names;
    bool eavesdropping; /* only rules with eavesdrop=true are asked (the message is not a broadcast) */
};

typedef void (*match_visit)(void *context, void *owner);
/*
 * Calls visit for the owner of every rule that matches, in no order. An owner comes once for each of its
 * rules that match, not for each copy of one. visit must not change the index. Returns what that has cost, in
 * steps of some 20 ns.
 */
uint64_t match_index_find(struct match_index *index, const struct match_subject *subject, match_visit visit,
                          void *context);
/* Whether a rule of the list matches, one by one and without the index: as the test oracle. */
bool match_list_matches(const struct match_list *list, const struct match_subject *subject);

#endif
