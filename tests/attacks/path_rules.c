/* SPDX-License-Identifier: MIT */
#include "attack.h"
#include "rules.h"

#include <stdio.h>
#include <unistd.h>

#define VALUES 15
#define PAUSE_US 300000
#define CHURNED 6

/* A rule of VALUES argNpath values, in ascending order from rule to rule. */
static void many_paths(char *text, unsigned n)
{
    int at = 0;
    for (unsigned i = 0; i < VALUES; i++)
        at += snprintf(text + at, RULE_MAX - (size_t)at, "%sarg%upath='/%08u'", i ? "," : "", i,
                       n * VALUES + i);
}

/* --count connections with rules of many argNpath values disconnect at once, the oldest first. */
void path_rules_leave(void *argument)
{
    (void)argument;
    hostile_set_uid();
    struct connection *all = rules_join(attack_options.count, many_paths);
    process_ready();
    usleep(PAUSE_US); /* the bystander has started */
    for (int i = 0; i < attack_options.count; i++) {
        connection_close(&all[i]);
        atomic_fetch_add(&shared->harm, RULES_EACH);
    }
    pause();
}

static void low_paths(struct buffer *out, const char *member)
{
    struct buffer body = {0};
    char text[RULE_MAX];
    int at = 0;
    for (int i = 0; i < CHURNED; i++)
        at +=
            snprintf(text + at, sizeof(text) - (size_t)at, "%sarg%dpath='/%0*d'", i ? "," : "", i, i + 1, 0);
    buffer_string(&body, text);
    put_message(out,
                &(struct header){.type = CALL,
                                 .flags = NO_REPLY,
                                 .path = BUS_PATH,
                                 .interface = BUS,
                                 .member = member,
                                 .destination = BUS,
                                 .signature = "s"},
                &body);
}

/* Beside --count connections with such rules, one adds and removes a rule that sorts before all of them. */
void path_rules_churn(void *argument)
{
    struct connection c = {0};
    struct buffer out = {0};
    (void)argument;
    hostile_set_uid();
    rules_join(attack_options.count, many_paths);
    attack_join(&c);
    low_paths(&out, "AddMatch");
    low_paths(&out, "RemoveMatch");
    put_repeated(&out, 1u << 15);
    process_ready();
    attack_flood(&c, &out, 1);
}
