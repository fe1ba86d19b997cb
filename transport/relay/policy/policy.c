/* SPDX-License-Identifier: MIT */
#include "policy/policy_internal.h"

void policy_classify(const struct policy *policy, const struct message *m, struct policy_class *class)
{
    class->path = policy_symbol(policy, POLICY_PATH, m->path);
    class->interface = policy_symbol(policy, POLICY_INTERFACE, m->interface);
    class->member = policy_symbol(policy, POLICY_MEMBER, m->member);
    class->error = policy_symbol(policy, POLICY_ERROR, m->error_name);
    class->n_fds = policy->counts_fds ? m->n_fds : 0;
    class->bits = m->type;
    if (m->reply_serial != 0)
        class->bits |= POLICY_IS_REPLY;
    if (!m->destination.s && m->type == MESSAGE_SIGNAL)
        class->bits |= POLICY_IS_BROADCAST;
}

/* A requested reply is subject to the rules for requested replies only, and vice versa. */
static bool reply_fits(const struct policy_rule *rule, uint32_t bits)
{
    if (!(bits & POLICY_IS_REPLY))
        return true;
    bool for_requested = rule->flags & POLICY_REQUESTED_REPLY;
    if (bits & POLICY_IS_REQUESTED)
        return rule->allow || for_requested;
    return !rule->allow || !for_requested || rule->flags & POLICY_EAVESDROP;
}

/*
 * A rule also applies to messages that lack a field that it filters by, so leaving out a field evades no
 * rule.
 */
static bool field_fits(uint32_t filter, uint32_t field)
{
    return filter == POLICY_ABSENT || field == POLICY_ABSENT || filter == field;
}

static bool broadcast_fits(const struct policy_rule *rule, uint32_t bits)
{
    return !(rule->flags & (bits & POLICY_IS_BROADCAST ? POLICY_NO_BROADCAST : POLICY_BROADCAST));
}

/*
 * "eavesdrop" extends an allow rule to messages addressed to another peer, and restricts a deny rule to them.
 */
static bool eavesdropping_fits(const struct policy_rule *rule, uint32_t bits)
{
    bool eavesdrop = rule->flags & POLICY_EAVESDROP;
    return bits & POLICY_IS_EAVESDROPPING ? !rule->allow || eavesdrop : rule->allow || !eavesdrop;
}

/* Destination and interface fit already: the index is ordered by them. */
static bool rule_fits(const struct policy_rule *rule, const struct policy_class *class)
{
    if (rule->message_type != 0 && rule->message_type != (class->bits & POLICY_TYPE_BITS))
        return false;
    return (rule->kind == POLICY_SEND ? broadcast_fits(rule, class->bits)
                                      : eavesdropping_fits(rule, class->bits)) &&
           reply_fits(rule, class->bits) && field_fits(rule->member, class->member) &&
           field_fits(rule->path, class->path) && field_fits(rule->error, class->error) &&
           class->n_fds >= rule->min_fds && class->n_fds <= rule->max_fds;
}

/* The search for the deciding rule: the last one that fits. */
struct search {
    const struct policy *policy;
    const struct policy_index *index;
    const struct policy_class *class;
    const struct policy_entry *last; /* NULL: none yet */
    uint32_t matched;
    bool counting; /* continue after the last one is found */
};

static const struct policy_entry *first_entry(const struct policy_index *index, uint32_t destination,
                                              uint32_t interface)
{
    uint32_t low = 0, high = index->n;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        const struct policy_entry *at = &index->entries[middle];
        if (at->destination < destination || (at->destination == destination && at->interface < interface))
            low = middle + 1;
        else
            high = middle;
    }
    return index->entries + low;
}

static void search_entries(struct search *search, uint32_t destination, uint32_t interface)
{
    const struct policy_entry *end = search->index->entries + search->index->n;
    const struct policy_entry *at = first_entry(search->index, destination, interface);
    for (; at < end && at->destination == destination && at->interface == interface; at++) {
        bool later = !search->last || at->position > search->last->position;
        if (!later && !search->counting)
            return;
        if (!rule_fits(&search->policy->rules[at->rule], search->class))
            continue;
        search->matched++;
        if (later)
            search->last = at;
    }
}

static void search_destination(struct search *search, uint32_t destination)
{
    search_entries(search, destination, POLICY_OTHER);
    if (search->class->interface != POLICY_OTHER)
        search_entries(search, destination, search->class->interface);
}

static struct policy_verdict policy_decide(const struct policy *policy, const struct policy_index *index,
                                           const struct role *role, const struct policy_class *class,
                                           bool counting)
{
    struct search search = {policy, index, class, NULL, 0, counting};
    search_destination(&search, POLICY_ABSENT);
    for (uint32_t i = 0; i < role->n; i++)
        search_destination(&search, role->names[i]);
    if (!search.last)
        return (struct policy_verdict){0};
    const struct policy_rule *rule = &policy->rules[search.last->rule];
    return (struct policy_verdict){rule->allow, rule->flags & POLICY_LOG, search.matched, rule};
}

bool policy_names_interface(const struct policy_rule *rule)
{
    return rule && rule->interface != POLICY_ABSENT;
}

struct policy_place policy_place(const struct policy *policy, const struct policy_rule *rule)
{
    if (!rule || rule->file == 0)
        return (struct policy_place){NULL, 0};
    return (struct policy_place){policy->strings + rule->file, rule->line};
}

struct policy_verdict policy_can_send(const struct policy *policy, const struct rule_set *sender,
                                      const struct role *recipient, const struct policy_class *class)
{
    return policy_decide(policy, &sender->send, recipient, class, true);
}

struct policy_verdict policy_can_receive(const struct policy *policy, const struct rule_set *recipient,
                                         const struct role *sender, const struct policy_class *class)
{
    return policy_decide(policy, &recipient->receive, sender, class, true);
}

static uint32_t fields_of(const struct policy_rule *rule)
{
    return (rule->path != POLICY_ABSENT ? 1u << POLICY_PATH : 0) |
           (rule->interface != POLICY_ABSENT ? 1u << POLICY_INTERFACE : 0) |
           (rule->member != POLICY_ABSENT ? 1u << POLICY_MEMBER : 0) |
           (rule->error != POLICY_ABSENT ? 1u << POLICY_ERROR : 0);
}

static uint32_t entries_look_at(const struct policy *policy, const struct policy_index *index,
                                uint32_t destination, uint8_t type)
{
    uint32_t fields = 0;
    const struct policy_entry *end = index->entries + index->n;
    const struct policy_entry *at = first_entry(index, destination, 0);
    for (; at < end && at->destination == destination; at++) {
        const struct policy_rule *rule = &policy->rules[at->rule];
        if (rule->message_type == 0 || rule->message_type == type)
            fields |= fields_of(rule);
    }
    return fields;
}

static uint32_t index_looks_at(const struct policy *policy, const struct policy_index *index,
                               const struct role *role, uint8_t type)
{
    uint32_t fields = entries_look_at(policy, index, POLICY_ABSENT, type);
    for (uint32_t i = 0; i < role->n; i++)
        fields |= entries_look_at(policy, index, role->names[i], type);
    return fields;
}

uint32_t policy_looks_at(const struct policy *policy, const struct policy_party *sender,
                         const struct policy_party *recipient, uint8_t type)
{
    uint32_t fields = 0;
    if (sender->identity)
        fields |= index_looks_at(policy, &sender->identity->send, recipient->role, type);
    if (recipient->identity)
        fields |= index_looks_at(policy, &recipient->identity->receive, sender->role, type);
    return fields;
}

static uint32_t outcome(const struct policy *policy, const struct policy_party *sender,
                        const struct policy_party *recipient, const struct policy_class *class)
{
    uint32_t logged = 0;
    if (sender->identity) {
        struct policy_verdict verdict =
            policy_decide(policy, &sender->identity->send, recipient->role, class, false);
        if (!verdict.allow)
            return POLICY_DENIED;
        logged = verdict.log ? POLICY_LOGGED : 0;
    }
    if (recipient->identity &&
        !policy_decide(policy, &recipient->identity->receive, sender->role, class, false).allow)
        return logged | POLICY_DENIED;
    return logged | POLICY_ALLOWED;
}

/* Multiplies each word by a constant of its own; the upper bits choose the memo entry. */
static uint32_t memo_number(const struct policy_key *key)
{
    static const uint64_t factors[] = {0x9e3779b97f4a7c15u, 0xbf58476d1ce4e5b9u, 0x94d049bb133111ebu,
                                       0xd6e8feb86659fd93u, 0xa0761d6478bd642fu};
    uint64_t words[sizeof(*key) / 8], h = 0;
    _Static_assert(sizeof(words) == sizeof(*key) && sizeof(words) == sizeof(factors), "whole words");
    memcpy(words, key, sizeof(words));
    for (size_t i = 0; i < sizeof(words) / 8; i++)
        h ^= words[i] * factors[i];
    return (uint32_t)(h >> (64 - POLICY_MEMO_BITS));
}

uint32_t policy_outcome(struct policy *policy, const struct policy_party *sender,
                        const struct policy_party *recipient, const struct policy_class *class)
{
    const struct policy_key key = {
        .sender = sender->identity ? sender->identity->id : 0,
        .sender_role = sender->role->id,
        .recipient = recipient->identity ? recipient->identity->id : 0,
        .recipient_role = recipient->role->id,
        .class = *class,
    };
    struct policy_memo *memo = &policy->memos[memo_number(&key)];
    if (memo->outcome == 0 || memcmp(&memo->key, &key, sizeof(key)) != 0) {
        memo->key = key;
        memo->outcome = outcome(policy, sender, recipient, class);
    }
    return memo->outcome;
}
