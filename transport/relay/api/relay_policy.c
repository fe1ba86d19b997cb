/* SPDX-License-Identifier: MIT */
#include "api/relay.h"

#include "policy/policy.h"

#include <errno.h>

#define GENERATION 1 /* any but 0, as no identity or role is kept between questions */

int relay_policy_new(struct policy **out, const uint8_t *block, size_t size)
{
    return policy_new(out, block, size, GENERATION);
}

void relay_policy_free(struct policy *policy)
{
    policy_free(policy);
}

bool relay_policy_can_connect(const struct policy *policy, uint32_t uid, const uint32_t *gids,
                              uint32_t n_gids, uint32_t owner)
{
    return policy_can_connect(policy, uid, gids, n_gids, owner);
}

int relay_policy_can_own(struct policy *policy, uint32_t uid, const uint32_t *gids, uint32_t n_gids,
                         bool at_console, const char *name)
{
    policy_tidy(policy);
    const struct rule_set *identity = policy_rule_set(policy, uid, gids, n_gids, at_console);
    return identity ? policy_can_own(identity, span_of(name)) : -ENOMEM;
}

int relay_policy_can_send(struct policy *policy, uint32_t uid, const uint32_t *gids, uint32_t n_gids,
                          bool at_console, const struct relay_header *header, struct relay_verdict *out)
{
    const struct message m = {
        .type = header->type,
        .reply_serial = header->is_reply,
        .n_fds = header->n_fds,
        .path = span_of(header->path),
        .interface = span_of(header->interface),
        .member = span_of(header->member),
        .error_name = span_of(header->error_name),
        .destination = span_of(header->destination),
    };
    policy_tidy(policy);
    const struct rule_set *sender = policy_rule_set(policy, uid, gids, n_gids, at_console);
    const struct role *recipient = policy_role_of_name(policy, m.destination);
    if (!sender || !recipient)
        return -ENOMEM;
    struct policy_class class;
    policy_classify(policy, &m, &class);
    struct policy_verdict verdict = policy_can_send(policy, sender, recipient, &class);
    struct policy_place place = policy_place(policy, verdict.rule);
    *out = (struct relay_verdict){verdict.allow, verdict.log, verdict.matched, place.file, place.line};
    return 0;
}
