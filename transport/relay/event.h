/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_EVENT_H
#define OMNIBUS_EVENT_H

#include "message.h"
#include "relay.h"
#include "stack.h"

/* An event sits in the object that it is about, so there is always room for it. */
struct event {
    struct stack_node node;
    struct relay_event view;
    bool owned; /* the event was allocated for itself, with what body points to */
};

struct events {
    struct stack stack;
    int fd;    /* eventfd, for the control plane */
    bool wake; /* something was pushed to the empty stack */
};

void event_describe(struct event *event, const struct message *m);
void events_push(struct events *events, struct event *event);
void events_wake(struct events *events); /* once a wake-up, if anything was pushed */

#endif
