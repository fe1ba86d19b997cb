/* SPDX-License-Identifier: MIT */
#include "policy/policy_internal.h"

#include <errno.h>
#include <stdlib.h>

/* The layout of omnibus.policy.block: a header, records of 64 bytes, NUL-terminated strings. */
#define BLOCK_MAGIC "OMNIPOL1"
#define BLOCK_HEADER 32u
#define BLOCK_RECORD 64u

static uint32_t u32_at(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

struct block {
    const uint8_t *records;
    uint32_t n_rules;
    const uint8_t *strings;
    uint32_t strings_size;
};

static bool block_open(struct block *block, const uint8_t *data, size_t size)
{
    if (size < BLOCK_HEADER || memcmp(data, BLOCK_MAGIC, 8) != 0 || u32_at(data + 12) != BLOCK_RECORD)
        return false;
    uint64_t offset = u32_at(data + 16);
    block->n_rules = u32_at(data + 8);
    block->strings_size = u32_at(data + 20);
    if (offset < BLOCK_HEADER + (uint64_t)block->n_rules * BLOCK_RECORD)
        return false;
    if (offset + block->strings_size > size || block->strings_size == 0)
        return false;
    block->records = data + BLOCK_HEADER;
    block->strings = data + offset;
    return block->strings[block->strings_size - 1] == 0;
}

/* Reads a text; offset 0 means that there is none. */
static bool text_at(const struct policy *policy, const struct block *block, const uint8_t *at,
                    struct span *out)
{
    uint32_t offset = u32_at(at);
    *out = (struct span){NULL, 0};
    if (offset >= block->strings_size)
        return false;
    if (offset != 0)
        *out = span_of(policy->strings + offset);
    return true;
}

/* 0, -EINVAL or -ENOMEM */
static int symbol_at(struct policy *policy, const struct block *block, const uint8_t *at,
                     enum policy_field field, uint32_t *out)
{
    struct span text;
    *out = POLICY_ABSENT;
    if (!text_at(policy, block, at, &text))
        return -EINVAL;
    if (!text.s)
        return 0;
    *out = policy_symbol_add(policy, field, text);
    return *out == POLICY_ABSENT ? -ENOMEM : 0;
}

static int rule_read_symbols(struct policy *policy, const struct block *block, const uint8_t *p,
                             struct policy_rule *rule)
{
    bool prefix = rule->kind == POLICY_SEND && rule->flags & POLICY_PREFIX;
    const struct {
        enum policy_field field;
        uint32_t *out;
    } texts[] = {{prefix ? POLICY_NAME_PREFIX : POLICY_NAME, &rule->destination},
                 {POLICY_PATH, &rule->path},
                 {POLICY_INTERFACE, &rule->interface},
                 {POLICY_MEMBER, &rule->member},
                 {POLICY_ERROR, &rule->error}};
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        int error = symbol_at(policy, block, p + 8 + 4 * i, texts[i].field, texts[i].out);
        if (error < 0)
            return error;
    }
    return 0;
}

static bool is_per_client(const struct policy_rule *rule)
{
    return rule->kind == POLICY_SEND || rule->kind == POLICY_RECEIVE || rule->kind == POLICY_OWN;
}

/* The name of an own rule is no symbol, since own rules do not distinguish messages. */
static int rule_read_name(const struct policy *policy, const struct block *block, const uint8_t *p,
                          struct policy_rule *rule)
{
    struct span name;
    rule->destination = u32_at(p + 8);
    return text_at(policy, block, p + 8, &name) ? 0 : -EINVAL;
}

/* Connect rules have no texts but the name of their file. */
static int rule_read(struct policy *policy, const struct block *block, uint32_t place,
                     struct policy_rule *rule)
{
    const uint8_t *p = block->records + (size_t)place * BLOCK_RECORD;
    rule->kind = p[0];
    rule->allow = p[1] != 0;
    rule->context = p[2];
    rule->message_type = p[3];
    rule->principal = u32_at(p + 4);
    rule->place = place;
    rule->min_fds = u32_at(p + 28);
    rule->max_fds = u32_at(p + 32);
    rule->flags = (uint16_t)(p[36] | p[37] << 8);
    rule->file = u32_at(p + 40);
    rule->line = u32_at(p + 44);
    if (rule->kind < POLICY_SEND || rule->kind > POLICY_CONNECT_GROUP || rule->context > POLICY_NO_CONSOLE ||
        rule->message_type > MESSAGE_SIGNAL || rule->file >= block->strings_size)
        return -EINVAL;
    if (rule->kind == POLICY_OWN)
        return rule_read_name(policy, block, p, rule);
    if (!is_per_client(rule))
        return 0;
    policy->counts_fds |= rule->min_fds > 0 || rule->max_fds < POLICY_ANY;
    return rule_read_symbols(policy, block, p, rule);
}

static int rules_read(struct policy *policy, const struct block *block)
{
    for (uint32_t i = 0; i < block->n_rules; i++) {
        struct policy_rule *rule = &policy->rules[policy->n_rules];
        int error = rule_read(policy, block, i, rule);
        if (error < 0)
            return error;
        bool connects = rule->kind == POLICY_CONNECT_USER || rule->kind == POLICY_CONNECT_GROUP;
        if (connects && !policy_connect_add(policy, rule))
            return -ENOMEM;
        policy->asks_console |= rule->context == POLICY_AT_CONSOLE || rule->context == POLICY_NO_CONSOLE;
        policy->n_rules += is_per_client(rule);
    }
    return 0;
}

static int compare_rules(const void *a, const void *b)
{
    const struct policy_rule *left = a, *right = b;
    uint64_t x = policy_section_key(left->context, left->principal);
    uint64_t y = policy_section_key(right->context, right->principal);
    if (x != y)
        return x < y ? -1 : 1;
    return left->place < right->place ? -1 : left->place > right->place;
}

static void sections_make(struct policy *policy)
{
    qsort(policy->rules, policy->n_rules, sizeof(*policy->rules), compare_rules);
    struct policy_section *section = NULL;
    for (uint32_t i = 0; i < policy->n_rules; i++) {
        uint64_t key = policy_section_key(policy->rules[i].context, policy->rules[i].principal);
        if (!section || section->key != key) {
            section = &policy->sections[policy->n_sections++];
            *section = (struct policy_section){.key = key, .first = i};
        }
        section->n++;
        section->n_own += policy->rules[i].kind == POLICY_OWN;
    }
}

static int policy_read(struct policy *policy, const struct block *block)
{
    policy->strings = (const char *)block->strings;
    policy->rules = calloc((size_t)block->n_rules + 1, sizeof(*policy->rules));
    policy->sections = calloc((size_t)block->n_rules + 1, sizeof(*policy->sections));
    policy->memos = calloc(POLICY_MEMOS, sizeof(*policy->memos));
    if (!policy->rules || !policy->sections || !policy->memos || table_init(&policy->symbols) < 0 ||
        table_init(&policy->identities) < 0 || table_init(&policy->roles) < 0)
        return -ENOMEM;
    int error = rules_read(policy, block);
    if (error < 0)
        return error;
    sections_make(policy);
    size_t names = (size_t)policy->uses[POLICY_NAME] + policy->uses[POLICY_NAME_PREFIX];
    policy->scratch = calloc(names + 1, sizeof(*policy->scratch));
    return policy->scratch ? 0 : -ENOMEM;
}

int policy_new(struct policy **out, const uint8_t *data, size_t size, uint64_t generation)
{
    struct block block;
    if (!block_open(&block, data, size))
        return -EINVAL;
    struct policy *policy = calloc(1, sizeof(*policy));
    uint8_t *own = malloc(size);
    if (!policy || !own) {
        free(policy);
        free(own);
        return -ENOMEM;
    }
    policy->block = memcpy(own, data, size);
    policy->block_size = size;
    policy->generation = generation;
    block_open(&block, own, size);
    int error = policy_read(policy, &block);
    if (error < 0)
        policy_free(policy);
    else
        *out = policy;
    return error;
}

void policy_free(struct policy *policy)
{
    if (!policy)
        return;
    policy_identities_free(policy);
    policy_roles_free(policy);
    policy_symbols_free(policy);
    free(policy->memos);
    free(policy->connect);
    free(policy->scratch);
    free(policy->sections);
    free(policy->rules);
    free(policy->block);
    free(policy);
}
