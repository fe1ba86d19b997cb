/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_EVENT_H
#define OMNIBUS_EVENT_H

#include "api/relay.h"
#include "base/stack.h"
#include "base/table.h"
#include "wire/message.h"

/* An event sits in the object that it is about, so there is always room for it. */
struct event {
    struct stack_node node;
    struct relay_event view;
    bool owned;        /* the event was allocated for itself, with what body points to */
    bool untold;       /* the control plane has taken it, and has yet to say so */
    struct user *user; /* whose report it is: see report.h; NULL: it is none */
    uint64_t peer;     /* the same */
};

#define EVENTS_LAZY_MAX 64u   /* that wait until the control plane is woken */
#define EVENTS_LAZY_TIME 1000 /* in milliseconds */

struct events {
    struct stack stack;
    int fd;        /* eventfd, for the control plane */
    bool wake;     /* it is to be told that the stack is no longer empty */
    uint32_t lazy; /* waiting since lazy_since, without its having been told */
    int64_t lazy_since;
};

/* The next of several that were taken together; NULL: none. */
static inline struct event *event_next(const struct event *event)
{
    struct stack_node *next = event->node.next;
    return next ? CONTAINER_OF(next, struct event, node) : NULL;
}

/* Of one that the control plane does not take: closes what it has, and frees it if it is owned. */
void event_drop(struct event *event);
void event_close(const struct relay_event *view);
void event_describe(struct event *event, const struct message *m);
void events_push(struct events *events, struct event *event);
/* In the same order, but wakes nobody: it is taken with the next event, or when many or old ones wait. */
void events_push_lazily(struct events *events, struct event *event);
/* Lazy events wait no longer. */
void events_hurry(struct events *events);
/* Milliseconds until lazy events have waited long enough, -1: there are none; those that have are told of. */
int events_tick(struct events *events);
void events_remain(
    const struct events *events); /* the control plane did not take all: the descriptor stays readable */
void events_wake(struct events *events); /* once a wake-up, if anything was pushed */

#endif
