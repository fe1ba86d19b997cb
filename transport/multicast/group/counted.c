/* SPDX-License-Identifier: MIT */
#include "group/group_peer.h"

_Static_assert(UMC_ASKED_REASONS <= GROUP_REASONS, "an end behind the reasons");

static const char *const reasons[UMC_ASKED_REASONS] = {
    [UMC_ASKED_DIRTY] = "dirty",
    [UMC_ASKED_VERDICT] = "verdict",
    [UMC_ASKED_INGRESS] = "ingress",
    [UMC_ASKED_REST] = "rest",
    [UMC_ASKED_CONTROL] = "control",
    [UMC_ASKED_SIZE] = "size",
    [UMC_ASKED_FULL] = "full",
    [UMC_ASKED_HELD] = "held",
    [UMC_ASKED_BUSY] = "busy",
    [UMC_ASKED_GATE] = "gate",
    [UMC_ASKED_DEAD] = "dead",
    [UMC_ASKED_REPLY] = "reply",
    [UMC_ASKED_CREDENTIALS] = "credentials",
    [UMC_ASKED_FAULT] = "fault",
    [UMC_ASKED_MEMORY] = "memory",
    [UMC_ASKED_BUDGET] = "budget",
    [UMC_ASKED_STAMP] = "stamp",
    [UMC_ASKED_SECURITY] = "security",
    [UMC_ASKED_SHUTDOWN] = "shutdown",
    [UMC_ASKED_CONTEXT] = "context",
};

struct group_counts group_count(const struct bus *bus, const struct peer *peer)
{
    struct umc_stats stats;
    struct group_counts counts = {0};
    const struct group *group = bus->group;
    if (group->failed || (peer && !peer->group.gp))
        return counts;
    if (umc_get_stats(group->fd, peer ? peer->group.gp->index : UMC_ANY, &stats) < 0)
        return counts;
    counts.sent = stats.direct;
    counts.broadcasts = stats.multicast;
    counts.received = peer ? stats.received : stats.direct - stats.multicast + stats.copies;
    counts.calls = group_calls(bus, peer);
    return counts;
}

void group_sum(const struct bus *bus, struct group_totals *totals)
{
    struct umc_stats stats;
    const struct group *group = bus->group;
    if (group->failed || umc_get_stats(group->fd, UMC_ANY, &stats) < 0)
        return;
    totals->members = group->max_members - group->n_indices - group->n_dead;
    totals->spilled = stats.spilled;
    for (uint32_t i = 1; i < UMC_ASKED_REASONS; i++)
        totals->asked[i - 1] = (struct group_asked){reasons[i], stats.asked[i]};
}
