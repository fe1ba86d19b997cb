/* SPDX-License-Identifier: MIT */
#ifndef FUZZ_RECEIVE_BUS_H
#define FUZZ_RECEIVE_BUS_H

#include "world.h"

/* Messages of the bus itself: replies, errors, and signals about names. */
void receive_bus(struct world *w, struct client *c, const struct message *message);

#endif
