/* SPDX-License-Identifier: MIT */
#ifndef FUZZ_KILLED_H
#define FUZZ_KILLED_H

#include "world.h"

/* The interface of its messages. */
#define KILLED "fuzz.Killed"

/* A process that connects, sends some messages, and is killed meanwhile. Part of the plan. */
void killed_client(struct world *w, uint32_t uid, uint32_t messages, uint32_t cut_per_mille);

#endif
