/* SPDX-License-Identifier: MIT */
#ifndef FUZZ_HEAR_BUS_H
#define FUZZ_HEAR_BUS_H

#include "world.h"

/* A message of the bus itself: replies, errors, and signals about names. */
void hear_bus(struct world *w, struct client *c, const struct letter *letter);

#endif
