/* SPDX-License-Identifier: MIT */
#ifndef FUZZ_RECEIVE_H
#define FUZZ_RECEIVE_H

#include "world.h"

/* Processes a client's input: checks each message, and answers calls. */
void receive(struct world *w, struct client *c);

#endif
