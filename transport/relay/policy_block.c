/* SPDX-License-Identifier: MIT */
#include "policy.h"

#include <errno.h>
#include <stdlib.h>

/* The layout is omnibus.policy.block's: a header, records of 64 bytes, NUL-terminated strings. */
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

/* Offset 0 is the empty string and means: not given. */
static bool string_at(const struct policy *policy, const struct block *block, const uint8_t *at,
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

static bool rule_read(const struct policy *policy, const struct block *block, const uint8_t *p,
                      struct policy_rule *rule)
{
    rule->kind = p[0];
    rule->allow = p[1] != 0;
    rule->context = p[2];
    rule->message_type = p[3];
    rule->principal = u32_at(p + 4);
    rule->min_fds = u32_at(p + 28);
    rule->max_fds = u32_at(p + 32);
    rule->flags = (uint16_t)(p[36] | p[37] << 8);
    rule->line = u32_at(p + 44);
    return rule->kind >= POLICY_SEND && rule->kind <= POLICY_CONNECT_GROUP &&
           rule->context <= POLICY_NOT_AT_CONSOLE && rule->message_type <= MESSAGE_SIGNAL &&
           string_at(policy, block, p + 8, &rule->destination) &&
           string_at(policy, block, p + 12, &rule->path) &&
           string_at(policy, block, p + 16, &rule->interface) &&
           string_at(policy, block, p + 20, &rule->member) &&
           string_at(policy, block, p + 24, &rule->error) && string_at(policy, block, p + 40, &rule->file);
}

int policy_new(struct policy **out, const uint8_t *data, size_t size, uint64_t generation)
{
    struct block block;
    if (!block_open(&block, data, size))
        return -EINVAL;
    struct policy *policy = calloc(1, sizeof(*policy));
    if (!policy)
        return -ENOMEM;
    policy->generation = generation;
    policy->n_rules = block.n_rules;
    policy->strings = malloc(block.strings_size);
    policy->rules = calloc((size_t)block.n_rules + 1, sizeof(*policy->rules));
    if (!policy->strings || !policy->rules || table_init(&policy->identities) < 0) {
        policy_free(policy);
        return -ENOMEM;
    }
    memcpy(policy->strings, block.strings, block.strings_size);
    for (uint32_t i = 0; i < block.n_rules; i++) {
        if (!rule_read(policy, &block, block.records + (size_t)i * BLOCK_RECORD, &policy->rules[i])) {
            policy_free(policy);
            return -EINVAL;
        }
    }
    *out = policy;
    return 0;
}

static void identity_free(struct identity *identity)
{
    free((void *)identity->gids);
    free((void *)identity->send);
    free((void *)identity->receive);
    free(identity);
}

void policy_free(struct policy *policy)
{
    if (!policy)
        return;
    if (policy->identities.buckets) {
        struct table_node *node;
        while ((node = table_walk(&policy->identities, NULL))) {
            table_remove(&policy->identities, node);
            identity_free(CONTAINER_OF(node, struct identity, node));
        }
        table_free(&policy->identities);
    }
    free(policy->rules);
    free(policy->strings);
    free(policy);
}

/* Appends the rules of one context to both directions, in the order of the files. */
static void collect(const struct policy *policy, struct identity *identity, enum policy_context context,
                    uint32_t principal)
{
    for (uint32_t i = 0; i < policy->n_rules; i++) {
        const struct policy_rule *rule = &policy->rules[i];
        if (rule->context != context)
            continue;
        if ((context == POLICY_GROUP || context == POLICY_USER) && rule->principal != principal)
            continue;
        if (rule->kind == POLICY_SEND)
            identity->send[identity->n_send++] = rule;
        else if (rule->kind == POLICY_RECEIVE)
            identity->receive[identity->n_receive++] = rule;
    }
}

static void reverse(const struct policy_rule **rules, uint32_t n)
{
    for (uint32_t i = 0; i < n / 2; i++) {
        const struct policy_rule *rule = rules[i];
        rules[i] = rules[n - 1 - i];
        rules[n - 1 - i] = rule;
    }
}

static void identity_compile(const struct policy *policy, struct identity *identity)
{
    collect(policy, identity, POLICY_DEFAULT, 0);
    for (uint32_t i = 0; i < identity->n_gids; i++) {
        bool again = false;
        for (uint32_t k = 0; k < i; k++)
            again = again || identity->gids[k] == identity->gids[i];
        if (!again)
            collect(policy, identity, POLICY_GROUP, identity->gids[i]);
    }
    collect(policy, identity, POLICY_USER, identity->uid);
    collect(policy, identity, identity->at_console ? POLICY_AT_CONSOLE : POLICY_NOT_AT_CONSOLE, 0);
    collect(policy, identity, POLICY_MANDATORY, 0);
    reverse(identity->send, identity->n_send);
    reverse(identity->receive, identity->n_receive);
}

static bool identity_is(const struct identity *identity, uint32_t uid, const uint32_t *gids, uint32_t n_gids,
                        bool at_console)
{
    return identity->uid == uid && identity->at_console == at_console && identity->n_gids == n_gids &&
           (n_gids == 0 || memcmp(identity->gids, gids, n_gids * sizeof(*gids)) == 0);
}

static struct identity *identity_new(const struct policy *policy, uint32_t uid, const uint32_t *gids,
                                     uint32_t n_gids, bool at_console)
{
    struct identity *identity = calloc(1, sizeof(*identity));
    if (!identity)
        return NULL;
    uint32_t *copy = calloc((size_t)n_gids + 1, sizeof(*copy));
    identity->gids = copy;
    identity->send = calloc((size_t)policy->n_rules + 1, sizeof(*identity->send));
    identity->receive = calloc((size_t)policy->n_rules + 1, sizeof(*identity->receive));
    if (!copy || !identity->send || !identity->receive) {
        identity_free(identity);
        return NULL;
    }
    if (n_gids)
        memcpy(copy, gids, n_gids * sizeof(*gids));
    identity->uid = uid;
    identity->n_gids = n_gids;
    identity->at_console = at_console;
    identity_compile(policy, identity);
    return identity;
}

const struct identity *policy_identity(struct policy *policy, uint32_t uid, const uint32_t *gids,
                                       uint32_t n_gids, bool at_console)
{
    uint64_t hash = hash_u64(uid) + at_console;
    for (uint32_t i = 0; i < n_gids; i++)
        hash = hash_u64(hash ^ gids[i]);
    struct table_node *node = table_first(&policy->identities, hash);
    for (; node; node = table_again(node)) {
        struct identity *identity = CONTAINER_OF(node, struct identity, node);
        if (identity_is(identity, uid, gids, n_gids, at_console))
            return identity;
    }
    struct identity *identity = identity_new(policy, uid, gids, n_gids, at_console);
    if (identity)
        table_insert(&policy->identities, &identity->node, hash);
    return identity;
}
