/* SPDX-License-Identifier: MIT */
#include "policy.h"

#include "peer.h"
#include "registry.h"

/* Is the peer known by this name, as owner or in its queue, its unique name included? */
static bool peer_has_name(const struct peer *peer, struct span name, bool prefix)
{
    if (!prefix && span_equal(peer->unique, name))
        return true;
    LIST_FOR(at, &peer->names)
    {
        struct span own = name_span(CONTAINER_OF(at, struct membership, in_peer)->name);
        if (prefix ? span_below(own, name, '.') : span_equal(own, name))
            return true;
    }
    return false;
}

/* A requested reply meets only the rules for requested ones, and the other way round. */
static bool reply_fits(const struct policy_rule *rule, const struct policy_case *c)
{
    if (c->m->reply_serial == 0)
        return true;
    bool for_requested = rule->flags & POLICY_REQUESTED_REPLY;
    if (!c->requested_reply && rule->allow && for_requested && !(rule->flags & POLICY_EAVESDROP))
        return false;
    return !(c->requested_reply && !rule->allow && !for_requested);
}

/* A filter on a field that the message lacks lets the rule apply, so that leaving it out is no way round. */
static bool field_fits(struct span filter, struct span field)
{
    return !filter.s || !field.s || span_equal(filter, field);
}

/* But an interface that is left out never helps: allow rules then don't apply, deny rules do. */
static bool interface_fits(const struct policy_rule *rule, const struct message *m)
{
    if (!rule->interface.s)
        return true;
    return m->interface.s ? span_equal(rule->interface, m->interface) : !rule->allow;
}

static bool content_fits(const struct policy_rule *rule, const struct policy_case *c)
{
    const struct message *m = c->m;
    return (rule->message_type == 0 || rule->message_type == m->type) && reply_fits(rule, c) &&
           field_fits(rule->path, m->path) && interface_fits(rule, m) &&
           field_fits(rule->member, m->member) && field_fits(rule->error, m->error_name) &&
           m->n_fds >= rule->min_fds && m->n_fds <= rule->max_fds;
}

static bool broadcast_fits(const struct policy_rule *rule, const struct message *m)
{
    bool broadcast = !m->destination.s && m->type == MESSAGE_SIGNAL;
    return !(rule->flags & (broadcast ? POLICY_BROADCAST_FALSE : POLICY_BROADCAST_TRUE));
}

static bool send_fits(const struct policy_rule *rule, const struct policy_case *c)
{
    if (!content_fits(rule, c) || !broadcast_fits(rule, c->m))
        return false;
    if (!rule->destination.s)
        return true;
    bool prefix = rule->flags & POLICY_PREFIX;
    if (c->recipient)
        return peer_has_name(c->recipient, rule->destination, prefix);
    if (!c->m->destination.s)
        return false;
    return prefix ? span_below(c->m->destination, rule->destination, '.')
                  : span_equal(c->m->destination, rule->destination);
}

static bool receive_fits(const struct policy_rule *rule, const struct policy_case *c)
{
    bool eavesdrop = rule->flags & POLICY_EAVESDROP;
    if (c->eavesdropping ? rule->allow && !eavesdrop : !rule->allow && eavesdrop)
        return false;
    if (!content_fits(rule, c))
        return false;
    if (!rule->destination.s)
        return true;
    if (c->sender)
        return peer_has_name(c->sender, rule->destination, false);
    return span_equal(rule->destination, c->m->sender);
}

typedef bool (*rule_fits)(const struct policy_rule *rule, const struct policy_case *c);

/* The rules stand with the last first, so the first that fits decides. */
static struct policy_verdict decide(const struct policy_rule **rules, uint32_t n, const struct policy_case *c,
                                    rule_fits fits)
{
    for (uint32_t i = 0; i < n; i++) {
        if (fits(rules[i], c))
            return (struct policy_verdict){rules[i]->allow, rules[i]->flags & POLICY_LOG, 1, rules[i]};
    }
    return (struct policy_verdict){0};
}

/* Only a denial is told with the number of rules that fitted. */
static uint32_t count(const struct policy_rule **rules, uint32_t n, const struct policy_case *c,
                      rule_fits fits)
{
    uint32_t matched = 0;
    for (uint32_t i = 0; i < n; i++)
        matched += fits(rules[i], c);
    return matched;
}

struct policy_verdict policy_can_send(const struct identity *identity, const struct policy_case *c)
{
    struct policy_verdict verdict = decide(identity->send, identity->n_send, c, send_fits);
    if (!verdict.allow || verdict.log)
        verdict.matched = count(identity->send, identity->n_send, c, send_fits);
    return verdict;
}

struct policy_verdict policy_can_receive(const struct identity *identity, const struct policy_case *c)
{
    struct policy_verdict verdict = decide(identity->receive, identity->n_receive, c, receive_fits);
    if (!verdict.allow)
        verdict.matched = count(identity->receive, identity->n_receive, c, receive_fits);
    return verdict;
}
