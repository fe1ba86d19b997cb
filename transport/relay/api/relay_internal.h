/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_RELAY_INTERNAL_H
#define OMNIBUS_RELAY_INTERNAL_H

#include "api/command.h"
#include "api/relay.h"
#include "base/wake.h"
#include "state/source.h"

#include <pthread.h>

typedef void (*relay_successor)(struct relay *relay);

/* The control plane's part of a state, as it is to be used if the process is killed. */
struct kept_sections {
    size_t size;
    uint8_t bytes[];
};

struct relay {
    /*
     * owned by the data plane; the rest by the control plane, except for the two stacks and for atomic fields
     */
    struct bus bus;
    struct events events;
    struct stack commands;
    struct source source;        /* target for epoll events of commanded */
    struct wake told, commanded; /* wake the control plane and the data plane */
    struct command_batch *open;  /* commands that wait for relay_commit */
    struct stack_node *batches;  /* batches taken and not fully applied yet */
    struct event *unread;        /* taken from events.stack, not handed out yet */
    struct event
        *read; /* events with memory of their own that were handed out; freed by the next relay_events */
    pthread_t thread;
    _Atomic(relay_successor) successor; /* what the thread does instead; NULL: nothing */
    struct kept_sections *kept;         /* NULL: none yet */
    struct standby *standby;            /* NULL: none was made */
    uint32_t mediated;                  /* enum relay_module */
    bool started;                       /* the thread runs */
    bool turns;                         /* there is no thread: relay_turn is called */
};

/* Makes the batch that commands are appended to, unless there is one. False: no memory. */
bool relay_open_batch(struct relay *relay);
/* Appends a command, which may be NULL: no memory. Owns it, also when it fails. 0, or -ENOMEM. */
int relay_push(struct relay *relay, struct command *command);
int relay_push_new(struct relay *relay, enum command_kind kind, uint64_t id, uint32_t serial);

/*
 * Lets the thread call a function between two wake-ups, and end. From then on the relay belongs to that
 * function: no other may be called by another thread. For signal handlers, too.
 */
void relay_succeed(struct relay *relay, relay_successor successor);

/* Frees all events, and closes descriptors that were not taken. */
void relay_drain(struct relay *relay);

#endif
