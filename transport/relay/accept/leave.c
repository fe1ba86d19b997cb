/* SPDX-License-Identifier: MIT */
#include "accept/leave.h"

#include "base/clock.h"
#include "send/judge.h"
#include "send/monitor.h"
#include "send/say.h"
#include "state/report.h"

/*
 * With monitors, the control plane does all of it, in the order that monitors are to see. The end of a
 * connection may be that of its container instance, which others wait for.
 */
static bool is_quiet(const struct bus *bus, const struct peer *peer)
{
    return peer->admitted && !peer->reports.mentioned && !peer->reports.logged && !peer->monitor &&
           !peer->credentials.instance && list_empty(&peer->names.entries) && !monitored(bus) &&
           match_index_eavesdroppers(bus->matches) == 0;
}

void leave(struct bus *bus, struct peer *peer)
{
    if (is_quiet(bus, peer)) {
        list_append(&bus->leaving, &peer->in_leaving);
        return;
    }
    peer->reports.gone.view.kind = RELAY_EVENT_GONE;
    bus->n_lost++;
    if (peer->user)
        peer->user->n_lost++;
    report_of(bus, peer, &peer->reports.gone);
}

/* Drops a call made by the peer, or answers a call to it with NoReply. */
static void settle_one(struct bus *bus, struct peer *peer)
{
    if (!list_empty(&peer->calls.made)) {
        replies_remove(&bus->replies, CONTAINER_OF(peer->calls.made.previous, struct reply, in_caller));
        return;
    }
    struct reply *reply = CONTAINER_OF(peer->calls.owed.previous, struct reply, in_callee);
    struct peer *caller = reply->caller;
    uint32_t serial = reply->serial;
    replies_remove(&bus->replies, reply);
    if (reply_awaited(caller))
        say_error(bus, caller, serial, ERROR_NO_REPLY,
                  "Message recipient disconnected from message bus without replying");
}

static bool is_settled(const struct peer *peer)
{
    return list_empty(&peer->calls.made) && list_empty(&peer->calls.owed);
}

/*
 * Frees a peer that is in no table. If it was reported, its rest is freed when the control plane has taken
 * LEFT.
 */
static void leave_finish(struct bus *bus, struct peer *peer)
{
    if (!peer->reports.announced) {
        peer_free(peer);
        return;
    }
    atomic_fetch_add_explicit(&bus->n_left, 1, memory_order_relaxed);
    peer->reports.gone.owned = true;
    peer->reports.gone.view.kind = RELAY_EVENT_LEFT;
    events_push_lazily(bus->events, &peer->reports.gone);
}

void leave_settle(struct bus *bus, struct peer *peer)
{
    list_unlink(&peer->in_leaving);
    for (int i = 0; i < LEAVE_STEPS && !is_settled(peer); i++)
        settle_one(bus, peer);
    if (!is_settled(peer))
        list_append(&bus->unsettled, &peer->in_leaving);
    else if (peer->life == PEER_FORGOTTEN)
        leave_finish(bus, peer);
}

static void leave_user(struct bus *bus, struct peer *peer)
{
    if (peer->reports.gone.view.kind == RELAY_EVENT_GONE) {
        bus->n_lost--;
        if (peer->user)
            peer->user->n_lost--;
    }
    user_release(bus, peer->user);
    peer->user = NULL;
}

void leave_forget(struct bus *bus, struct peer *peer)
{
    if (peer->active && !peer->monitor) {
        say_name_lost(bus, peer, peer->unique);
        say_owner_changed(bus, peer->unique, peer->unique, SPAN(""));
        registry_give_up(&bus->registry, peer);
    }
    LIST_FOR_SAFE (at, after, &peer->calls.parked)
        parking_drop(&bus->parking, CONTAINER_OF(at, struct parked, in_sender));
    registry_leave(&bus->registry, peer);
    table_remove(&bus->peers, &peer->node); /* last: a standby writes all that refers to peers of the table */
    leave_user(bus, peer);
    peer_end(peer);
    peer->life = PEER_FORGOTTEN;
    leave_settle(bus, peer);
}

/*
 * Settles one call of each peer in turn, so that a peer with many calls does not delay the callers of others.
 */
static bool settle_turn(struct bus *bus, int64_t end)
{
    bool any = !list_empty(&bus->unsettled);
    while (!list_empty(&bus->unsettled) && clock_microseconds() < end)
        leave_settle(bus, CONTAINER_OF(bus->unsettled.next, struct peer, in_leaving));
    return any;
}

bool leave_turn(struct bus *bus)
{
    bool any = !list_empty(&bus->leaving);
    int64_t end = clock_microseconds() + LEAVE_TIME;
    any |= settle_turn(bus, end);
    while (!list_empty(&bus->leaving)) {
        leave_forget(bus, CONTAINER_OF(bus->leaving.next, struct peer, in_leaving));
        if (clock_microseconds() >= end)
            break;
    }
    return any;
}
