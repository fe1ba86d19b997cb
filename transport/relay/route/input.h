/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_INPUT_H
#define OMNIBUS_INPUT_H

#include "state/bus.h"

#define INPUT_TURN_TIME 200 /* microseconds of a turn, of which the last message may be longer */

/* Reads once and routes what came; a peer that may have more is put on bus.ready. */
void input_read(struct bus *bus, struct peer *peer);
/* A peer of bus.ready: parses what waits, then reads. */
void input_continue(struct bus *bus, struct peer *peer);
/* Lets go on who has less under way again. */
void input_unpause(struct bus *bus);

#endif
