/* SPDX-License-Identifier: MIT */
#include "policy/policy_internal.h"

#include <stdlib.h>

/* Own and connect rules, which judge names and users instead of messages. */

/* The names of own rules stay texts of the block: requests for names are too rare for symbols. */
static struct policy_own own_of(const struct policy *policy, const struct policy_rule *rule)
{
    struct policy_own own = {.prefix = rule->flags & POLICY_PREFIX, .allow = rule->allow};
    if (rule->destination)
        own.name = span_of(policy->strings + rule->destination);
    return own;
}

/* A rule for all names overrides the rules before it, which are dropped. */
static void take_section(const struct policy *policy, const struct policy_section *section,
                         struct rule_set *identity)
{
    for (uint32_t k = section->first; k < section->first + section->n; k++) {
        const struct policy_rule *rule = &policy->rules[k];
        if (rule->kind != POLICY_OWN)
            continue;
        if (policy_is_catch_all(rule))
            identity->n_own = 0;
        identity->own[identity->n_own++] = own_of(policy, rule);
    }
}

bool policy_own_make(const struct policy *policy, struct rule_set *identity)
{
    size_t room = 1;
    for (uint32_t i = 0; i < identity->n_sections; i++)
        room += policy->sections[identity->sections[i]].n_own;
    identity->own = calloc(room, sizeof(*identity->own));
    if (!identity->own)
        return false;
    for (uint32_t i = 0; i < identity->n_sections; i++) {
        const struct policy_section *section = &policy->sections[identity->sections[i]];
        if (section->n_own > 0)
            take_section(policy, section, identity);
    }
    return true;
}

static bool covers(const struct policy_own *own, struct span name)
{
    if (!own->name.s)
        return true;
    return own->prefix ? span_below(name, own->name, '.') : span_equal(name, own->name);
}

bool policy_can_own(const struct rule_set *identity, struct span name)
{
    for (uint32_t i = identity->n_own; i-- > 0;) {
        if (covers(&identity->own[i], name))
            return identity->own[i].allow;
    }
    return false;
}

bool policy_connect_add(struct policy *policy, const struct policy_rule *rule)
{
    /* in other contexts the configuration parser rejects them, so they are ignored here */
    if (rule->context != POLICY_DEFAULT && rule->context != POLICY_MANDATORY)
        return true;
    struct policy_connect *all = realloc(policy->connect, (policy->n_connect + (size_t)1) * sizeof(*all));
    if (!all)
        return false;
    all[policy->n_connect++] = (struct policy_connect){.mandatory = rule->context == POLICY_MANDATORY,
                                                       .of_group = rule->kind == POLICY_CONNECT_GROUP,
                                                       .allow = rule->allow,
                                                       .principal = rule->principal};
    policy->connect = all;
    return true;
}

static bool is_about(const struct policy_connect *rule, uint32_t uid, const uint32_t *gids, uint32_t n_gids)
{
    if (rule->principal == POLICY_ANY)
        return true;
    if (!rule->of_group)
        return rule->principal == uid;
    for (uint32_t i = 0; i < n_gids; i++) {
        if (gids[i] == rule->principal)
            return true;
    }
    return false;
}

/* The last rule that applies decides; mandatory rules come after the others. */
bool policy_can_connect(const struct policy *policy, uint32_t uid, const uint32_t *gids, uint32_t n_gids,
                        uint32_t owner)
{
    const struct policy_connect *last = NULL;
    for (uint32_t i = 0; i < policy->n_connect; i++) {
        const struct policy_connect *rule = &policy->connect[i];
        if ((!last || rule->mandatory >= last->mandatory) && is_about(rule, uid, gids, n_gids))
            last = rule;
    }
    return last ? last->allow : uid == owner;
}
