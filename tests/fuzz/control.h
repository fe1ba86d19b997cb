/* SPDX-License-Identifier: MIT */
#ifndef FUZZ_CONTROL_H
#define FUZZ_CONTROL_H

#include "world.h"

/* The fuzzer's own connection, of root: it reads statistics, and receives every NameOwnerChanged. */

void control_connect(struct world *w);
/* Calls the driver and waits, while the others continue. NULL: an error. Valid until the next call. */
const struct message *control_call(struct world *w, const char *member, const char *argument);
/* GetStats, or GetConnectionStats of a unique name. False: an error came. */
bool control_ask(struct world *w, const char *unique);
/* A value of the last reply to control_ask. */
uint64_t control_value(const struct world *w, const char *key);
/* The owner of a name according to NameOwnerChanged; "": none. */
const char *control_owner(uint32_t number);
/* Was a NameOwnerChanged lost on the fuzzer's full queue in this round, so that owners are unknown? */
bool control_missed(struct world *w);
void control_forget(struct world *w); /* at the end of a round: all owners are gone */

/* Called by receive_bus. */
void control_answered(struct world *w, const struct message *message);
void control_owner_changed(struct world *w, const struct message *message);

#endif
