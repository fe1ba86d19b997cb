/* SPDX-License-Identifier: MIT */
#ifndef FUZZ_HEAR_H
#define FUZZ_HEAR_H

#include "world.h"

/* Takes what a client has read: checks each message, and answers calls. */
void hear(struct world *w, struct client *c);

#endif
