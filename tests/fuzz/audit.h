/* SPDX-License-Identifier: MIT */
#ifndef FUZZ_AUDIT_H
#define FUZZ_AUDIT_H

#include "world.h"

#define AUDIT_TEXT 512

/* Each message has arrived, or was refused, as it should; each call has its answer. False: says what has not.
 */
bool audit_messages(struct world *w, char why[AUDIT_TEXT]);
/* What the bus counts of each client is what the client knows. False: says what is not. */
bool audit_statistics(struct world *w, char why[AUDIT_TEXT]);

#endif
