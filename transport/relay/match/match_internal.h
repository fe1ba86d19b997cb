/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_MATCH_INTERNAL_H
#define OMNIBUS_MATCH_INTERNAL_H

#include "base/list.h"
#include "base/symbol.h"
#include "base/table.h"
#include "match/match.h"
#include "match/match_paths.h"

/* The reference reads this many key=value pairs and ignores the rest. */
#define MATCH_MAX_KEYS 16u

enum match_arg_kind { ARG_STRING, ARG_PATH, ARG_NAMESPACE };
#define ARG_KINDS 3u

/*
 * What a rule may compare, in the order of the canonical text. The key of an argument is KEY_ARGS + ARG_KINDS
 * * its number + its kind.
 */
enum match_key {
    KEY_INTERFACE,
    KEY_MEMBER,
    KEY_PATH,
    KEY_PATH_NAMESPACE,
    KEY_SENDER,
    KEY_DESTINATION,
    KEY_ARGS,
    KEY_COUNT = KEY_ARGS + ARG_KINDS * MESSAGE_MAX_MATCH_ARGS,
};

_Static_assert(KEY_COUNT <= UINT8_MAX + 1, "a key is one byte");

static inline uint8_t match_arg_key(unsigned number, enum match_arg_kind kind)
{
    return (uint8_t)(KEY_ARGS + ARG_KINDS * number + kind);
}

static inline unsigned match_arg_number(uint8_t key)
{
    return (key - KEY_ARGS) / ARG_KINDS;
}

static inline enum match_arg_kind match_arg_kind(uint8_t key)
{
    return (enum match_arg_kind)((key - KEY_ARGS) % ARG_KINDS);
}

static inline bool match_key_is_path(uint8_t key)
{
    return key >= KEY_ARGS && match_arg_kind(key) == ARG_PATH;
}

/* A rule without its texts. Unused bytes are zero, so that forms compare with memcmp. */
struct match_form {
    uint8_t type; /* enum message_type; 0: any */
    uint8_t eavesdrop;
    uint8_t n;
    uint8_t keys[MATCH_MAX_KEYS]; /* ascending */
};

/* A unique name in a pattern, which ends when that name does. */
struct match_mention {
    struct list in_symbol; /* symbol.mentions */
    struct match_pattern *pattern;
};

/*
 * The content of a rule. In an index equal rules share one pattern, and its texts are symbols of the index.
 */
struct match_pattern {
    struct table_node node;    /* in index.patterns */
    struct list in_shape;      /* shape.patterns */
    struct list rules;         /* list of match_rule.in_pattern */
    struct match_shape *shape; /* NULL: in no index */
    struct match_form form;
    struct symbol *values[]; /* one for each key, followed by a struct match_mention for each unique name */
};

/* A rule of one connection, which may have added it several times. */
struct match_rule {
    struct table_node node;             /* in index.rules, by list and pattern */
    struct match_rule *previous, *next; /* in the list */
    struct match_list *list;
    struct list in_pattern; /* pattern.rules */
    struct match_pattern *pattern;
    uint32_t copies;
};

/* All patterns of one form, found by a message with one look-up. */
struct match_shape {
    struct table_node node; /* in index.shapes */
    struct list in_index;   /* index.order */
    struct list patterns;   /* list of match_pattern.in_shape */
    uint32_t count;         /* number of patterns */
    struct match_form form;
};

/*
 * The lengths of values, past and present, of one kind of prefix: only prefixes of these lengths are looked
 * up.
 */
struct match_lengths {
    uint64_t bits[MATCH_MAX_RULE_TEXT / 64 + 1];
};

struct match_index {
    struct symbols symbols;
    struct match_lengths path_namespaces, arg_namespaces, arg_paths;
    struct match_paths paths; /* the values of all argNpath keys */
    struct table shapes, patterns, rules;
    struct list order;     /* list of match_shape.in_index */
    struct list departed;  /* list of match_list.in_departed */
    struct list forgotten; /* list of match_mention.in_symbol, of unique names that are gone */
    uint32_t count, eavesdroppers;
};

/* values has form->n elements. NULL: no memory. */
struct match_rule *match_rule_new(const struct match_form *form, const struct span *values);
/* Frees a pattern that is in no index, with its symbols. */
void match_pattern_free(struct match_pattern *pattern);
size_t match_pattern_memory(const struct match_pattern *pattern);
/* True if value i is a unique name, which is never reused. */
bool match_value_is_unique(const struct match_pattern *pattern, unsigned i);
struct match_mention *match_pattern_mentions(struct match_pattern *pattern);
/* The pattern of a shape with exactly these symbols; NULL: there is none. */
struct match_pattern *match_index_pattern(const struct match_index *index, const struct match_shape *shape,
                                          struct symbol *const *values, struct hash hash);
/* Compares texts, without symbols. */
bool match_pattern_matches(const struct match_pattern *pattern, const struct match_subject *subject);

/* These compute the hash of a pattern from its shape and its values. */
static inline struct hash match_hash_start(const struct match_shape *shape)
{
    return shape->node.hash;
}

static inline struct hash match_hash_next(const struct match_index *index, struct hash hash,
                                          const struct symbol *value)
{
    return hash_next(&index->patterns.key, hash, value->node.hash.bits);
}

#endif
