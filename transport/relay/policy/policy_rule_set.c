/* SPDX-License-Identifier: MIT */
#include "policy/policy_internal.h"

#include <stdlib.h>

/* The sections that apply to one set of credentials, in the order of evaluation. */
struct sections {
    uint32_t n;
    uint32_t *at;
};

static void sections_add(const struct policy *policy, struct sections *sections, enum policy_context context,
                         uint32_t principal)
{
    uint64_t key = policy_section_key((uint8_t)context, principal);
    uint32_t low = 0, high = policy->n_sections;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (policy->sections[middle].key < key)
            low = middle + 1;
        else
            high = middle;
    }
    if (low < policy->n_sections && policy->sections[low].key == key)
        sections->at[sections->n++] = low;
}

int policy_compare_numbers(const void *a, const void *b)
{
    uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;
    return left < right ? -1 : left > right;
}

/* The reference evaluates groups in ascending order, each once, which is the order of their sections. */
static void sections_add_groups(const struct policy *policy, struct sections *sections, const uint32_t *gids,
                                uint32_t n_gids)
{
    uint32_t *groups = sections->at + sections->n;
    uint32_t before = sections->n;
    for (uint32_t i = 0; i < n_gids; i++)
        sections_add(policy, sections, POLICY_GROUP, gids[i]);
    uint32_t n = sections->n - before, kept = 0;
    if (n > 0)
        qsort(groups, n, sizeof(*groups), policy_compare_numbers);
    for (uint32_t i = 0; i < n; i++) {
        if (kept == 0 || groups[kept - 1] != groups[i])
            groups[kept++] = groups[i];
    }
    sections->n = before + kept;
}

/* at needs room for n_gids + 4 sections. An anonymous client is neither at the console nor away from it. */
static void sections_find(const struct policy *policy, struct sections *sections, uint32_t uid,
                          const uint32_t *gids, uint32_t n_gids, bool at_console)
{
    sections_add(policy, sections, POLICY_DEFAULT, POLICY_ANY);
    sections_add_groups(policy, sections, gids, n_gids);
    if (uid != POLICY_ANY) {
        sections_add(policy, sections, POLICY_USER, uid);
        sections_add(policy, sections, at_console ? POLICY_AT_CONSOLE : POLICY_NO_CONSOLE, POLICY_ANY);
    }
    sections_add(policy, sections, POLICY_MANDATORY, POLICY_ANY);
}

static int policy_identity_compare_entries(const void *a, const void *b)
{
    const struct policy_entry *left = a, *right = b;
    if (left->destination != right->destination)
        return left->destination < right->destination ? -1 : 1;
    if (left->interface != right->interface)
        return left->interface < right->interface ? -1 : 1;
    return left->position > right->position ? -1 : left->position < right->position;
}

/* A deny rule with an interface also applies to messages without one. */
static void index_add(struct policy_index *index, const struct policy_rule *rule, uint32_t number)
{
    const struct policy_entry entry = {.destination = rule->destination,
                                       .interface = rule->interface ? rule->interface : POLICY_OTHER,
                                       .position = index->n,
                                       .rule = number};
    index->entries[index->n++] = entry;
    if (!rule->interface || rule->allow)
        return;
    index->entries[index->n] = entry;
    index->entries[index->n++].interface = POLICY_ABSENT;
}

/* False: no memory. */
static bool index_make(const struct policy *policy, const struct sections *sections, enum policy_kind kind,
                       struct policy_index *index)
{
    size_t room = 1;
    for (uint32_t i = 0; i < sections->n; i++)
        room += 2 * (size_t)policy->sections[sections->at[i]].n;
    index->entries = calloc(room, sizeof(*index->entries));
    if (!index->entries)
        return false;
    for (uint32_t i = 0; i < sections->n; i++) {
        const struct policy_section *section = &policy->sections[sections->at[i]];
        for (uint32_t k = section->first; k < section->first + section->n; k++) {
            if (policy->rules[k].kind != kind)
                continue;
            if (policy_is_catch_all(&policy->rules[k]))
                index->n = 0;
            index_add(index, &policy->rules[k], k);
        }
    }
    qsort(index->entries, index->n, sizeof(*index->entries), policy_identity_compare_entries);
    return true;
}

static void rule_set_free(struct rule_set *identity)
{
    free(identity->sections);
    free(identity->send.entries);
    free(identity->receive.entries);
    free(identity->own);
    free(identity);
}

/* Takes ownership of the sections, also on failure. */
static struct rule_set *rule_set_new(struct policy *policy, struct sections *sections)
{
    struct rule_set *identity = calloc(1, sizeof(*identity));
    if (!identity) {
        free(sections->at);
        return NULL;
    }
    identity->sections = sections->at;
    identity->n_sections = sections->n;
    identity->id = ++policy->last_id;
    if (!index_make(policy, sections, POLICY_SEND, &identity->send) ||
        !index_make(policy, sections, POLICY_RECEIVE, &identity->receive) ||
        !policy_own_make(policy, identity)) {
        rule_set_free(identity);
        return NULL;
    }
    return identity;
}

static bool rule_set_is(const struct rule_set *identity, const struct sections *sections)
{
    return identity->n_sections == sections->n &&
           (sections->n == 0 ||
            memcmp(identity->sections, sections->at, sections->n * sizeof(*sections->at)) == 0);
}

const struct rule_set *policy_rule_set(struct policy *policy, uint32_t uid, const uint32_t *gids,
                                       uint32_t n_gids, bool at_console)
{
    struct sections sections = {.at = calloc((size_t)n_gids + 4, sizeof(*sections.at))};
    if (!sections.at)
        return NULL;
    sections_find(policy, &sections, uid, gids, n_gids, at_console);
    const struct hash_key *key = &policy->identities.key;
    struct hash hash = hash_number(key, sections.n);
    for (uint32_t i = 0; i < sections.n; i++)
        hash = hash_next(key, hash, sections.at[i]);
    for (struct table_node *node = table_first(&policy->identities, hash); node; node = table_again(node)) {
        struct rule_set *identity = CONTAINER_OF(node, struct rule_set, node);
        if (rule_set_is(identity, &sections)) {
            free(sections.at);
            return identity;
        }
    }
    struct rule_set *identity = rule_set_new(policy, &sections);
    if (identity)
        table_insert(&policy->identities, &identity->node, hash);
    return identity;
}

void policy_identities_clear(struct policy *policy)
{
    struct table_node *node;
    while ((node = table_any(&policy->identities))) {
        table_remove(&policy->identities, node);
        rule_set_free(CONTAINER_OF(node, struct rule_set, node));
    }
}

void policy_identities_free(struct policy *policy)
{
    if (policy->identities.buckets)
        policy_identities_clear(policy);
    table_free(&policy->identities);
}
