/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_INPUT_H
#define OMNIBUS_INPUT_H

#include "state/bus.h"

#define INPUT_TURN_TIME 200 /* microseconds of a turn, which its last message may exceed */

/* Reads once and routes the messages. A peer that may have more is put on bus.ready. */
void input_read(struct bus *bus, struct peer *peer);
/* The turn of a peer from bus.ready: parses what waits, or reads. */
void input_continue(struct bus *bus, struct peer *peer);
/*
 * Records a call that has read, and takes its descriptors. 0; -ENOMEM; -EMSGSIZE: descriptors are missing.
 */
int input_received(struct peer *peer, struct read_note *reading);
/* Resumes paused peers that fell below their quota. */
void input_unpause(struct bus *bus);

#endif
