/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_LOOP_H
#define OMNIBUS_LOOP_H

#include "state/bus.h"

/* Applies commands of the control plane; called at most once per wake-up. */
typedef void (*loop_commands)(void *context);

/* Runs until bus->stop. */
void loop_run(struct bus *bus, loop_commands commands, void *context);
/* Runs one wake-up; timeout in milliseconds, -1: none. */
void loop_once(struct bus *bus, int timeout, loop_commands commands, void *context);
/* The milliseconds until the next wake-up is due; -1: only on an event. */
int loop_wait_time(const struct bus *bus);

#endif
