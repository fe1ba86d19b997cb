/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_RELAY_INTERNAL_H
#define OMNIBUS_RELAY_INTERNAL_H

#include "api/command.h"
#include "api/relay.h"
#include "base/wake.h"
#include "state/source.h"

#include <pthread.h>

struct relay {
    /* the data plane's; the rest is the control plane's, but for the two stacks, and for what is atomic */
    struct bus bus;
    struct events events;
    struct stack commands;
    struct source source;        /* of commanded */
    struct wake told, commanded; /* for the control plane, and for the data plane */
    struct command_batch *open;  /* commands that wait for relay_commit */
    struct stack_node *batches;  /* of commands that were taken, and are not all applied yet */
    struct event *unread;        /* taken from events.stack and not handed out yet */
    uint64_t n_ids;              /* Odd ids. No counter is shared: 64-bit atomics are not everywhere. */
    struct event *read; /* events of their own that were handed out, freed at the next relay_events */
    pthread_t thread;
    bool started; /* the thread */
    bool turns;   /* there is none: relay_turn is called */
};

/* Frees all events, and closes what nobody has taken. */
void relay_drain(struct relay *relay);

#endif
