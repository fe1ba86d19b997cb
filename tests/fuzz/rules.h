/* SPDX-License-Identifier: MIT */
#ifndef FUZZ_RULES_H
#define FUZZ_RULES_H

#include "record.h"

#define RULES_MAX 64u
#define RULE_TEXT 128u

enum rule_kind {
    RULE_MEMBER,
    RULE_INTERFACE,
    RULE_NAMESPACE,
    RULE_PATH,
    RULE_ARG0,
    RULE_ARG0_NAMESPACE,
    RULE_ARG0_PATH,
    RULE_SENDER, /* number: a client */
    RULE_OWNER,  /* number: a slot; its client may own the slot's name */
    RULE_ALL,
    RULE_EAVESDROP,
    RULE_KINDS,
};

/* One match rule of a client, which may have been added several times. */
struct rule {
    enum rule_kind kind;
    uint32_t number;
    uint32_t adding;   /* pending AddMatch calls */
    uint32_t added;    /* answered ones, without those removed */
    uint32_t removing; /* pending RemoveMatch calls */
    char text[RULE_TEXT];
};

struct rules {
    struct rule at[RULES_MAX];
    uint32_t n;
    uint32_t added; /* of all */
    bool removed;   /* one was to be removed since the last quiescent point: expectations are unknown */
};

struct client;

/* The rule of this kind and number, added if it is new; NULL: there are too many. */
struct rule *rules_enter(struct rules *rules, enum rule_kind kind, uint32_t number, const char *text);
/* May a broadcast reach a client with these rules? Must it? */
bool rules_may_match(const struct rules *rules, const struct record *record, const struct client *sender);
bool rules_must_match(const struct rules *rules, const struct record *record, const struct client *sender);
/* AddMatch, or RemoveMatch, was answered. */
void rules_added(struct rules *rules, uint32_t index, bool success);
void rules_removed(struct rules *rules, uint32_t index, bool success);

#endif
