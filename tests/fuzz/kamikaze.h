/* SPDX-License-Identifier: MIT */
#ifndef FUZZ_KAMIKAZE_H
#define FUZZ_KAMIKAZE_H

#include "world.h"

/* The interface of what it sends. */
#define KAMIKAZE "fuzz.Killed"

/* A process that connects, says a few things, and is killed within them. Part of the plan. */
void kamikaze(struct world *w, uint32_t uid, uint32_t messages, uint32_t cut_per_mille);

#endif
