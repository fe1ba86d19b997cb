/* SPDX-License-Identifier: MIT */
#ifndef FUZZ_QUIET_H
#define FUZZ_QUIET_H

#include "world.h"

/* Waits until all messages in flight have arrived; then compares the clients' input, and the bus's counters,
 * with the sent messages. */
void quiet(struct world *w);
/* Some clients disconnect, and the others are notified; then all do, and the bus may keep no state of them.
 */
void quiet_end(struct world *w, bool first_round);
uint64_t quiet_memory(const struct world *w); /* of the bus: resident bytes */

#endif
