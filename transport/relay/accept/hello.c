/* SPDX-License-Identifier: MIT */
#include "accept/hello.h"

#include "accept/incomplete.h"
#include "send/monitor.h"
#include "send/say.h"
#include "state/held.h"
#include "state/report.h"

#define NO_UID 0xffffffffu

static bool within_limits(const struct bus *bus, const struct peer *peer)
{
    if (bus->n_active >= bus->limits.max_completed_connections)
        return false;
    return peer->credentials.uid == NO_UID || peer->user->n_active < bus->limits.max_connections_per_user;
}

bool hello_answer(struct bus *bus, struct peer *peer, const struct message *m)
{
    if (m->signature.n > 0 || monitored(bus) || match_index_eavesdroppers(bus->matches) > 0 ||
        !within_limits(bus, peer))
        return false;
    if (peer->admitted && !peer->reports.announced) {
        peer->reports.arrival.view.active = true;
        report_arrival(bus, peer);
    } else {
        peer->reports.hello.view.kind = RELAY_EVENT_WELCOMED;
        peer->reports.hello.view.peer = peer->id;
        events_push(bus->events, &peer->reports.hello);
    }
    hello_welcome(bus, peer, m->serial);
    return true;
}

void hello_welcome(struct bus *bus, struct peer *peer, uint32_t serial)
{
    peer->active = true;
    incomplete_remove(bus, &peer->incomplete);
    bus->n_active++;
    peer->user->n_active++;
    registry_enter(&bus->registry, peer);
    if (peer->calls.held)
        monitor_late(bus, peer, &peer->calls.held->m, peer->calls.held->fds);
    marshal_string(say_reply(bus, peer, serial, SPAN("s"), 0), peer->unique);
    say_end(bus, peer);
    say_owner_changed(bus, peer->unique, SPAN(""), peer->unique);
    say_name_acquired(bus, peer, peer->unique);
}

void hello_leave(struct bus *bus, struct peer *peer)
{
    if (!peer->active)
        return;
    bus->n_active--;
    peer->user->n_active--;
}
