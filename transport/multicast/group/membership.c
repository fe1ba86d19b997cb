/* SPDX-License-Identifier: MIT */
#include "group/member.h"
#include "state/registry.h"
#include "wire/wire.h"

#include <errno.h>
#include <stdlib.h>

void direct_join(struct bus *bus, struct peer *peer)
{
    struct direct *direct = bus->direct;
    if (!direct->failed && peer->listener >= 0 && !peer->group.member &&
        !list_linked(&peer->group.in_joining))
        list_append(&direct->joining, &peer->group.in_joining);
}

/* Sets the stamp: SENDER as the first header field. */
static int set_stamp(const struct direct *direct, const struct member *member)
{
    const struct peer *peer = member->peer;
    uint8_t stamp[8 + sizeof(peer->unique_text) + 8] = {FIELD_SENDER, 1, 's', 0};
    wire_store32(stamp + 4, peer->unique.n, member->big_endian != WIRE_HOST_BIG_ENDIAN);
    memcpy(stamp + 8, peer->unique.s, peer->unique.n);
    return umc_set_stamp(direct->group, member->index, stamp,
                         (uint32_t)wire_align(8 + peer->unique.n + 1, 8));
}

static struct member *member_new(struct bus *bus, struct peer *peer)
{
    struct direct *direct = bus->direct;
    struct member *member = direct->n_indices > 0 ? calloc(1, sizeof(*member)) : NULL;
    if (!member || table_init(&member->flow_table) < 0) {
        free(member);
        return NULL;
    }
    member->peer = peer;
    member->big_endian = peer->input.big_endian;
    member->index = direct->indices[direct->n_indices - 1];
    member->side = DIRECT_NO_SIDE;
    list_init(&member->flows);
    list_init(&member->arriving);
    return member;
}

static void member_free(struct member *member)
{
    list_unlink(&member->in_all);
    list_unlink(&member->in_stale);
    list_unlink(&member->in_dirty);
    list_unlink(&member->in_retry);
    table_free(&member->flow_table);
    free(member->mentions);
    free(member);
}

/* Revokes filters with rules that name the peer as sender, which were made while it sent nothing directly. */
static void begin_mentions(struct bus *bus, struct peer *peer)
{
    uint32_t n;
    const struct span *names = registry_names(peer, &n);
    for (uint32_t i = 0; i < n; i++)
        direct_name_changed(bus, names[i], NULL);
}

static void membership_join(struct bus *bus, struct peer *peer)
{
    struct direct *direct = bus->direct;
    struct member *member = member_new(bus, peer);
    if (!member) {
        direct_note(bus, DIRECT_FULL, "No room for another member of the group", -ENOSPC);
        return;
    }
    int error = umc_add(direct->group, peer->listener, peer->fd, member->index, member->index);
    if (error < 0) {
        direct_note(bus, DIRECT_ADD, "A connection can't become a member of the group", error);
        member_free(member);
        return;
    }
    direct->n_indices--;
    direct->members[member->index] = member;
    peer->group.member = member;
    list_append(&direct->all, &member->in_all);
    begin_mentions(bus, peer);
    error = unless_left(set_stamp(direct, member));
    if (error < 0) {
        direct_fail(bus, "A member of the group can't be given its name", error);
        return;
    }
    if (direct->n_sides == DIRECT_SIDES)
        direct_policy_changed(bus);
    member_set_side(bus, member);
    member_stale_ingress(bus, member);
    if (match_list_count(peer->matches) > 0)
        member_stale_ingress(bus, &direct->rest);
    direct_dirty(bus, peer);
}

/* A connection with queued messages joins later, since it is not held for them. */
void members_join(struct bus *bus)
{
    LIST_FOR_SAFE (at, after, &bus->direct->joining) {
        struct peer *peer = CONTAINER_OF(at, struct peer, group.in_joining);
        if (peer->output.queue.first || peer->output.pending.first)
            continue;
        list_unlink(at);
        if (peer->life == PEER_CONNECTED && !peer->monitor && !bus->direct->failed)
            membership_join(bus, peer);
    }
}

void direct_leave(struct bus *bus, struct peer *peer)
{
    struct direct *direct = bus->direct;
    list_unlink(&peer->group.in_joining);
    struct member *member = peer->group.member;
    if (direct->failed)
        return;
    if (!member) {
        if (match_list_count(peer->matches) > 0)
            member_stale_ingress(bus, &direct->rest);
        return;
    }
    int error = umc_remove(direct->group, member->index);
    if (error < 0) {
        direct_fail(bus, "A member of the group can't leave it", error);
        return;
    }
    direct_take_calls(bus, member->index);
    flows_drop_from(bus, member);
    flows_end_to(bus, member);
    mentions_end(bus, peer);
    peer->group.member = NULL;
    if (direct->failed)
        return; /* freed with all others */
    direct->members[member->index] = NULL;
    direct->dead[direct->n_dead++] = member->index;
    member_free(member);
}

/* Once no filter is stale, none names the members that have left. */
void members_forget(struct bus *bus)
{
    struct direct *direct = bus->direct;
    if (direct->failed || !list_empty(&direct->stale))
        return;
    while (direct->n_dead > 0) {
        uint32_t index = direct->dead[--direct->n_dead];
        int error = umc_forget(direct->group, index);
        if (error < 0) {
            direct_fail(bus, "The group does not forget who has left", error);
            return;
        }
        direct->indices[direct->n_indices++] = index;
    }
}
