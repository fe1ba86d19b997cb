/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_RELAY_INTERNAL_H
#define OMNIBUS_RELAY_INTERNAL_H

#include "command.h"
#include "relay.h"
#include "source.h"

#include <pthread.h>

struct relay {
    /* the data plane's; the rest is the control plane's, but for the two stacks, and for what is atomic */
    struct bus bus;
    struct events events;
    struct stack commands;
    struct source source; /* of command_fd */
    int command_fd;
    struct command_batch *open; /* commands that wait for relay_commit */
    struct event *unread;       /* taken from events.stack and not handed out yet */
    uint32_t logs_read;
    struct event *read; /* events of their own that were handed out, freed at the next relay_events */
    pthread_t thread;
    bool started;
};

/* Frees all events, and closes what nobody has taken. */
void relay_drain(struct relay *relay);

#endif
