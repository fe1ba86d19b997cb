/* SPDX-License-Identifier: MIT */
#ifndef ATTACK_RULES_H
#define ATTACK_RULES_H

#include "connection.h"

#define RULES_EACH 510 /* max_match_rules_per_connection is 512 by default */
#define RULE_MAX 1024

/* Connections with RULES_EACH match rules each; `rule` writes the n-th. Freed by the end of the process. */
struct connection *rules_join(int connections, void (*rule)(char *text, unsigned n));

#endif
