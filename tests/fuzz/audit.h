/* SPDX-License-Identifier: MIT */
#ifndef FUZZ_AUDIT_H
#define FUZZ_AUDIT_H

#include "world.h"

#define AUDIT_TEXT 512

/* Checks that every message has arrived or was refused, and every call has its reply. False: why says what
 * not. */
bool audit_messages(struct world *w, char why[AUDIT_TEXT]);
/* Compares the bus's counters of each client with the client's own. False: why says the difference. */
bool audit_statistics(struct world *w, char why[AUDIT_TEXT]);

#endif
