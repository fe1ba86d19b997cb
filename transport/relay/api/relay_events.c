/* SPDX-License-Identifier: MIT */
#include "api/relay_internal.h"

#include <unistd.h>

static void free_one(struct relay *relay, struct event *event)
{
    if (event->view.kind == RELAY_EVENT_LEFT) {
        peer_free(CONTAINER_OF(event, struct peer, reports.gone));
        atomic_fetch_sub_explicit(&relay->bus.n_left, 1, memory_order_relaxed);
        return;
    }
    if (event->view.kind == RELAY_EVENT_EXPORT)
        free((void *)event->view.body);
    free(event);
}

static void keep_read(struct relay *relay, struct event *event)
{
    event->node.next = relay->read ? &relay->read->node : NULL;
    relay->read = event;
}

/* Frees the events that were read, except those whose COMMAND_TAKEN is still to be sent. */
static void free_read(struct relay *relay)
{
    struct event *event = relay->read;
    relay->read = NULL;
    for (struct event *next; event; event = next) {
        next = event_next(event);
        if (event->untold)
            keep_read(relay, event);
        else
            free_one(relay, event);
    }
}

/* Frees an event with memory of its own at the next call. */
static void retire(struct relay *relay, struct event *event)
{
    if (!event->owned)
        return;
    event->untold = event->user || event->view.kind == RELAY_EVENT_LOG;
    keep_read(relay, event);
}

static void relay_events_take(struct relay *relay)
{
    wake_clear(&relay->told);
    struct stack_node *first = stack_take(&relay->events.stack);
    relay->unread = first ? CONTAINER_OF(first, struct event, node) : NULL;
    for (struct stack_node *node = first; node; node = node->next) {
        struct event *event = CONTAINER_OF(node, struct event, node);
        if (event->view.kind != RELAY_EVENT_LEFT)
            continue;
        struct peer *peer = CONTAINER_OF(event, struct peer, reports.gone);
        if (peer->reports.told == ARRIVAL_UNREAD)
            peer->reports.told = ARRIVAL_VOID;
    }
}

/* True for events of a peer that left before its arrival was read, which are not handed out. */
static bool is_void(struct event *event)
{
    if (event->view.kind == RELAY_EVENT_LEFT)
        return CONTAINER_OF(event, struct peer, reports.gone)->reports.told == ARRIVAL_VOID;
    if (event->view.kind != RELAY_EVENT_ADMITTED)
        return false;
    struct peer *peer = CONTAINER_OF(event, struct peer, reports.arrival);
    if (peer->reports.told == ARRIVAL_UNREAD)
        peer->reports.told = ARRIVAL_TOLD;
    return peer->reports.told == ARRIVAL_VOID;
}

uint32_t relay_events(struct relay *relay, struct relay_event *events, uint32_t max)
{
    free_read(relay);
    if (!relay->unread)
        relay_events_take(relay);
    uint32_t n = 0;
    while (relay->unread && n < max) {
        struct event *event = relay->unread;
        relay->unread = event_next(event);
        if (!is_void(event))
            events[n++] = event->view;
        retire(relay, event);
    }
    if (relay->unread)
        events_remain(&relay->events);
    return n;
}

int relay_event_fd(struct relay *relay)
{
    return relay->told.reader;
}

void relay_drain(struct relay *relay)
{
    struct relay_event events[64];
    for (uint32_t n; (n = relay_events(relay, events, 64)) > 0;) {
        for (uint32_t i = 0; i < n; i++)
            event_close(&events[i]);
    }
    for (struct event *event = relay->read; event; event = event_next(event))
        event->untold = false;
    free_read(relay);
}
