/* SPDX-License-Identifier: MIT */
#include "group/member.h"

#include "base/clock.h"
#include "send/monitor.h"

#include <stdlib.h>

static struct direct *direct_of(const struct bus *bus)
{
    return bus->direct;
}

static void stale(struct bus *bus, struct member *member)
{
    if (list_linked(&member->in_stale))
        return;
    member->stale_since = clock_now();
    list_append(&direct_of(bus)->stale, &member->in_stale);
}

void member_stale_egress(struct bus *bus, struct member *member)
{
    member->egress_stale = true;
    stale(bus, member);
}

void member_stale_ingress(struct bus *bus, struct member *member)
{
    member->ingress_stale = true;
    stale(bus, member);
}

/* Sets an ingress filter. The one for all connections outside the group belongs to no index. */
static int set_ingress(struct bus *bus, struct member *member, const struct filter *filter)
{
    const struct direct *direct = bus->direct;
    if (member == &direct->rest)
        return umc_set_filter(direct->group, UMC_ANY, UMC_FILTER_REST, filter);
    return umc_set_filter(direct->group, member->index, UMC_FILTER_INGRESS, filter);
}

void member_ask_egress(struct bus *bus, struct member *member)
{
    if (bus->direct->failed)
        return;
    if (member->has_egress) {
        int error = unless_left(umc_set_filter(bus->direct->group, member->index, UMC_FILTER_EGRESS, NULL));
        if (error < 0) {
            direct_fail(bus, "A filter of the group can't be taken back", error);
            return;
        }
        member->has_egress = false;
    }
    member_stale_egress(bus, member);
}

void member_ask_ingress(struct bus *bus, struct member *member)
{
    if (bus->direct->failed)
        return;
    if (member->has_ingress) {
        int error = unless_left(set_ingress(bus, member, NULL));
        if (error < 0) {
            direct_fail(bus, "A filter of the group can't be taken back", error);
            return;
        }
        member->has_ingress = false;
    }
    member_stale_ingress(bus, member);
}

/* Rebuilds the egress filter. On failure the old one, which is narrower, or the empty one stays. */
static void rebuild_egress(struct bus *bus, struct member *member)
{
    struct filter filter = {0};
    int error = egress_make(bus, member, &filter);
    if (error == -E2BIG) {
        filter_free(&filter);
        flows_drop_from(bus, member);
        error = bus->direct->failed ? -EIO : egress_make(bus, member, &filter);
    }
    if (error == 0)
        error = unless_left(umc_set_filter(bus->direct->group, member->index, UMC_FILTER_EGRESS, &filter));
    filter_free(&filter);
    if (bus->direct->failed)
        return;
    if (error < 0) {
        direct_note(bus, DIRECT_FILTER, "A filter can't be made", error);
        return;
    }
    member->has_egress = true;
    direct_dirty(bus, member->peer);
}

static bool rebuild_ingress(struct bus *bus, struct member *member)
{
    struct filter filter = {0};
    int error = ingress_make(bus, member, &filter);
    if (error == 0)
        error = unless_left(set_ingress(bus, member, &filter));
    filter_free(&filter);
    if (error == 0)
        member->has_ingress = true;
    else
        direct_note(bus, DIRECT_FILTER, "A filter can't be made", error);
    return error == 0;
}

/*
 * Sets the time of the next rebuild. A filter that lasts only milliseconds, as while a client starts, is not
 * worth its cost.
 */
static void pace(struct member *member, int64_t now, int64_t changed_at)
{
    int64_t made_at = member->rebuild_at - member->rebuild_time;
    bool lived = changed_at - made_at > MEMBER_LIFE || member->rebuild_time == 0;
    member->rebuild_time = lived ? MEMBER_REBUILD_TIME : 2 * member->rebuild_time;
    if (member->rebuild_time > MEMBER_REBUILD_MAX)
        member->rebuild_time = MEMBER_REBUILD_MAX;
    member->rebuild_at = now + member->rebuild_time;
}

/*
 * An ingress filter is replaced while it is in use, unless it changes often: an empty one would let all
 * broadcasts ask until the rebuild. Messages that depend on its new rules come after those already queued,
 * above all after the answer to AddMatch.
 */
static void renew_ingress(struct bus *bus, struct member *member)
{
    int64_t now = clock_now();
    if (member->has_ingress && !member->ingress_stale && now >= member->rebuild_at &&
        writing_hold(bus, &bus->touched)) {
        pace(member, now, now);
        if (rebuild_ingress(bus, member))
            return;
    }
    member_ask_ingress(bus, member);
}

void member_rebuild(struct bus *bus, struct member *member)
{
    bool egress = member->egress_stale, ingress = member->ingress_stale;
    member->egress_stale = member->ingress_stale = false;
    pace(member, clock_now(), member->stale_since);
    list_unlink(&member->in_stale);
    if (egress) {
        member->misses = 0;
        rebuild_egress(bus, member);
    }
    if (ingress && !bus->direct->failed)
        rebuild_ingress(bus, member);
}

bool direct_trusts(const struct direct *direct, uint32_t sender_uid, const struct peer *to)
{
    if (direct->trust_everybody || sender_uid == 0)
        return true;
    return sender_uid == to->uid && sender_uid != UINT32_MAX;
}

static uint32_t find_side(struct bus *bus, struct peer *peer)
{
    struct direct *direct = bus->direct;
    struct policy_side found;
    if (!peer_side(peer, bus->policy, &found))
        return DIRECT_NO_SIDE;
    for (uint32_t i = 0; i < direct->n_sides; i++) {
        const struct side *side = &direct->sides[i];
        if (side->identity == found.identity && side->role == found.role && side->uid == peer->uid)
            return i;
    }
    if (direct->n_sides == DIRECT_SIDES)
        return DIRECT_NO_SIDE;
    direct->sides[direct->n_sides] = (struct side){found.identity, found.role, peer->uid};
    if (direct->rest.n_rules > 0)
        member_stale_ingress(bus, &direct->rest);
    return direct->n_sides++;
}

/* A member whose party cannot be determined gets a number that no filter has, so that its messages ask. */
void member_set_side(struct bus *bus, struct member *member)
{
    struct direct *direct = bus->direct;
    if (direct->generation != bus->policy->generation)
        direct_policy_changed(bus);
    if (direct->failed || !member->peer)
        return;
    uint32_t side = find_side(bus, member->peer);
    if (side == member->side && side != DIRECT_NO_SIDE)
        return;
    member->side = side;
    flows_drop_from(bus, member);
    flows_drop_to(bus, member, (struct span){0});
    member_ask_ingress(bus, member);
    if (direct->failed)
        return;
    uint32_t number = side == DIRECT_NO_SIDE ? DIRECT_SIDES : side;
    uint32_t mark = number << FILTER_SIDE_SHIFT | member->index;
    int error = unless_left(umc_set_mark(direct->group, member->index, mark));
    if (error < 0)
        direct_fail(bus, "A member of the group can't be marked", error);
}

static bool mentions(const struct member *member, struct hash hash)
{
    for (uint32_t i = 0; i < member->n_mentions; i++) {
        if (member->mentions[i].bits == hash.bits)
            return true;
    }
    return false;
}

void mentions_end(struct bus *bus, struct peer *peer)
{
    uint32_t n;
    const struct span *names = registry_names(peer, &n);
    LIST_FOR (at, &bus->direct->all) {
        struct member *member = CONTAINER_OF(at, struct member, in_all);
        for (uint32_t i = 0; i < n; i++) {
            if (mentions(member, hash_text(&bus->direct->key, names[i])))
                member_stale_ingress(bus, member);
        }
    }
    if (bus->direct->rest.n_mentions > 0)
        member_stale_ingress(bus, &bus->direct->rest);
}

/* Finds the parties of members whose names have changed, as far as the policy mentions them. */
static void find_sides(struct bus *bus)
{
    struct direct *direct = bus->direct;
    LIST_FOR_SAFE (at, after, &direct->all) {
        struct member *member = CONTAINER_OF(at, struct member, in_all);
        if (!direct->failed && member->peer && member->peer->policy.generation == 0)
            member_set_side(bus, member);
    }
}

void direct_name_changed(struct bus *bus, struct span name, struct peer *old_owner)
{
    struct direct *direct = bus->direct;
    if (direct->failed)
        return;
    struct hash hash = hash_text(&direct->key, name);
    LIST_FOR_SAFE (at, after, &direct->all) {
        struct member *member = CONTAINER_OF(at, struct member, in_all);
        if (mentions(member, hash))
            member_ask_ingress(bus, member);
        if (direct->failed)
            return;
    }
    if (mentions(&direct->rest, hash))
        member_ask_ingress(bus, &direct->rest);
    if (!direct->failed && old_owner && old_owner->group.member)
        flows_drop_to(bus, old_owner->group.member, name);
    find_sides(bus);
}

void direct_rules_changed(struct bus *bus, struct peer *peer, const struct match_rule *rule)
{
    struct direct *direct = bus->direct;
    if (direct->failed)
        return;
    if (wants_of_members(rule))
        renew_ingress(bus, peer->group.member ? peer->group.member : &direct->rest);
    direct_watched(bus);
}

/* The numbers of parties become invalid: messages of every member ask until it has a new one. */
void direct_policy_changed(struct bus *bus)
{
    struct direct *direct = bus->direct;
    if (direct->failed)
        return;
    direct->generation = bus->policy->generation;
    direct->n_sides = 0;
    LIST_FOR (at, &direct->all)
        CONTAINER_OF(at, struct member, in_all)->side = DIRECT_NO_SIDE;
    /* old numbers leave all filters before new ones are given out */
    LIST_FOR (at, &direct->all) {
        if (!direct->failed)
            member_ask_ingress(bus, CONTAINER_OF(at, struct member, in_all));
    }
    LIST_FOR (at, &direct->all) {
        if (!direct->failed)
            member_set_side(bus, CONTAINER_OF(at, struct member, in_all));
    }
}

void direct_limits_changed(struct bus *bus)
{
    struct direct *direct = bus->direct;
    LIST_FOR (at, &direct->all) {
        if (!direct->failed)
            member_ask_egress(bus, CONTAINER_OF(at, struct member, in_all));
    }
}
