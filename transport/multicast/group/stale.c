/* SPDX-License-Identifier: MIT */
#include "base/clock.h"
#include "group/group_peer.h"

static void stale(struct bus *bus, struct group_peer *gp)
{
    struct group *group = bus->group;
    group->stale_changed = true;
    if (list_linked(&gp->in_stale))
        return;
    gp->stale_since = clock_now();
    gp->stale_at = group->departures;
    list_append(&group->stale, &gp->in_stale);
}

void group_peer_stale_egress(struct bus *bus, struct group_peer *gp)
{
    if (gp->egress_stale)
        return;
    gp->egress_stale = true;
    stale(bus, gp);
}

void group_peer_stale_ingress(struct bus *bus, struct group_peer *gp)
{
    if (gp->ingress_stale)
        return;
    gp->ingress_stale = true;
    stale(bus, gp);
}

void group_peer_heard(struct bus *bus, struct group_peer *gp)
{
    if (++gp->heard == GROUP_PEER_HEARD)
        group_peer_stale_ingress(bus, gp);
}

void group_peer_missed(struct bus *bus, struct group_peer *gp)
{
    if (gp->egress_stale && ++gp->misses >= GROUP_PEER_MISSES)
        bus->group->stale_changed = true;
}

void group_missed(struct bus *bus)
{
    struct group *group = bus->group;
    if (group->n_stale_ingress > 0 && ++group->misses >= group->enough_misses)
        group->stale_changed = true;
}

/* Broadcasts after which the ingress filter of a group peer is made. */
static uint32_t enough_misses(const struct group *group, const struct group_peer *gp)
{
    uint32_t rules = gp == &group->rest ? gp->n_rules / GROUP_REST_RULES_A_MISS : 0;
    return group->n_stale_ingress * GROUP_MISSES + rules;
}

/* Milliseconds until the filters of a group peer are due; -1: when they are missed more. */
static int64_t rebuild_wait(const struct group *group, const struct group_peer *gp, int64_t now)
{
    if (gp->ingress_stale && (gp->quiet || group->misses >= enough_misses(group, gp)))
        return 0;
    bool missed = gp->egress_stale && gp->misses >= GROUP_PEER_MISSES;
    if (!missed && !gp->egress_stale && !gp->has_ingress)
        return -1;
    int64_t at = missed ? gp->rebuild_at : gp->stale_since + GROUP_PEER_PATIENCE;
    return at > now ? at - now : 0;
}

static void count_stale_ingress(struct group *group)
{
    group->n_stale_ingress = 0;
    LIST_FOR (at, &group->stale)
        group->n_stale_ingress += CONTAINER_OF(at, struct group_peer, in_stale)->ingress_stale;
    if (group->n_stale_ingress == 0)
        group->misses = 0;
}

/* Finds those that are due, and when the others will be. Returns their number. */
static uint32_t find_due(struct group *group, struct group_peer *due[GROUP_REBUILDS], int64_t now)
{
    uint32_t n = 0;
    group->rebuild_at = -1;
    group->enough_misses = UINT32_MAX;
    LIST_FOR (at, &group->stale) {
        struct group_peer *gp = CONTAINER_OF(at, struct group_peer, in_stale);
        int64_t wait = rebuild_wait(group, gp, now);
        if (wait == 0 && n < GROUP_REBUILDS) {
            due[n++] = gp;
            continue;
        }
        if (wait >= 0 && (group->rebuild_at < 0 || now + wait < group->rebuild_at))
            group->rebuild_at = now + wait;
        uint32_t enough = gp->ingress_stale ? enough_misses(group, gp) : UINT32_MAX;
        if (enough < group->enough_misses)
            group->enough_misses = enough;
    }
    return n;
}

/* Notes when the next one is due. */
static void set_wait(struct group *group, int64_t now)
{
    int64_t wait = group->rebuild_at < 0 ? -1 : group->rebuild_at - now;
    group->rebuild_wait = (int)(group->rebuild_at >= 0 && wait < 0 ? 0 : wait);
}

/*
 * Looks at the stale filters only if one may be due: in a log-in there are some thirty, of which few are ever
 * made, and wake-ups by the thousand.
 */
uint32_t group_due(struct group *group, struct group_peer *due[GROUP_REBUILDS])
{
    uint32_t n = 0;
    int64_t now = group->stale_changed || group->rebuild_at >= 0 ? clock_now() : 0;
    if (group->stale_changed || (group->rebuild_at >= 0 && group->rebuild_at <= now)) {
        count_stale_ingress(group);
        n = find_due(group, due, now);
        group->stale_changed = n > 0;
    }
    set_wait(group, now);
    return n;
}
