/* SPDX-License-Identifier: MIT */
#include "policy/policy_internal.h"

#include <stdlib.h>

bool policy_connect_add(struct policy *policy, const struct policy_rule *rule)
{
    /* in other contexts they are refused where the configuration is read, and count for nothing here */
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

/* The last that is about him decides, the mandatory ones behind the others. */
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
