/* SPDX-License-Identifier: MIT */
#include "policy/policy_internal.h"

#include <stdlib.h>

/* True if the policy has a rule about the name, or about a prefix of it that ends before a dot. */
bool policy_mentions(const struct policy *policy, struct span name)
{
    if (policy_symbol(policy, POLICY_NAME, name) > POLICY_OTHER)
        return true;
    for (uint32_t i = 0; i <= name.n && policy->uses[POLICY_NAME_PREFIX] > 0; i++) {
        if ((i == name.n || name.s[i] == '.') &&
            policy_symbol(policy, POLICY_NAME_PREFIX, (struct span){name.s, i}) > POLICY_OTHER)
            return true;
    }
    return false;
}

static void role_add(struct policy *policy, enum policy_field field, struct span name)
{
    uint32_t *names = policy->scratch;
    uint32_t number = policy_symbol(policy, field, name);
    if (number <= POLICY_OTHER)
        return;
    for (uint32_t i = 0; i < policy->n_scratch; i++) {
        if (names[i] == number)
            return;
    }
    names[policy->n_scratch++] = number;
}

void policy_role_begin(struct policy *policy)
{
    policy->n_scratch = 0;
}

/* Adds the symbols of a name and of every prefix of it that ends before a dot. */
void policy_role_add(struct policy *policy, struct span name)
{
    role_add(policy, POLICY_NAME, name);
    if (policy->uses[POLICY_NAME_PREFIX] == 0)
        return;
    for (uint32_t i = 0; i <= name.n; i++) {
        if (i == name.n || name.s[i] == '.')
            role_add(policy, POLICY_NAME_PREFIX, (struct span){name.s, i});
    }
}

const struct role *policy_role(struct policy *policy)
{
    const uint32_t n = policy->n_scratch;
    const struct hash_key *key = &policy->roles.key;
    struct hash hash = hash_number(key, n);
    qsort(policy->scratch, n, sizeof(*policy->scratch), policy_compare_numbers);
    for (uint32_t i = 0; i < n; i++)
        hash = hash_next(key, hash, policy->scratch[i]);
    for (struct table_node *node = table_first(&policy->roles, hash); node; node = table_again(node)) {
        const struct role *role = CONTAINER_OF(node, struct role, node);
        if (role->n == n && memcmp(role->names, policy->scratch, n * sizeof(*role->names)) == 0)
            return role;
    }
    struct role *role = malloc(sizeof(*role) + n * sizeof(*role->names));
    if (!role)
        return NULL;
    role->id = ++policy->last_id;
    role->n = n;
    memcpy(role->names, policy->scratch, n * sizeof(*role->names));
    table_insert(&policy->roles, &role->node, hash);
    return role;
}

const struct role *policy_role_of_name(struct policy *policy, struct span name)
{
    policy_role_begin(policy);
    if (name.s)
        policy_role_add(policy, name);
    return policy_role(policy);
}

const struct role *policy_role_of_bus(struct policy *policy)
{
    if (!policy->bus_role)
        policy->bus_role = policy_role_of_name(policy, SPAN("org.freedesktop.DBus"));
    return policy->bus_role;
}

static void roles_clear(struct policy *policy)
{
    policy->bus_role = NULL;
    struct table_node *node;
    while ((node = table_any(&policy->roles))) {
        table_remove(&policy->roles, node);
        free(CONTAINER_OF(node, struct role, node));
    }
}

void policy_roles_free(struct policy *policy)
{
    if (policy->roles.buckets)
        roles_clear(policy);
    table_free(&policy->roles);
}

void policy_begin_anew(struct policy *policy)
{
    policy_identities_clear(policy);
    roles_clear(policy);
    memset(policy->memos, 0, POLICY_MEMOS * sizeof(*policy->memos));
    policy->last_id = 0;
    policy->generation++;
}
