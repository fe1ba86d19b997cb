/* SPDX-License-Identifier: MIT */
#include "group/group_peer.h"

#include "base/clock.h"
#include "send/monitor.h"

#include <stdlib.h>

/* Sets an ingress filter. The rest filter belongs to no index. */
static int set_ingress(struct bus *bus, struct group_peer *gp, const struct filter *filter)
{
    const struct group *group = bus->group;
    if (gp == &group->rest)
        return umc_set_filter(group->fd, UMC_ANY, UMC_FILTER_REST, filter);
    return umc_set_filter(group->fd, gp->index, UMC_FILTER_INGRESS, filter);
}

/* Empties a filter in the kernel, so that all that it decides about asks. */
static void take_back_egress(struct bus *bus, struct group_peer *gp)
{
    if (bus->group->failed || !gp->has_egress)
        return;
    int error = unless_left(umc_set_filter(bus->group->fd, gp->index, UMC_FILTER_EGRESS, NULL));
    if (error < 0)
        group_fail(bus, "A filter of the group can't be taken back", error);
    else
        gp->has_egress = false;
}

static void take_back_ingress(struct bus *bus, struct group_peer *gp)
{
    if (bus->group->failed || !gp->has_ingress)
        return;
    int error = unless_left(set_ingress(bus, gp, NULL));
    if (error < 0)
        group_fail(bus, "A filter of the group can't be taken back", error);
    else
        gp->has_ingress = false;
}

void group_peer_ask_egress(struct bus *bus, struct group_peer *gp)
{
    take_back_egress(bus, gp);
    if (!bus->group->failed)
        group_peer_stale_egress(bus, gp);
}

void group_peer_ask_ingress(struct bus *bus, struct group_peer *gp)
{
    take_back_ingress(bus, gp);
    bus->group->misses = 0;
    if (!bus->group->failed)
        group_peer_stale_ingress(bus, gp);
}

/* True if a filter that could not be made may be made later. */
static bool filter_later(int error)
{
    return error == -ENOMEM || error == -EDQUOT;
}

/* Rebuilds the egress filter. On failure it is emptied: the old one may name group peers that have left. */
static void rebuild_egress(struct bus *bus, struct group_peer *gp)
{
    struct filter filter = {0};
    int error = egress_make(bus, gp, &filter);
    if (error == -E2BIG) {
        filter_free(&filter);
        flows_drop_from(bus, gp);
        error = bus->group->failed ? -EIO : egress_make(bus, gp, &filter);
    }
    if (error == 0)
        error = unless_left(umc_set_filter(bus->group->fd, gp->index, UMC_FILTER_EGRESS, &filter));
    filter_free(&filter);
    if (bus->group->failed)
        return;
    if (error < 0) {
        group_note(bus, GROUP_FILTER, "A filter can't be made", error);
        take_back_egress(bus, gp);
        if (filter_later(error) && !bus->group->failed)
            group_peer_stale_egress(bus, gp);
        return;
    }
    gp->has_egress = true;
    gp->vain = 0;
    group_dirty(bus, gp->peer);
}

static bool rebuild_ingress(struct bus *bus, struct group_peer *gp)
{
    struct filter filter = {0};
    int error = ingress_make(bus, gp, &filter);
    if (error == 0)
        error = unless_left(set_ingress(bus, gp, &filter));
    filter_free(&filter);
    if (error == 0) {
        gp->has_ingress = true;
        if (gp->quiet)
            group_peer_stale_ingress(bus, &bus->group->rest);
        gp->quiet = false;
        return true;
    }
    if (bus->group->failed)
        return false;
    group_note(bus, GROUP_FILTER, "A filter can't be made", error);
    take_back_ingress(bus, gp);
    if (filter_later(error) && !bus->group->failed)
        group_peer_stale_ingress(bus, gp);
    return false;
}

/*
 * Sets the time of the next rebuild. A filter that lasts only milliseconds, as while a client starts, is not
 * worth its cost.
 */
static void pace(struct group_peer *gp, int64_t now, int64_t changed_at)
{
    int64_t made_at = gp->rebuild_at - gp->rebuild_time;
    bool lived = changed_at - made_at > GROUP_PEER_LIFE || gp->rebuild_time == 0;
    gp->rebuild_time = lived ? GROUP_PEER_REBUILD_TIME : 2 * gp->rebuild_time;
    if (gp->rebuild_time > GROUP_PEER_REBUILD_MAX)
        gp->rebuild_time = GROUP_PEER_REBUILD_MAX;
    gp->rebuild_at = now + gp->rebuild_time;
}

/*
 * An ingress filter is replaced while it is in use, unless it changes often: an empty one would let all
 * broadcasts ask until the rebuild. Messages that depend on its new rules come after those already queued,
 * above all after the answer to AddMatch. The rest filter is large, and others' rules come all the time.
 */
static void renew_ingress(struct bus *bus, struct group_peer *gp)
{
    int64_t now = clock_now();
    if (gp->peer && gp->has_ingress && !gp->ingress_stale && now >= gp->rebuild_at &&
        writing_hold(bus, &bus->touched)) {
        pace(gp, now, now);
        if (rebuild_ingress(bus, gp))
            return;
    }
    group_peer_ask_ingress(bus, gp);
}

void group_peer_rebuild(struct bus *bus, struct group_peer *gp)
{
    group_peer_know_side(bus, gp);
    if (bus->group->failed)
        return;
    bool egress = gp->egress_stale, ingress = gp->ingress_stale;
    gp->egress_stale = gp->ingress_stale = false;
    pace(gp, clock_now(), gp->stale_since);
    list_unlink(&gp->in_stale);
    if (egress) {
        gp->misses = 0;
        rebuild_egress(bus, gp);
    }
    if (ingress && !bus->group->failed)
        rebuild_ingress(bus, gp);
}

/*
 * Goes on without names, so that all is learned. The kernel's names and classes are no longer kept, so it
 * must not use them.
 */
static void give_up_names(struct bus *bus, int error)
{
    struct group *group = bus->group;
    if (group->nameless)
        return;
    group->nameless = true;
    group_note(bus, GROUP_NAMES, "Members of the group can't be found by name", error);
    error = umc_set_filter(group->fd, UMC_ANY, UMC_FILTER_SHARED, NULL);
    if (error < 0)
        group_fail(bus, "The filter that members share can't be taken back", error);
}

static uint32_t find_side(struct bus *bus, struct peer *peer)
{
    struct group *group = bus->group;
    bool added = false;
    uint32_t side = side_find(bus, peer, &added);
    if (!added)
        return side;
    if (group->rest.n_rules > 0)
        group_peer_stale_ingress(bus, &group->rest);
    int error = naming_side_added(bus, side);
    if (error < 0)
        give_up_names(bus, error);
    return side;
}

/*
 * A group peer whose party cannot be determined gets a number that no filter has, so that its messages ask.
 */
void group_peer_set_side(struct bus *bus, struct group_peer *gp)
{
    struct group *group = bus->group;
    if (group->generation != bus->policy->generation)
        group_policy_changed(bus);
    if (group->failed || !gp->peer)
        return;
    uint32_t side = find_side(bus, gp->peer);
    gp->sided = group->numbering;
    if (side == gp->side && side != GROUP_NO_SIDE)
        return;
    gp->side = side;
    flows_drop_from(bus, gp);
    flows_drop_to(bus, gp, (struct span){0});
    if (!group->failed && !gp->quiet)
        group_peer_ask_ingress(bus, gp);
    if (group->failed)
        return;
    uint32_t number = side == GROUP_NO_SIDE ? GROUP_SIDES : side;
    uint32_t mark = number << FILTER_SIDE_SHIFT | gp->index;
    int error = unless_left(umc_set_mark(group->fd, gp->index, mark));
    if (error < 0) {
        group_fail(bus, "A member of the group can't be marked", error);
        return;
    }
    error = naming_set_class(group, gp);
    if (error < 0)
        give_up_names(bus, error);
    gp->vain = 0;
    if (gp->named)
        group_dirty(bus, gp->peer);
}

void group_peer_know_side(struct bus *bus, struct group_peer *gp)
{
    const struct group *group = bus->group;
    if (gp->sided != group->numbering || group->generation != bus->policy->generation)
        group_peer_set_side(bus, gp);
}

static bool mentions(const struct group_peer *gp, struct hash hash)
{
    for (uint32_t i = 0; i < gp->n_mentions; i++) {
        if (gp->mentions[i].bits == hash.bits)
            return true;
    }
    return false;
}

void mentions_end(struct bus *bus, struct peer *peer)
{
    uint32_t n;
    const struct span *names = registry_names(peer, &n);
    LIST_FOR (at, &bus->group->all) {
        struct group_peer *gp = CONTAINER_OF(at, struct group_peer, in_all);
        for (uint32_t i = 0; i < n; i++) {
            if (mentions(gp, hash_text(&bus->group->key, names[i])))
                group_peer_stale_ingress(bus, gp);
        }
    }
    for (uint32_t i = 0; i < n; i++) {
        if (mentions(&bus->group->rest, hash_text(&bus->group->key, names[i])))
            group_peer_stale_ingress(bus, &bus->group->rest);
    }
}

/* Finds the parties of group peers whose names have changed, as far as the policy mentions them. */
static void find_sides(struct bus *bus)
{
    struct group *group = bus->group;
    LIST_FOR_SAFE (at, after, &group->all) {
        struct group_peer *gp = CONTAINER_OF(at, struct group_peer, in_all);
        if (!group->failed && gp->peer && gp->peer->policy.generation == 0)
            group_peer_set_side(bus, gp);
    }
}

void group_name_changed(struct bus *bus, struct span name, struct peer *old_owner)
{
    struct group *group = bus->group;
    if (group->failed)
        return;
    struct hash hash = hash_text(&group->key, name);
    LIST_FOR_SAFE (at, after, &group->all) {
        struct group_peer *gp = CONTAINER_OF(at, struct group_peer, in_all);
        if (mentions(gp, hash))
            group_peer_ask_ingress(bus, gp);
        if (group->failed)
            return;
    }
    if (mentions(&group->rest, hash))
        group_peer_ask_ingress(bus, &group->rest);
    if (!group->failed && old_owner && old_owner->group.gp)
        flows_drop_to(bus, old_owner->group.gp, name);
    find_sides(bus);
    int error = naming_name_changed(bus, name, old_owner);
    if (error == -ENOSPC)
        group_note(bus, GROUP_NAMES, "A member of the group can't be found by name", error);
    else if (error < 0)
        give_up_names(bus, error);
}

static void rule_changed(struct bus *bus, struct group_peer *gp)
{
    if (gp && gp->quiet && bus->group->rest.has_ingress)
        group_peer_heard(bus, gp);
    renew_ingress(bus, gp && !gp->quiet ? gp : &bus->group->rest);
}

void group_rule_added(struct bus *bus, struct peer *peer, const struct match_rule *rule)
{
    struct group_peer *gp = peer->group.gp;
    if (bus->group->failed)
        return;
    if (wants_of_members(rule) && !wanted_already(gp, rule))
        rule_changed(bus, gp);
    group_watched(bus);
}

/* The rest filter may say that more is wanted than is: that goes through the relay. */
void group_rule_removed(struct bus *bus, struct peer *peer, const struct match_rule *rule)
{
    struct group_peer *gp = peer->group.gp;
    if (bus->group->failed)
        return;
    if (wants_of_members(rule) && gp && !gp->quiet)
        rule_changed(bus, gp);
    else if (wants_of_members(rule))
        group_peer_stale_ingress(bus, &bus->group->rest);
    group_watched(bus);
}

/* The filters that the kernel has of a group peer are empty. */
static void revoked(struct bus *bus, struct group_peer *gp)
{
    gp->has_egress = gp->has_ingress = false;
    if (gp->peer)
        group_peer_stale_egress(bus, gp);
    if (!gp->quiet)
        group_peer_stale_ingress(bus, gp);
}

/*
 * One call empties all filters, however many group peers there are, and lets the group go on after another
 * policy of SELinux was announced and read. The numbers of parties become invalid,
 * and a group peer gets its new one before its first filter.
 */
void group_policy_changed(struct bus *bus)
{
    struct group *group = bus->group;
    if (group->failed)
        return;
    group->generation = bus->policy->generation;
    group->numbering++;
    sides_end(group);
    int error = umc_revoke(group->fd);
    group->unread = error > 0 ? group->unread + 1 : 0;
    if (group->unread > GROUP_UNREAD_MAX)
        error = -EIO;
    if (error < 0) {
        group_fail(bus, "The filters of the group can't be taken back", error);
        return;
    }
    revoked(bus, &group->rest);
    LIST_FOR (at, &group->all) {
        struct group_peer *gp = CONTAINER_OF(at, struct group_peer, in_all);
        gp->side = GROUP_NO_SIDE;
        gp->named = false;
        revoked(bus, gp);
        flows_drop_from(bus, gp);
    }
}

void group_limits_changed(struct bus *bus)
{
    struct group *group = bus->group;
    group_time_calls(bus);
    LIST_FOR (at, &group->all) {
        if (!group->failed)
            group_peer_ask_egress(bus, CONTAINER_OF(at, struct group_peer, in_all));
    }
    int error = group->failed || group->nameless ? 0 : naming_set_shared(bus, group);
    if (error < 0)
        give_up_names(bus, error);
}
