/* SPDX-License-Identifier: MIT */
#ifndef FUZZ_QUIET_H
#define FUZZ_QUIET_H

#include "world.h"

/* Everything that is under way arrives; then what the clients got, and what the bus counts, is compared with
 * what was said. */
void quiet(struct world *w);
/* Some clients go, and the others hear of it; then all go, and nothing of them may be left in the bus. */
void quiet_end(struct world *w, bool first_round);
uint64_t quiet_memory(const struct world *w); /* of the bus: resident bytes */

#endif
