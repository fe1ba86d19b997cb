/* SPDX-License-Identifier: MIT */
#ifndef FUZZ_CONTROL_H
#define FUZZ_CONTROL_H

#include "world.h"

/* The fuzzer's own connection, of root: it asks for statistics, and hears of every name. */

void control_connect(struct world *w);
/* Calls the driver and waits, while the others go on. NULL: an error came. It holds until the next call. */
const struct letter *control_call(struct world *w, const char *member, const char *argument);
/* GetStats, or GetConnectionStats of a unique name. False: an error came. */
bool control_ask(struct world *w, const char *unique);
/* A number of the last answer to control_ask. */
uint64_t control_value(const struct world *w, const char *key);
/* The owner of a name by what NameOwnerChanged said; "": none. */
const char *control_owner(uint32_t number);
/* Has NameOwnerChanged found the fuzzer's queue full in this round, so that owners are unknown? */
bool control_missed(struct world *w);
void control_forget(struct world *w); /* at the end of a round: all owners are gone */

/* For hear_bus. */
void control_answered(struct world *w, const struct letter *letter);
void control_owner_changed(struct world *w, const struct letter *letter);

#endif
