/* SPDX-License-Identifier: MIT */
#include "clock.h"
#include "judge.h"
#include "member.h"
#include "reply.h"
#include "say.h"

#include <errno.h>
#include <stdlib.h>

/* Calls that went directly. The group remembers them until they are answered, directly too. */

static struct peer *peer_at(const struct direct *direct, uint32_t index)
{
    struct member *member = index < direct->max_members ? direct->members[index] : NULL;
    return member ? member->peer : NULL;
}

bool direct_take_call(struct bus *bus, struct peer *caller, struct peer *callee, uint32_t serial)
{
    const struct direct *direct = bus->direct;
    if (!caller->member || !callee->member || !caller->member->calls || direct->failed)
        return false;
    if (umc_pending_take(direct->group, caller->member->index, callee->member->index, serial) < 0)
        return false;
    int64_t now = bus->limits.reply_timeout >= 0 ? clock_now() : 0;
    return replies_add(&bus->replies, caller, callee, serial, now) != NULL;
}

uint32_t direct_calls(const struct bus *bus, const struct peer *caller)
{
    const struct direct *direct = bus->direct;
    if (!direct || direct->failed || (caller && (!caller->member || !caller->member->calls)))
        return 0;
    uint32_t index = caller ? caller->member->index : UMC_ANY;
    int n = umc_pending_list(direct->group, index, UMC_ANY, 0, NULL, 0);
    return n < 0 ? 0 : (uint32_t)n;
}

/* All that wait for this callee, or for anybody, the oldest first. NULL: none, or no memory. */
static struct umc_pending *list_calls(struct direct *direct, uint32_t callee, uint32_t min_age, uint32_t *n)
{
    struct umc_pending *calls = NULL;
    int found = umc_pending_list(direct->group, UMC_ANY, callee, min_age, NULL, 0);
    *n = 0;
    if (found <= 0)
        return NULL;
    calls = calloc((size_t)found, sizeof(*calls));
    if (!calls)
        return NULL;
    int again = umc_pending_list(direct->group, UMC_ANY, callee, min_age, calls, (uint32_t)found);
    *n = again < 0 ? 0 : again < found ? (uint32_t)again : (uint32_t)found;
    return calls;
}

void direct_take_calls(struct bus *bus, uint32_t callee)
{
    uint32_t n;
    struct direct *direct = bus->direct;
    struct umc_pending *calls = list_calls(direct, callee, 0, &n);
    for (uint32_t i = 0; i < n; i++) {
        struct peer *caller = peer_at(direct, calls[i].caller), *to = peer_at(direct, calls[i].callee);
        if (caller && to && direct_take_call(bus, caller, to, calls[i].key))
            continue;
    }
    free(calls);
}

void direct_expire_calls(struct bus *bus)
{
    struct direct *direct = bus->direct;
    int64_t timeout = bus->limits.reply_timeout, now;
    if (!direct || direct->failed || timeout < 0 || list_empty(&direct->all) ||
        (now = clock_now()) - direct->expired_at < DIRECT_EXPIRY_TIME)
        return;
    direct->expired_at = now;
    uint32_t n;
    struct umc_pending *calls =
        list_calls(direct, UMC_ANY, timeout > UINT32_MAX ? UINT32_MAX : (uint32_t)timeout, &n);
    for (uint32_t i = 0; i < n; i++) {
        struct peer *caller = peer_at(direct, calls[i].caller);
        if (umc_pending_take(direct->group, calls[i].caller, calls[i].callee, calls[i].key) == 0 && caller)
            say_error(bus, caller, calls[i].key, ERROR_NO_REPLY,
                      "Message did not receive a reply (timeout by message bus)");
    }
    free(calls);
}
