/* SPDX-License-Identifier: MIT */
#include "rules.h"

#include "attack.h"

#include <stdlib.h>

struct connection *rules_join(int connections, void (*rule)(char *text, unsigned n))
{
    struct connection *all = calloc((size_t)connections, sizeof(*all));
    struct buffer out = {0};
    char text[RULE_MAX];
    unsigned n = 0;
    if (!all)
        die("out of memory");
    for (int i = 0; i < connections; i++) {
        attack_join(&all[i]);
        for (int k = 0; k < RULES_EACH; k++) {
            out.size = 0;
            rule(text, n++);
            put_add_match(&out, text);
            attack_pour(&all[i], &out);
        }
        attack_sync(&all[i]);
    }
    return all;
}
