/* SPDX-License-Identifier: MIT */
#ifndef FUZZ_AUDIT_RULES_H
#define FUZZ_AUDIT_RULES_H

#include "audit.h"

/* GetAllMatchRules returns exactly each client's rules. False: why says what is wrong. */
bool audit_all_rules(struct world *w, char why[AUDIT_TEXT]);

#endif
