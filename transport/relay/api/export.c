/* SPDX-License-Identifier: MIT */
#include "api/export.h"

#include "base/clock.h"
#include "state/group_ops.h"

/* The requested connections, or all. */
struct choice {
    const uint8_t *ids; /* uint64_t each, not aligned */
    size_t n, at;
};

static const struct peer *export_choose(const struct bus *bus, struct choice *choice, const struct peer *last)
{
    if (choice->n == 0) {
        struct table_node *node = table_walk(&bus->peers, last ? (struct table_node *)&last->node : NULL);
        return node ? CONTAINER_OF(node, struct peer, node) : NULL;
    }
    while (choice->at < choice->n) {
        uint64_t id;
        memcpy(&id, choice->ids + choice->at++ * sizeof(id), sizeof(id));
        const struct peer *peer = bus_peer(bus, id);
        if (peer)
            return peer;
    }
    return NULL;
}

static void export_peer(const struct bus *bus, struct json *json, const struct peer *peer)
{
    const struct group_counts direct = group_counts(bus, peer);
    const struct peer_statistics *s = &peer->statistics;
    json_open(json, '{');
    json_put_number(json, "id", peer->id);
    json_put_boolean(json, "active", peer->active);
    json_put_boolean(json, "gone", peer_is_gone(peer));
    json_put_boolean(json, "stopped", peer->calls.stopped);
    json_put_boolean(json, "paused", peer->input.paused);
    json_put_boolean(json, "stalled", peer->output.stalled);
    json_put_boolean(json, "monitor", peer->monitor != NULL);
    json_put_number(json, "uid", peer->credentials.uid);
    json_put_number(json, "pid", peer->credentials.pid);
    json_put_number(json, "messages_in", s->messages_in + direct.sent);
    json_put_number(json, "bytes_in", s->bytes_in);
    json_put_number(json, "messages_out", s->messages_out + direct.received);
    json_put_number(json, "bytes_out", s->bytes_out);
    json_put_number(json, "incoming_messages", peer->calls.n_parked + (peer->calls.held != NULL));
    json_put_number(json, "incoming_bytes", peer_waiting_bytes(peer));
    json_put_number(json, "peak_incoming_bytes", peer->account->peak_bytes);
    json_put_number(json, "incoming_fds", peer->account->fds + peer->input.n_fds);
    json_put_number(json, "peak_incoming_fds", peer->account->peak_fds);
    json_put_number(json, "outgoing_messages", peer->output.queue.count);
    json_put_number(json, "outgoing_bytes", peer->output.queued_bytes);
    json_put_number(json, "peak_outgoing_bytes", s->peak_queued_bytes);
    json_put_number(json, "outgoing_fds", peer->output.queued_fds);
    json_put_number(json, "peak_outgoing_fds", s->peak_queued_fds);
    if (list_linked(&peer->output.in_backlogs))
        json_put_number(json, "unread", (uint64_t)(clock_now() - peer->output.progress));
    json_put_number(json, "direct_in", direct.sent);
    json_put_number(json, "direct_out", direct.received);
    json_put_number(json, "refused", s->refused);
    json_put_number(json, "matches", match_list_count(peer->matches));
    json_put_number(json, "peak_matches", s->peak_matches);
    json_put_number(json, "claims", peer->names.n_claims);
    json_put_number(json, "peak_claims", s->peak_claims);
    json_put_number(json, "calls", peer->calls.n_made + direct.calls);
    json_put_number(json, "parked", peer->calls.n_parked);
    json_close(json, '}');
}

static void export_connections(const struct bus *bus, struct json *json, struct choice *choice)
{
    json_open(json, '[');
    for (const struct peer *peer = NULL; (peer = export_choose(bus, choice, peer));)
        export_peer(bus, json, peer);
    json_close(json, ']');
}

/* {name: [peer, ...]} in the order of the queue */
static void export_names(const struct bus *bus, struct json *json, struct choice *choice)
{
    (void)choice;
    struct table_node *node = NULL;
    json_open(json, '{');
    while ((node = table_walk(&bus->registry.names, node))) {
        const struct name *name = CONTAINER_OF(node, struct name, node);
        json_key(json, name->text);
        json_open(json, '[');
        LIST_FOR (at, &name->queue)
            json_number(json, CONTAINER_OF(at, struct queue_entry, in_name)->peer->id);
        json_close(json, ']');
    }
    json_close(json, '}');
}

/* {unique name: [rule, ...]} */
static void export_matches(const struct bus *bus, struct json *json, struct choice *choice)
{
    char text[MATCH_MAX_CANONICAL];
    json_open(json, '{');
    for (const struct peer *peer = NULL; (peer = export_choose(bus, choice, peer));) {
        json_key(json, peer->unique_text);
        json_open(json, '[');
        const struct match_rule *rule = NULL;
        while ((rule = match_list_next(peer->matches, rule))) {
            size_t n = match_rule_text(rule, text, sizeof(text));
            for (uint32_t i = 0; i < match_rule_copies(rule); i++)
                json_string(json, (struct span){text, (uint32_t)(n < sizeof(text) ? n : sizeof(text) - 1)});
        }
        json_close(json, ']');
    }
    json_close(json, '}');
}

static void export_replies(const struct bus *bus, struct json *json, struct choice *choice)
{
    (void)choice;
    const int64_t now = clock_coarse();
    struct table_node *node = NULL;
    json_open(json, '[');
    while ((node = table_walk(&bus->replies.table, node))) {
        const struct reply *reply = CONTAINER_OF(node, struct reply, node);
        json_open(json, '{');
        json_put_number(json, "caller", reply->caller->id);
        json_put_number(json, "callee", reply->callee->id);
        json_put_number(json, "serial", reply->serial);
        if (reply->noted != 0)
            json_put_number(json, "age", (uint64_t)(now - reply->noted));
        json_close(json, '}');
    }
    json_close(json, ']');
}

static void export_parked(const struct bus *bus, struct json *json, struct choice *choice)
{
    (void)choice;
    struct table_node *node = NULL;
    json_open(json, '[');
    while ((node = table_walk(&bus->parking.ids, node))) {
        const struct parked *parked = CONTAINER_OF(node, struct parked, by_id);
        json_open(json, '{');
        json_put_number(json, "id", parked->id);
        json_put_string(json, "destination", parked->held->m.destination);
        json_put_number(json, "bytes", parked->held->m.size);
        if (parked->sender)
            json_put_number(json, "sender", parked->sender->id);
        json_close(json, '}');
    }
    json_close(json, ']');
}

static void export_group(const struct bus *bus, struct json *json, const struct group_counts *direct)
{
    struct group_totals totals = {0};
    GROUP_CALL(bus, totals, bus, &totals);
    json_put_number(json, "members", totals.members);
    json_put_number(json, "direct", direct->sent);
    json_put_number(json, "direct_deliveries", direct->received);
    json_put_number(json, "spilled", totals.spilled);
    json_key(json, "asked");
    json_open(json, '{');
    for (const struct group_asked *asked = totals.asked; asked->reason; asked++)
        json_put_number(json, asked->reason, asked->count);
    json_close(json, '}');
}

static void export_totals(const struct bus *bus, struct json *json, struct choice *choice)
{
    (void)choice;
    const struct bus_totals *totals = &bus->totals;
    const struct group_counts direct = group_counts(bus, NULL);
    size_t cells_used, cells = batch_cells_memory(&bus->batch, &cells_used);
    json_open(json, '{');
    json_put_number(json, "connections", bus->peers.count);
    json_put_number(json, "active", bus->n_active);
    json_put_number(json, "names", bus->registry.names.count);
    json_put_number(json, "claims", bus->registry.n_claims);
    json_put_number(json, "peak_claims", bus->registry.peak_claims);
    json_put_number(json, "peak_claims_of_one", bus->registry.peak_claims_of_one);
    json_put_number(json, "matches", bus_matches(bus));
    json_put_number(json, "peak_matches", totals->peak_matches);
    json_put_number(json, "peak_matches_of_one", totals->peak_matches_of_one);
    json_put_number(json, "monitors", bus->monitors.count);
    json_put_number(json, "monitor_bytes", bus->monitors.account->bytes);
    json_put_number(json, "replies", bus->replies.table.count + direct.calls);
    json_put_number(json, "parked", bus->parking.ids.count);
    json_put_number(json, "messages_in", totals->messages_in + direct.sent);
    json_put_number(json, "messages_out", totals->messages_out + direct.received);
    json_put_number(json, "bytes_in", totals->bytes_in);
    json_put_number(json, "bytes_out", totals->bytes_out);
    json_put_number(json, "broadcasts", totals->broadcasts + direct.broadcasts);
    json_put_number(json, "refused", totals->refused);
    json_put_number(json, "denied", totals->denied);
    json_put_number(json, "missed", totals->missed);
    json_put_number(json, "wakeups", totals->wakeups);
    json_put_number(json, "sends", totals->sends);
    json_put_number(json, "receives", totals->receives);
    json_put_number(json, "cells_bytes", cells);
    json_put_number(json, "cells_used_bytes", cells_used);
    export_group(bus, json, &direct);
    json_close(json, '}');
}

void export_table(struct bus *bus, uint32_t kind, const uint8_t *ids, size_t n, struct event *event)
{
    static void (*const exports[])(const struct bus *bus, struct json *json, struct choice *choice) = {
        [RELAY_EXPORT_CONNECTIONS] = export_connections, [RELAY_EXPORT_NAMES] = export_names,
        [RELAY_EXPORT_MATCHES] = export_matches,         [RELAY_EXPORT_REPLIES] = export_replies,
        [RELAY_EXPORT_PARKED] = export_parked,           [RELAY_EXPORT_TOTALS] = export_totals,
    };
    struct json json = {0};
    struct choice choice = {.ids = ids, .n = n};
    if (kind >= RELAY_EXPORT_CONNECTIONS && kind <= RELAY_EXPORT_TOTALS)
        exports[kind](bus, &json, &choice);
    export_push(bus, kind, &json, event);
}

void export_push(struct bus *bus, uint32_t kind, struct json *json, struct event *event)
{
    if (json->failed || json->size > UINT32_MAX) {
        free(json->text);
        *json = (struct json){0};
    }
    event->owned = true;
    event->view.kind = RELAY_EVENT_EXPORT;
    event->view.serial = kind;
    event->view.body = (uint8_t *)json->text;
    event->view.body_size = (uint32_t)json->size;
    events_push(bus->events, event);
}
