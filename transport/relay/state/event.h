/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_EVENT_H
#define OMNIBUS_EVENT_H

#include "api/relay.h"
#include "base/stack.h"
#include "base/table.h"
#include "wire/message.h"

/*
 * An event for the control plane. It is embedded in the object that it is about, so there is always memory
 * for it.
 */
struct event {
    struct stack_node node;
    struct relay_event view;
    bool owned;        /* the event was allocated by itself, together with its body */
    bool untold;       /* taken by the control plane, which has not confirmed that yet */
    struct user *user; /* the uid whose report it is: see report.h; NULL: no report */
    uint64_t peer;     /* the peer whose report it is */
};

#define EVENTS_LAZY_MAX 64u /* limit of lazy events before the control plane is woken */

struct events {
    struct stack stack;
    int fd;        /* an eventfd for the control plane */
    bool wake;     /* the control plane is to be woken */
    uint32_t lazy; /* events pushed without a wake-up */
};

/* The next of several events taken together; NULL: none. */
static inline struct event *event_next(const struct event *event)
{
    struct stack_node *next = event->node.next;
    return next ? CONTAINER_OF(next, struct event, node) : NULL;
}

/* Discards an event that is not taken: closes its descriptors, and frees it if it is owned. */
void event_drop(struct event *event);
void event_close(const struct relay_event *view);
void event_describe(struct event *event, const struct message *m);
void events_push(struct events *events, struct event *event);
/*
 * The same, in the same order, without a wake-up: the event is taken with the next one, or once there are
 * many. No limit of time: the control plane does not act on these events but by the answers to later ones.
 */
void events_push_lazily(struct events *events, struct event *event);
/* Flushes deferred events. */
void events_hurry(struct events *events);
void events_remain(
    const struct events *events); /* keeps the descriptor readable, as not all events were taken */
/* Wakes the control plane if anything was pushed; once per wake-up. */
static inline void events_wake(struct events *events)
{
    if (!events->wake)
        return;
    events->wake = false;
    events->lazy = 0;
    events_remain(events);
}

#endif
