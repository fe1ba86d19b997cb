/* SPDX-License-Identifier: MIT */
#include "group/group_peer.h"
#include "send/mediate.h"
#include "state/registry.h"
#include "wire/wire.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Lets a connection join at the end of the wake-up, unless a security module has to see all its messages. */
void group_join(struct bus *bus, struct peer *peer)
{
    struct group *group = bus->group;
    if (!group->failed && peer->listener >= 0 && !peer->group.gp && !list_linked(&peer->group.in_joining) &&
        mediate_may_join(bus, peer))
        list_append(&group->joining, &peer->group.in_joining);
}

/* Sets the stamp: SENDER as the first header field. */
static int set_stamp(const struct group *group, const struct group_peer *gp)
{
    const struct peer *peer = gp->peer;
    uint8_t stamp[8 + sizeof(peer->unique_text) + 8] = {FIELD_SENDER, 1, 's', 0};
    wire_store32(stamp + 4, peer->unique.n, gp->big_endian != WIRE_HOST_BIG_ENDIAN);
    memcpy(stamp + 8, peer->unique.s, peer->unique.n);
    return umc_set_stamp(group->fd, gp->index, stamp, (uint32_t)wire_align(8 + peer->unique.n + 1, 8));
}

static struct group_peer *group_peer_new(struct bus *bus, struct peer *peer)
{
    struct group *group = bus->group;
    struct group_peer *gp = group->n_indices > 0 ? calloc(1, sizeof(*gp)) : NULL;
    if (!gp || table_init(&gp->flow_table) < 0) {
        free(gp);
        return NULL;
    }
    gp->peer = peer;
    gp->big_endian = peer->input.big_endian;
    gp->index = group->indices[group->n_indices - 1];
    gp->side = GROUP_NO_SIDE;
    list_init(&gp->flows);
    list_init(&gp->arriving);
    return gp;
}

static void group_peer_free(struct group *group, struct group_peer *gp)
{
    group->stale_changed |= list_linked(&gp->in_stale);
    list_unlink(&gp->in_all);
    list_unlink(&gp->in_stale);
    list_unlink(&gp->in_dirty);
    list_unlink(&gp->in_retry);
    table_free(&gp->flow_table);
    free(gp->mentions);
    free(gp);
}

/*
 * Tells the kernel the peer's names, and revokes filters with rules that name it as sender, which were made
 * while it sent nothing directly.
 */
static void begin_names(struct bus *bus, struct peer *peer)
{
    uint32_t n;
    const struct span *names = registry_names(peer, &n);
    for (uint32_t i = 0; i < n && !bus->group->failed; i++)
        group_name_changed(bus, names[i], NULL);
}

static void group_peer_join(struct bus *bus, struct peer *peer)
{
    struct group *group = bus->group;
    struct group_peer *gp = group_peer_new(bus, peer);
    if (!gp) {
        group_note(bus, GROUP_FULL, "No room for another member of the group", -ENOSPC);
        return;
    }
    gp->quiet = !rest_is_large(bus);
    int error = umc_add(group->fd, peer->listener, peer->fd, gp->index, gp->index, gp->quiet);
    if (error < 0) {
        group_note(bus, GROUP_ADD, "A connection can't become a member of the group", error);
        group_peer_free(group, gp);
        return;
    }
    group->n_indices--;
    group->peers[gp->index] = gp;
    peer->group.gp = gp;
    list_append(&group->all, &gp->in_all);
    begin_names(bus, peer);
    if (group->failed)
        return;
    error = unless_left(set_stamp(group, gp));
    if (error < 0) {
        group_fail(bus, "A member of the group can't be given its name", error);
        return;
    }
    if (group->n_sides == GROUP_SIDES)
        group_policy_changed(bus);
    group_peer_set_side(bus, gp);
    group_hand_over_calls(bus, peer);
    if (!gp->quiet) {
        group_peer_stale_ingress(bus, gp);
        group_peer_stale_ingress(bus, &group->rest);
    }
    group_dirty(bus, peer);
}

/* A connection with queued messages joins later, since it is not held for them. */
void group_peers_join(struct bus *bus)
{
    LIST_FOR_SAFE (at, after, &bus->group->joining) {
        struct peer *peer = CONTAINER_OF(at, struct peer, group.in_joining);
        if (peer->output.queue.first || peer->output.pending.first)
            continue;
        list_unlink(at);
        if (peer->life == PEER_CONNECTED && !peer->monitor)
            group_peer_join(bus, peer);
        if (bus->group->failed)
            return; /* the list is empty now */
    }
}

void group_leave(struct bus *bus, struct peer *peer)
{
    struct group *group = bus->group;
    list_unlink(&peer->group.in_joining);
    struct group_peer *gp = peer->group.gp;
    if (group->failed)
        return;
    if ((!gp || gp->quiet) && match_list_count(peer->matches) > 0)
        group_peer_stale_ingress(bus, &group->rest);
    if (!gp)
        return;
    int error = umc_remove(group->fd, gp->index);
    /* -EBUSY: a delivery to it is still under way, and nothing else will be written to it. */
    if (error < 0 && error != -EBUSY) {
        group_fail(bus, "A member of the group can't leave it", error);
        return;
    }
    group_take_calls(bus, gp->index);
    flows_drop_from(bus, gp);
    flows_end_to(bus, gp);
    mentions_end(bus, peer);
    peer->group.gp = NULL;
    if (group->failed)
        return; /* freed with all others */
    group->peers[gp->index] = NULL;
    group->dead[group->n_dead++] = (struct departure){gp->index, group->departures++};
    group_peer_free(group, gp);
}

/*
 * A monitor stays a group peer. The gate is closed while there is one, and what was under way before comes
 * before all that the monitor is sent.
 */
void group_monitor(struct bus *bus, struct peer *peer)
{
    list_unlink(&peer->group.in_joining);
    if (peer->group.gp && !bus->group->failed)
        group_take_calls(bus, peer->group.gp->index);
}

/*
 * The first departure that a filter in the kernel may still name. A filter that named the group peer became
 * stale with its departure, if it was not before; the list of stale filters is in that order.
 */
static uint64_t first_named(const struct group *group)
{
    LIST_FOR (at, &group->stale) {
        const struct group_peer *gp = CONTAINER_OF(at, struct group_peer, in_stale);
        if ((gp->egress_stale && gp->has_egress) || (gp->ingress_stale && gp->has_ingress))
            return gp->stale_at;
    }
    return UINT64_MAX;
}

void group_peers_forget(struct bus *bus)
{
    struct group *group = bus->group;
    uint64_t named = group->failed || group->n_dead == 0 ? 0 : first_named(group);
    uint32_t n = 0;
    for (; n < group->n_dead && group->dead[n].number < named; n++) {
        int error = umc_forget(group->fd, group->dead[n].index);
        if (error < 0) {
            group_fail(bus, "The group does not forget who has left", error);
            return;
        }
        group->indices[group->n_indices++] = group->dead[n].index;
    }
    group->n_dead -= n;
    if (n > 0)
        memmove(group->dead, group->dead + n, group->n_dead * sizeof(*group->dead));
}
