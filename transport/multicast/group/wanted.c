/* SPDX-License-Identifier: MIT */
#include "group/group_peer.h"
#include "match/match_internal.h"
#include "state/registry.h"
#include "wire/wire.h"

#include <errno.h>
#include <stdlib.h>

#define WANTED_LOOKED_AT 16u /* equal rules of others */

/* The broadcasts that a connection wants, for its ingress filter. */
struct wanted {
    struct bus *bus;
    struct filter_rule *rules;
    uint32_t n, room;
    struct hash *mentions;
    uint32_t n_mentions;
};

_Static_assert(KEY_PATH_NAMESPACE == 3, "each key before KEY_SENDER needs a place here");

/* Adds a key. From the first key on that filters do not support, the rule asks. */
static void wanted_add_key(struct wanted *wanted, struct filter_rule *rule, uint8_t key, struct span value)
{
    struct span *const places[] = {
        [KEY_INTERFACE] = &rule->interface,
        [KEY_MEMBER] = &rule->member,
        [KEY_PATH] = &rule->path,
        [KEY_PATH_NAMESPACE] = &rule->path_namespace,
    };
    if (key < sizeof(places) / sizeof(*places)) {
        *places[key] = value;
    } else if (key == KEY_SENDER) {
        const struct peer *sender = bus_find(wanted->bus, value);
        rule->by_sender = true;
        rule->sender = sender && sender->group.gp ? sender->group.gp->index : FILTER_NO_MEMBER;
        wanted->mentions[wanted->n_mentions++] = hash_text(&wanted->bus->group->key, value);
    } else if (key == match_arg_key(0, ARG_STRING)) {
        rule->arg0 = value;
    } else {
        rule->unclear = true;
    }
}

/* Messages of the bus come through the relay. */
bool wants_of_members(const struct match_rule *rule)
{
    struct span sender;
    return match_rule_takes_broadcasts(rule, &sender) && !span_equal(sender, BUS_NAME);
}

/* True if the rest filter stands for its rules. */
static bool is_of_rest(const struct peer *peer)
{
    return (!peer->group.gp || peer->group.gp->quiet) && !peer_is_gone(peer);
}

/* True if another connection that the rest filter stands for has an equal rule. */
static bool rest_wants(const struct match_rule *rule)
{
    uint32_t looked = 0;
    LIST_FOR (at, &rule->pattern->rules) {
        const struct match_rule *other = CONTAINER_OF(at, struct match_rule, in_pattern);
        const struct peer *owner = other->list->owner;
        if (other != rule && owner && is_of_rest(owner))
            return true;
        if (++looked == WANTED_LOOKED_AT)
            break;
    }
    return false;
}

bool wanted_already(const struct group_peer *gp, const struct match_rule *rule)
{
    if (rule->copies > 1)
        return true;
    return (!gp || gp->quiet) && rest_wants(rule);
}

static void add_rule(struct wanted *wanted, const struct match_rule *rule)
{
    const struct match_pattern *pattern = rule->pattern;
    if (!wants_of_members(rule))
        return;
    struct filter_rule *made = &wanted->rules[wanted->n++];
    memset(made, 0, sizeof(*made));
    for (uint32_t i = 0; i < pattern->form.n; i++)
        wanted_add_key(wanted, made, pattern->form.keys[i], symbol_span(pattern->values[i]));
}

/* Reserves room for more rules; a rule has at most one sender. */
static bool wanted_reserve(struct wanted *wanted, uint32_t more)
{
    if (more <= wanted->room - wanted->n)
        return true;
    uint32_t room = wanted->n + more;
    struct filter_rule *rules = realloc(wanted->rules, room * sizeof(*rules));
    wanted->rules = rules ? rules : wanted->rules;
    struct hash *mentions = realloc(wanted->mentions, room * sizeof(*mentions));
    wanted->mentions = mentions ? mentions : wanted->mentions;
    wanted->room = rules && mentions ? room : wanted->room;
    return rules && mentions;
}

static bool add_rules_of(struct wanted *wanted, const struct peer *peer)
{
    if (!wanted_reserve(wanted, match_list_count(peer->matches)))
        return false;
    const struct match_rule *rule = NULL;
    while ((rule = match_list_next(peer->matches, rule)))
        add_rule(wanted, rule);
    return true;
}

static bool add_rules_of_rest(struct wanted *wanted)
{
    struct table_node *node = NULL;
    while ((node = table_walk(&wanted->bus->peers, node))) {
        const struct peer *peer = CONTAINER_OF(node, struct peer, node);
        if (is_of_rest(peer) && !add_rules_of(wanted, peer))
            return false;
    }
    return true;
}

/* Counts, until there are too many, the rules that the rest filter would have, if it were made now. */
bool rest_is_large(const struct bus *bus)
{
    uint32_t n = 0;
    struct table_node *node = NULL;
    while (n <= GROUP_REST_RULES && (node = table_walk(&bus->peers, node))) {
        const struct peer *peer = CONTAINER_OF(node, struct peer, node);
        n += is_of_rest(peer) ? match_list_count(peer->matches) : 0;
    }
    return n > GROUP_REST_RULES;
}

/*
 * The verdict of the receiver's policy on all broadcasts of a party; it asks if the verdict depends on the
 * content.
 */
static enum filter_side wanted_decide(struct bus *bus, const struct side *side, const struct peer *to)
{
    const struct policy_party sender = {side->identity, side->role};
    const struct policy_class class = {.interface = POLICY_OTHER,
                                       .member = POLICY_OTHER,
                                       .path = POLICY_OTHER,
                                       .bits = (uint32_t)MESSAGE_SIGNAL | POLICY_IS_BROADCAST};
    const struct policy_party recipient = {to->policy.identity, to->policy.role};
    const struct subject subject = subject_of(bus, to);
    if (!subject_may_send(bus, &side->subject, &subject) ||
        policy_looks_at(bus->policy, &sender, &recipient, MESSAGE_SIGNAL) != 0)
        return FILTER_SIDE_ASK;
    bool allowed = policy_outcome(bus->policy, &sender, &recipient, &class) == POLICY_ALLOWED;
    return allowed ? FILTER_SIDE_YES : FILTER_SIDE_ASK;
}

/* The verdicts on all parties. NULL: no memory. The rest filter asks about every sender. */
static uint8_t *decide_all(struct bus *bus, const struct group_peer *gp)
{
    const struct group *group = bus->group;
    uint8_t *sides = malloc((size_t)group->n_sides + 1);
    for (uint32_t i = 0; sides && i < group->n_sides; i++)
        sides[i] = (uint8_t)(gp->peer ? wanted_decide(bus, &group->sides[i], gp->peer) : FILTER_SIDE_YES);
    return sides;
}

static int wanted_compile(struct bus *bus, struct group_peer *gp, const struct wanted *wanted,
                          struct filter *filter)
{
    uint8_t *sides = decide_all(bus, gp);
    if (!sides)
        return -ENOMEM;
    const struct filter_ingress ingress = {
        .big_endian = WIRE_HOST_BIG_ENDIAN,
        .rules = wanted->rules,
        .n_rules = wanted->n,
        .sides = sides,
        .n_sides = bus->group->n_sides,
    };
    int error = filter_compile_ingress(&ingress, filter);
    free(sides);
    return error;
}

int ingress_make(struct bus *bus, struct group_peer *gp, struct filter *filter)
{
    struct group *group = bus->group;
    struct wanted wanted = {.bus = bus};
    struct policy_party side;
    if (group->generation != bus->policy->generation)
        group_policy_changed(bus);
    if (group->failed)
        return -EIO;
    if (gp->peer && !peer_party(gp->peer, bus->policy, &side))
        return -ENOMEM;
    bool added = gp->peer ? add_rules_of(&wanted, gp->peer) : add_rules_of_rest(&wanted);
    int error = added ? wanted_compile(bus, gp, &wanted, filter) : -ENOMEM;
    free(wanted.rules);
    free(gp->mentions);
    gp->mentions = wanted.mentions;
    gp->n_mentions = wanted.n_mentions;
    gp->n_rules = wanted.n;
    gp->sides_known = group->n_sides;
    return error;
}
