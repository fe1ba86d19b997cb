/* SPDX-License-Identifier: MIT */
#include "policy/policy_internal.h"

#include <stdlib.h>

/* What an own rule is about stands in the block's strings: names are asked for too seldom to be numbered. */
static struct policy_own own_of(const struct policy *policy, const struct policy_rule *rule)
{
    struct policy_own own = {.prefix = rule->flags & POLICY_PREFIX, .allow = rule->allow};
    if (rule->destination)
        own.name = span_of(policy->strings + rule->destination);
    return own;
}

/* What comes before a rule for all names counts for nothing. */
static void take_section(const struct policy *policy, const struct policy_section *section,
                         struct identity *identity)
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

bool policy_own_make(const struct policy *policy, struct identity *identity)
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

bool policy_can_own(const struct identity *identity, struct span name)
{
    for (uint32_t i = identity->n_own; i-- > 0;) {
        if (covers(&identity->own[i], name))
            return identity->own[i].allow;
    }
    return false;
}
