/* SPDX-License-Identifier: MIT */
#include "base/clock.h"
#include "group/group_peer.h"
#include "send/judge.h"
#include "send/say.h"
#include "state/log.h"
#include "state/reply.h"

#include <errno.h>

#define CALLS 64u /* calls listed at a time, and handed over when a group peer joins */

/* Pending replies to calls between group peers, which the group in the kernel records until the answer. */

static struct peer *peer_at(const struct group *group, uint32_t index)
{
    struct group_peer *gp = index < group->max_members ? group->peers[index] : NULL;
    return gp ? gp->peer : NULL;
}

int group_note_call(struct bus *bus, struct peer *caller, struct peer *callee, uint32_t serial)
{
    const struct group *group = bus->group;
    if (!caller->group.gp || !callee->group.gp || group->failed)
        return -ENOENT;
    int error = umc_pending_add(group->fd, caller->group.gp->index, callee->group.gp->index, serial);
    if (error != -EEXIST && error != -EDQUOT && error != 0)
        return -ENOENT;
    caller->group.gp->calls = true;
    return error;
}

/* One whose time-out has begun stays with the relay, as the kernel counts from now on. */
static void hand_over(struct bus *bus, struct reply *reply, int64_t since)
{
    if (reply->since >= since && group_note_call(bus, reply->caller, reply->callee, reply->serial) == 0)
        replies_remove(&bus->replies, reply);
}

void group_hand_over_calls(struct bus *bus, struct peer *peer)
{
    int64_t since = bus->limits.reply_timeout > 0 ? clock_now() - GROUP_EXPIRY_TIME : 0;
    uint32_t n = 0;
    LIST_FOR_SAFE (at, after, &peer->calls.made) {
        if (n++ < CALLS)
            hand_over(bus, CONTAINER_OF(at, struct reply, in_caller), since);
    }
    LIST_FOR_SAFE (at, after, &peer->calls.owed) {
        if (n++ < CALLS)
            hand_over(bus, CONTAINER_OF(at, struct reply, in_callee), since);
    }
}

/* Removes a pending reply in the kernel. calls_taken is due when it is recorded, or answered. */
static int calls_remove(struct group *group, const struct umc_pending *call)
{
    struct taking *taking = &group->taking;
    taking->call = *call;
    taking->call.age_ms = GROUP_NOT_TAKEN;
    taking->callee = peer_at(group, call->callee);
    atomic_store_explicit(&taking->caller, peer_at(group, call->caller), memory_order_release);
    return umc_pending_take(group->fd, &taking->call);
}

static void calls_taken(struct group *group)
{
    atomic_store_explicit(&group->taking.caller, NULL, memory_order_release);
}

static void calls_record(struct bus *bus, struct peer *caller, struct peer *callee, uint32_t serial)
{
    int64_t now = bus->group->timed ? clock_now() : 0;
    if (!replies_find(&bus->replies, caller, callee, serial) &&
        !replies_add(&bus->replies, caller, callee, serial, now))
        log_memory(bus, "for a call of", caller->unique_text);
}

/* Moves a pending reply from the group to the relay. 0, or the reason why the group refuses. */
static int calls_take(struct bus *bus, const struct umc_pending *call)
{
    struct group *group = bus->group;
    struct peer *caller = peer_at(group, call->caller), *callee = peer_at(group, call->callee);
    int error = calls_remove(group, call);
    if (error != -ENOENT && caller && callee)
        calls_record(bus, caller, callee, call->key);
    calls_taken(group);
    return error;
}

bool group_take_call(struct bus *bus, struct peer *caller, struct peer *callee, uint32_t serial)
{
    if (!caller->group.gp || !callee->group.gp || !caller->group.gp->calls || bus->group->failed)
        return false;
    const struct umc_pending call = {
        .caller = caller->group.gp->index, .callee = callee->group.gp->index, .key = serial};
    int error = calls_take(bus, &call);
    if (error < 0 && error != -ENOENT)
        group_fail(bus, "The group does not say who waits for a reply", error);
    return error != -ENOENT;
}

uint32_t group_calls(const struct bus *bus, const struct peer *caller)
{
    const struct group *group = bus->group;
    if (group->failed || (caller && (!caller->group.gp || !caller->group.gp->calls)))
        return 0;
    uint32_t index = caller ? caller->group.gp->index : UMC_ANY;
    int n = umc_pending_list(group->fd, index, UMC_ANY, 0, NULL, 0);
    return n < 0 ? 0 : (uint32_t)n;
}

/* Lists some pending replies of one callee, or of all, the oldest first. */
static uint32_t list_calls(struct bus *bus, uint32_t callee, uint32_t min_age,
                           struct umc_pending calls[CALLS])
{
    int found = umc_pending_list(bus->group->fd, UMC_ANY, callee, min_age, calls, CALLS);
    if (found < 0 && !log_recurs(&bus->group->calls_failed))
        log_line(bus, LOG_WARNING, "calls may stay without a reply: %s", strerror(-found));
    return found < 0 ? 0 : (uint32_t)found < CALLS ? (uint32_t)found : CALLS;
}

void group_take_calls(struct bus *bus, uint32_t callee)
{
    struct umc_pending calls[CALLS];
    bool taken = true;
    for (uint32_t n; taken && (n = list_calls(bus, callee, 0, calls)) > 0;) {
        for (uint32_t i = 0; i < n; i++)
            taken &= calls_take(bus, &calls[i]) == 0;
    }
}

/* A call made without a time-out never has one, which the kernel, where all calls have an age, can't say. */
void group_time_calls(struct bus *bus)
{
    struct group *group = bus->group;
    bool timed = bus->limits.reply_timeout > 0;
    if (timed && !group->timed && !group->failed)
        group_take_calls(bus, UMC_ANY);
    group->timed = timed;
}

void group_expire_calls(struct bus *bus)
{
    struct group *group = bus->group;
    int64_t timeout = bus->limits.reply_timeout, now;
    if (group->failed || timeout <= 0 || list_empty(&group->all) ||
        (now = clock_now()) - group->expired_at < GROUP_EXPIRY_TIME)
        return;
    group->expired_at = now;
    struct umc_pending calls[CALLS];
    uint32_t n = list_calls(bus, UMC_ANY, timeout > UINT32_MAX ? UINT32_MAX : (uint32_t)timeout, calls);
    for (uint32_t i = 0; i < n; i++) {
        struct peer *caller = peer_at(group, calls[i].caller);
        if (calls_remove(group, &calls[i]) == 0 && caller)
            say_error(bus, caller, calls[i].key, ERROR_NO_REPLY,
                      "Message did not receive a reply (timeout by message bus)");
        calls_taken(group);
    }
}
