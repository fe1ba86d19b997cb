/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_POLICY_INTERNAL_H
#define OMNIBUS_POLICY_INTERNAL_H

#include "policy/policy.h"

enum policy_kind {
    POLICY_SEND = 1,
    POLICY_RECEIVE = 2,
    POLICY_OWN = 3,
    POLICY_CONNECT_USER = 4,
    POLICY_CONNECT_GROUP = 5,
};

enum policy_context {
    POLICY_DEFAULT = 0,
    POLICY_GROUP = 1,
    POLICY_USER = 2,
    POLICY_AT_CONSOLE = 3,
    POLICY_MANDATORY = 4,
    POLICY_NO_CONSOLE = 5,
};

enum policy_flag {
    POLICY_PREFIX = 1,
    POLICY_EAVESDROP = 2,
    POLICY_REQUESTED_REPLY = 4,
    POLICY_LOG = 8,
    POLICY_BROADCAST = 16,
    POLICY_NO_BROADCAST = 32,
};

struct policy_rule { /* dbus-daemon(1), <allow> and <deny> */
    uint8_t kind;
    uint8_t context;
    uint8_t message_type; /* 0: any */
    bool allow;
    uint16_t flags;
    uint32_t principal;
    uint32_t place;      /* in the block */
    uint32_t file, line; /* its origin; the name of the file is among the strings */
    uint32_t min_fds, max_fds;
    uint32_t destination; /* symbols; in a receive rule this is the sender, in an own rule the offset of the
                             name */
    uint32_t path, interface, member, error;
};

/* A connect rule. */
struct policy_connect {
    bool mandatory, of_group, allow;
    uint32_t principal; /* POLICY_ANY: every user */
};

/* The rules of one context and principal. */
struct policy_section {
    uint64_t key;
    uint32_t first, n;
    uint32_t n_own; /* number of own rules */
};

/* An entry of the index, ordered by destination and interface, then by position, the last rule first. */
struct policy_entry {
    uint32_t destination;
    uint32_t interface; /* OTHER: any; ABSENT: deny rules, for messages without one */
    uint32_t position;  /* among the rules of this kind of the identity */
    uint32_t rule;
};

struct policy_index {
    uint32_t n;
    struct policy_entry *entries;
};

struct policy_own {
    struct span name; /* .s is NULL: any name */
    bool prefix, allow;
};

struct rule_set {
    struct table_node node;
    uint32_t id;
    uint32_t n_sections;
    uint32_t *sections;
    struct policy_index send, receive;
    uint32_t n_own;
    struct policy_own *own; /* in the order of the files */
};

struct role {
    struct table_node node;
    uint32_t id;
    uint32_t n;
    uint32_t names[]; /* symbols of names and prefixes, ascending */
};

/* Ids of identities and roles; 0: the bus itself. */
struct policy_key {
    uint32_t sender, sender_role, recipient, recipient_role;
    struct policy_class class;
};

struct policy_memo {
    struct policy_key key;
    uint32_t outcome; /* 0: none yet */
};

#define POLICY_MEMO_BITS 10
#define POLICY_MEMOS (1u << POLICY_MEMO_BITS)

/* The number of a text: a symbol or OTHER. */
uint32_t policy_symbol_find(const struct policy *policy, enum policy_field field, struct span text);
/* Finds or adds a symbol. The text is not copied. ABSENT: no memory. */
uint32_t policy_symbol_add(struct policy *policy, enum policy_field field, struct span text);
void policy_symbols_free(struct policy *policy);

/*
 * The number of a text that may be absent. Most policies filter by few fields, so this is usually OTHER at
 * once.
 */
static inline uint32_t policy_symbol(const struct policy *policy, enum policy_field field, struct span text)
{
    if (!text.s)
        return POLICY_ABSENT;
    return policy->uses[field] ? policy_symbol_find(policy, field, text) : POLICY_OTHER;
}

static inline uint64_t policy_section_key(uint8_t context, uint32_t principal)
{
    bool personal = context == POLICY_GROUP || context == POLICY_USER;
    return (uint64_t)context << 32 | (personal ? principal : POLICY_ANY);
}

/* True for a rule at which the reference drops all earlier rules of its kind, by its type and texts alone. */
static inline bool policy_is_catch_all(const struct policy_rule *rule)
{
    return !rule->message_type && !rule->destination && !rule->path && !rule->interface && !rule->member &&
           !rule->error;
}

bool policy_own_make(const struct policy *policy, struct rule_set *identity); /* false: no memory */
/* Adds a connect rule. False: no memory. */
bool policy_connect_add(struct policy *policy, const struct policy_rule *rule);
int policy_compare_numbers(const void *a, const void *b); /* of two uint32_t, for qsort */
void policy_identities_clear(struct policy *policy);
void policy_identities_free(struct policy *policy);
void policy_roles_free(struct policy *policy);

#endif
