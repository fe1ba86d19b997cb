/* SPDX-License-Identifier: MIT */
#include "group/counted.h"

#include "group/member.h"

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

struct counted direct_counted(const struct bus *bus, const struct peer *peer)
{
    struct umc_stats stats;
    struct counted counted = {0};
    const struct direct *direct = bus->direct;
    if (!direct || direct->failed || (peer && !peer->member))
        return counted;
    if (umc_get_stats(direct->group, peer ? peer->member->index : UMC_ANY, &stats) < 0)
        return counted;
    counted.sent = stats.direct;
    counted.broadcasts = stats.multicast;
    counted.received = peer ? stats.received : stats.direct - stats.multicast + stats.copies;
    counted.calls = direct_calls(bus, peer);
    return counted;
}

static bool group_stats(const struct direct *direct, struct umc_stats *stats)
{
    *stats = (struct umc_stats){0};
    return direct && !direct->failed && umc_get_stats(direct->group, UMC_ANY, stats) == 0;
}

void direct_export(const struct bus *bus, struct json *json)
{
    struct umc_stats stats;
    const struct direct *direct = bus->direct;
    bool used = group_stats(direct, &stats);
    json_put_number(json, "members", used ? direct->max_members - direct->n_indices - direct->n_dead : 0);
    json_put_number(json, "direct", stats.direct);
    json_put_number(json, "direct_deliveries", stats.direct - stats.multicast + stats.copies);
    json_put_number(json, "spilled", stats.spilled);
    json_key(json, "asked");
    json_open(json, '{');
    for (uint32_t i = 1; used && i < UMC_ASKED_REASONS; i++)
        json_put_number(json, reasons[i], stats.asked[i]);
    json_close(json, '}');
}
