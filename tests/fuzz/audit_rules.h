/* SPDX-License-Identifier: MIT */
#ifndef FUZZ_AUDIT_RULES_H
#define FUZZ_AUDIT_RULES_H

#include "audit.h"

/* GetAllMatchRules names each client's rules, and no others. False: says what is wrong. */
bool audit_all_rules(struct world *w, char why[AUDIT_TEXT]);

#endif
