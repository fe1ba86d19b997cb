/* SPDX-License-Identifier: MIT */
#include "hello.h"

#include "direct.h"
#include "held.h"
#include "monitor.h"
#include "say.h"

#define NO_UID 0xffffffffu

static struct user *user_find(const struct bus *bus, uint32_t uid)
{
    struct table_node *node = table_first(&bus->users, hash_number(&bus->users.key, uid));
    for (; node; node = table_again(node)) {
        struct user *user = CONTAINER_OF(node, struct user, node);
        if (user->uid == uid)
            return user;
    }
    return NULL;
}

/* NULL: no memory */
static struct user *user_enter(struct bus *bus, uint32_t uid)
{
    struct user *user = user_find(bus, uid);
    if (!user && (user = calloc(1, sizeof(*user)))) {
        user->uid = uid;
        table_insert(&bus->users, &user->node, hash_number(&bus->users.key, uid));
    }
    if (user)
        user->n_active++;
    return user;
}

static bool within_limits(const struct bus *bus, const struct peer *peer)
{
    if (bus->n_active >= bus->limits.max_completed_connections)
        return false;
    const struct user *user = peer->uid == NO_UID ? NULL : user_find(bus, peer->uid);
    return peer->uid == NO_UID || (user ? user->n_active : 0) < bus->limits.max_connections_per_user;
}

bool hello_answer(struct bus *bus, struct peer *peer, const struct message *m)
{
    if (m->signature.n > 0 || monitored(bus) || match_index_eavesdroppers(bus->matches) > 0 ||
        !within_limits(bus, peer))
        return false;
    if (peer->admitted && !peer->announced) {
        peer->arrival_event.view.active = true;
        hello_announce(bus, peer);
    } else {
        peer->hello_event.view.kind = RELAY_EVENT_WELCOMED;
        peer->hello_event.view.peer = peer->id;
        events_push(bus->events, &peer->hello_event);
    }
    hello_welcome(bus, peer, m->serial);
    return true;
}

void hello_announce(struct bus *bus, struct peer *peer)
{
    if (!peer->admitted || peer->announced)
        return;
    peer->announced = true;
    events_push_lazily(bus->events, &peer->arrival_event);
}

void hello_welcome(struct bus *bus, struct peer *peer, uint32_t serial)
{
    peer->active = true;
    incomplete_remove(bus, &peer->incomplete);
    bus->n_active++;
    if (peer->uid != NO_UID)
        peer->user = user_enter(bus, peer->uid);
    registry_enter(&bus->registry, peer);
    if (peer->call)
        monitor_late(bus, peer, &peer->call->m, peer->call->fds);
    marshal_string(say_reply(bus, peer, serial, SPAN("s"), 0), peer->unique);
    say_end(bus, peer);
    say_owner_changed(bus, peer->unique, SPAN(""), peer->unique);
    say_name_acquired(bus, peer, peer->unique);
    direct_join(bus, peer);
}

void hello_leave(struct bus *bus, struct peer *peer)
{
    if (!peer->active)
        return;
    bus->n_active--;
    if (peer->user && --peer->user->n_active == 0) {
        table_remove(&bus->users, &peer->user->node);
        free(peer->user);
    }
    peer->user = NULL;
}
