/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_INPUT_H
#define OMNIBUS_INPUT_H

#include "state/bus.h"

/* Of one peer in one wake-up: long messages are only moved, of short ones the most time goes into each. */
#define INPUT_READ_SIZE (256u * 1024)
#define INPUT_READ_SHORT (32u * 1024)
#define INPUT_TURN_TIME 200   /* microseconds of a turn, of which the last message may be longer */
#define INPUT_READ_HEAD 2048u /* behind a message with a buffer of its own: the next may get one, too */

/* Reads once and routes what came; a peer that may have more is put on bus.ready. */
void input_read(struct bus *bus, struct peer *peer);
/* A peer of bus.ready: parses what waits, then reads. */
void input_continue(struct bus *bus, struct peer *peer);
/* The peer was stopped or paused; it goes on, in its turn, with what it had sent. */
void input_resume(struct bus *bus, struct peer *peer);
/* Lets go on who has less under way again. */
void input_unpause(struct bus *bus);
/* What came together with the end of the authentication. 0 or -ENOMEM. */
int input_leftover(struct peer *peer, const uint8_t *bytes, size_t size, const int *fds, uint32_t n_fds);
/* Frees what it had sent. */
void input_drop(struct peer *peer);

#endif
