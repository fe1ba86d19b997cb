/* SPDX-License-Identifier: MIT */
#include "leave.h"

#include "judge.h"
#include "monitor.h"
#include "say.h"

/* Who watches is to see everything in the order in which the control plane does it. */
static bool is_quiet(const struct bus *bus, const struct peer *peer)
{
    return peer->admitted && !peer->mentioned && !peer->logged && !peer->monitor &&
           list_empty(&peer->names) && !monitored(bus) && match_index_eavesdroppers(bus->matches) == 0;
}

void leave(struct bus *bus, struct peer *peer)
{
    if (is_quiet(bus, peer)) {
        list_append(&bus->leaving, &peer->in_leaving);
        return;
    }
    peer->gone_event.view.kind = RELAY_EVENT_GONE;
    bus_tell(bus, peer, &peer->gone_event);
}

void leave_answer_owed(struct bus *bus, struct peer *peer)
{
    while (!list_empty(&peer->owed)) {
        struct reply *reply = CONTAINER_OF(peer->owed.previous, struct reply, in_callee);
        struct peer *caller = reply->caller;
        uint32_t serial = reply->serial;
        replies_remove(&bus->replies, reply);
        say_error(bus, caller, serial, ERROR_NO_REPLY,
                  "Message recipient disconnected from message bus without replying");
    }
}

void leave_forget(struct bus *bus, struct peer *peer)
{
    if (peer->active && !peer->monitor) {
        say_name_lost(bus, peer, peer->unique);
        say_owner_changed(bus, peer->unique, peer->unique, SPAN(""));
        registry_give_up(&bus->registry, peer);
    }
    LIST_FOR_SAFE(at, after, &peer->parked)
    parking_drop(&bus->parking, CONTAINER_OF(at, struct parked, in_sender));
    table_remove(&bus->peers, &peer->node);
    registry_leave(&bus->registry, peer);
    leave_answer_owed(bus, peer);
}

bool leave_turn(struct bus *bus)
{
    bool any = !list_empty(&bus->leaving);
    LIST_FOR_SAFE(at, after, &bus->leaving)
    {
        struct peer *peer = CONTAINER_OF(at, struct peer, in_leaving);
        list_unlink(at);
        leave_forget(bus, peer);
        if (!peer->announced) {
            peer_free(peer);
            continue;
        }
        /* the control plane frees the rest, when it has taken this */
        peer_end(peer);
        atomic_fetch_add_explicit(&bus->n_left, 1, memory_order_relaxed);
        peer->gone_event.owned = true;
        peer->gone_event.view.kind = RELAY_EVENT_LEFT;
        events_push_lazily(bus->events, &peer->gone_event);
    }
    return any;
}
