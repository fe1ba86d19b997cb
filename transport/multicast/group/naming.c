/* SPDX-License-Identifier: MIT */
#include "group/group_peer.h"

#include "state/registry.h"
#include "wire/wire.h"

#include <errno.h>

/*
 * Names and classes: what two group peers may send each other before either has sent anything.
 *
 * The kernel knows the names of group peers, and one egress filter, the same for all, tells it where a
 * message has the name of its recipient. The policy is told as classes: a class is a party (struct side), and
 * accepts from another those types of messages that the policy allows as a whole, whatever their other fields
 * are. All else is learned, flow by flow (flow.c).
 *
 * A name is taken back in the wake-up in which its owner changes, as flows are. UMC_REVOKE takes back all
 * classes.
 */

static const uint8_t topic_types[UMC_TOPICS] = {FILTER_TOPICS};

int naming_set_shared(const struct bus *bus, const struct group *group)
{
    uint32_t limit = bus->limits.max_message_size;
    struct filter filter = {0};
    int error = filter_compile_shared(limit < FILTER_MAX_MESSAGE ? limit : FILTER_MAX_MESSAGE, &filter);
    if (error == 0)
        error = umc_set_filter(group->fd, UMC_ANY, UMC_FILTER_SHARED, &filter);
    filter_free(&filter);
    return error;
}

/* True if the policy allows all messages of the type, and lets them go unlogged. */
static bool allows_all(struct bus *bus, const struct side *from, const struct side *to, uint8_t type)
{
    const struct policy_party sender = {from->identity, from->role}, recipient = {to->identity, to->role};
    bool is_reply = type == MESSAGE_METHOD_RETURN || type == MESSAGE_ERROR;
    const struct policy_class class = {.interface = POLICY_OTHER,
                                       .member = POLICY_OTHER,
                                       .path = POLICY_OTHER,
                                       .error = POLICY_OTHER,
                                       .bits =
                                           type | (is_reply ? POLICY_IS_REPLY | POLICY_IS_REQUESTED : 0u)};
    return policy_looks_at(bus->policy, &sender, &recipient, type) == 0 &&
           policy_outcome(bus->policy, &sender, &recipient, &class) == POLICY_ALLOWED;
}

/* Adds what one side accepts of another. True if it accepts anything. */
static bool accept_from(struct bus *bus, uint32_t from, uint32_t to)
{
    const struct group *group = bus->group;
    struct side *sides = group->sides;
    bool any = false;
    if (!subject_may_send(bus, &sides[from].subject, &sides[to].subject))
        return false;
    for (uint32_t i = 0; i < UMC_TOPICS; i++) {
        if (!allows_all(bus, &sides[from], &sides[to], topic_types[i]))
            continue;
        sides[to].accepts[i] |= UINT64_C(1) << from;
        any = true;
    }
    return any;
}

static int publish(const struct group *group, uint32_t side)
{
    return umc_set_accept(group->fd, side, group->sides[side].accepts);
}

int naming_side_added(struct bus *bus, uint32_t side)
{
    const struct group *group = bus->group;
    if (group->nameless || side >= UMC_MAX_CLASSES)
        return 0;
    for (uint32_t i = 0; i < side; i++) {
        accept_from(bus, i, side);
        int error = accept_from(bus, side, i) ? publish(group, i) : 0;
        if (error < 0)
            return error;
    }
    accept_from(bus, side, side);
    return publish(group, side);
}

int naming_set_class(const struct group *group, struct group_peer *gp)
{
    bool named = !group->nameless && gp->side < UMC_MAX_CLASSES && gp->big_endian == WIRE_HOST_BIG_ENDIAN;
    if (!named && !gp->named)
        return 0;
    int error = unless_left(umc_set_class(group->fd, gp->index, named ? gp->side : UMC_ANY));
    gp->named = named && error == 0;
    gp->calls |= gp->named;
    return error;
}

int naming_name_changed(const struct bus *bus, struct span name, const struct peer *old_owner)
{
    const struct group *group = bus->group;
    const struct peer *owner = bus_find(bus, name);
    struct group_peer *gp = owner ? owner->group.gp : NULL;
    if (group->failed || group->nameless || (!gp && !(old_owner && old_owner->group.gp)))
        return 0;
    int error = umc_set_name(group->fd, name, gp ? gp->index : UMC_ANY);
    if (!gp)
        return error == -ENOSPC ? -EIO : error;
    if (error != -ENOSPC && error != -ENOMEM)
        return unless_left(error);
    gp->unnamed = true;
    return -ENOSPC;
}

bool naming_covers(const struct group *group, const struct group_peer *from, const struct group_peer *to,
                   uint8_t type)
{
    if (group->nameless || !from->named || !to->named || to->unnamed)
        return false;
    for (uint32_t i = 0; i < UMC_TOPICS; i++) {
        if (topic_types[i] == type)
            return group->sides[to->side].accepts[i] & UINT64_C(1) << from->side;
    }
    return false;
}
