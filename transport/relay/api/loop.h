/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_LOOP_H
#define OMNIBUS_LOOP_H

#include "state/bus.h"

/* Applies what the control plane wants; called once a wake-up at most. */
typedef void (*loop_commands)(void *context);

/* Serves until bus->stop. An event of epoll without a peer means that there are commands. */
void loop_run(struct bus *bus, loop_commands commands, void *context);
/* One wake-up; timeout in milliseconds, -1: as long as it takes. */
void loop_once(struct bus *bus, int timeout, loop_commands commands, void *context);
/* The milliseconds until the next wake-up is due, -1: as long as it takes. */
int loop_wait_time(const struct bus *bus);

#endif
