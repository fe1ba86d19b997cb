/* SPDX-License-Identifier: MIT */
#include "send/listeners.h"

#include "send/say.h"
#include "state/quota.h"

#define LISTENERS_NAME SPAN("org.omnibus.Listeners1")
#define LISTENERS_RULE_WORK 4u /* of bus.work: a rule that is looked at */

/* Rules being told to one observer, in signals of bounded size. */
struct telling {
    struct bus *bus;
    struct peer *observer;
    struct marshal *w; /* the signal that has begun; NULL: none */
    size_t array;
};

/* Which rules are told: of all broadcasts of the observer, or those with a name of it as sender. */
struct selection {
    struct peer *observer;
    struct span name; /* without text: all */
};

static void telling_begin(struct telling *t)
{
    t->w = say_signal(t->bus, t->observer, BUS_PATH, LISTENERS_NAME, SPAN("Changed"), SPAN("a(ssu)"));
    t->array = marshal_array_begin(t->w, 8);
}

static void telling_end(struct telling *t)
{
    if (!t->w)
        return;
    marshal_array_end(t->w, t->array, 8);
    t->w = NULL;
    say_end(t->bus, t->observer);
}

static void telling_add(struct telling *t, const struct peer *client, struct span rule, uint32_t copies)
{
    if (!t->w)
        telling_begin(t);
    marshal_align(t->w, 8);
    marshal_string(t->w, client->unique);
    marshal_string(t->w, rule);
    marshal_uint32(t->w, copies);
    if (t->w->size > LISTENERS_PART)
        telling_end(t);
}

static void telling_add_rule(struct telling *t, const struct peer *client, const struct match_rule *rule,
                             uint32_t copies)
{
    char text[MATCH_MAX_CANONICAL + 1];
    size_t n = match_rule_text(rule, text, sizeof(text));
    telling_add(t, client, (struct span){text, (uint32_t)n}, copies);
}

static void telling_add_all(struct telling *t, const struct peer *client)
{
    telling_add(t, client, SPAN("type='signal'"), 1);
}

static bool has_room(const struct bus *bus, const struct peer *observer)
{
    const struct peer_output *out = &observer->output;
    return out->queued_bytes + out->pending_bytes <= LISTENERS_UNREAD && quota_has_room(bus, NULL, observer);
}

void listeners_say_lost(struct bus *bus, struct peer *observer)
{
    say_signal(bus, observer, BUS_PATH, LISTENERS_NAME, SPAN("Lost"), (struct span){0});
    say_end(bus, observer);
}

/* Ends the observation: the one message that says so may exceed the limit. */
static void observer_lose(struct bus *bus, struct peer *observer)
{
    list_unlink(&observer->in_observers);
    listeners_say_lost(bus, observer);
}

/* True if all signals are told to be wanted, now or before. */
static bool is_wide(struct peer *client)
{
    if (client->matches && client->matches->memory > LISTENERS_WIDE)
        client->listens_widely = true;
    return client->listens_widely;
}

static bool is_selected(const struct bus *bus, const struct selection *selection, struct span sender)
{
    if (selection->name.s)
        return span_equal(sender, selection->name);
    return !sender.s || bus_find(bus, sender) == selection->observer;
}

static void tell_client(struct telling *t, const struct selection *selection, struct peer *client)
{
    if (is_wide(client)) {
        if (!selection->name.s)
            telling_add_all(t, client);
        return;
    }
    const struct match_rule *rule = NULL;
    struct span sender;
    while ((rule = match_list_next(client->matches, rule))) {
        t->bus->work += LISTENERS_RULE_WORK;
        if (match_rule_takes_broadcasts(rule, &sender) && is_selected(t->bus, selection, sender))
            telling_add_rule(t, client, rule, match_rule_copies(rule));
    }
}

/* A monitor's rules are for no broadcasts. */
static bool may_listen(const struct peer *client)
{
    return (client->matches || client->listens_widely) && !client->monitor && !peer_is_gone(client);
}

/* Tells all rules that are selected. False: there is no room. */
static bool tell_clients(struct bus *bus, const struct selection *selection)
{
    struct telling t = {.bus = bus, .observer = selection->observer};
    struct table_node *node = NULL;
    bool fits = true;
    while (fits && (node = table_walk(&bus->peers, node))) {
        struct peer *client = CONTAINER_OF(node, struct peer, node);
        if (!may_listen(client))
            continue;
        fits = has_room(bus, t.observer);
        if (fits)
            tell_client(&t, selection, client);
    }
    telling_end(&t);
    return fits;
}

bool listeners_watch(struct bus *bus, struct peer *peer)
{
    uint32_t n = 0;
    LIST_FOR (at, &bus->observers)
        n++;
    bool watches = list_linked(&peer->in_observers);
    if (!watches && n >= LISTENERS_MAX)
        return false;
    if (!watches)
        list_append(&bus->observers, &peer->in_observers);
    const struct selection all = {.observer = peer};
    if (tell_clients(bus, &all))
        return true;
    list_unlink(&peer->in_observers);
    return false;
}

void listeners_tell_name(struct bus *bus, struct span name)
{
    struct peer *owner = bus_find(bus, name);
    if (!owner || !list_linked(&owner->in_observers))
        return;
    const struct selection of_name = {.observer = owner, .name = name};
    if (!tell_clients(bus, &of_name))
        observer_lose(bus, owner);
}

/* Tells one observer of one rule; NULL: of the client as one that listens to everything. */
static void tell_one(struct bus *bus, struct peer *observer, struct peer *client,
                     const struct match_rule *rule, uint32_t copies)
{
    struct telling t = {.bus = bus, .observer = observer};
    bus->work += BUS_WORK_DELIVERY;
    if (!has_room(bus, observer)) {
        observer_lose(bus, observer);
        return;
    }
    if (rule)
        telling_add_rule(&t, client, rule, copies);
    else
        telling_add_all(&t, client);
    telling_end(&t);
}

static void tell_observers(struct bus *bus, struct peer *client, const struct match_rule *rule,
                           uint32_t copies)
{
    LIST_FOR_SAFE (at, after, &bus->observers)
        tell_one(bus, CONTAINER_OF(at, struct peer, in_observers), client, rule, copies);
}

void listeners_tell_rule(struct bus *bus, struct peer *client, const struct match_rule *rule)
{
    struct span sender;
    if (client->listens_widely)
        return;
    if (is_wide(client)) {
        tell_observers(bus, client, NULL, 1);
        return;
    }
    if (!match_rule_takes_broadcasts(rule, &sender))
        return;
    struct peer *owner = sender.s ? bus_find(bus, sender) : NULL;
    if (sender.s && (!owner || !list_linked(&owner->in_observers)))
        return;
    uint32_t copies = match_index_copies(bus->matches, client->matches, rule);
    if (owner)
        tell_one(bus, owner, client, rule, copies);
    else
        tell_observers(bus, client, rule, copies);
}
