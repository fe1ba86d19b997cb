/* SPDX-License-Identifier: MIT */
#include "attack.h"
#include "rules.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CHURNED 200

/* Rules of every kind, no two equal. */
static void any_rule(char *text, unsigned n)
{
    static const char *const kinds[] = {
        "type='signal',sender='org.example.S%u'",
        "type='signal',arg0namespace='org.example.a%u.b.c.d.e.f.g'",
        "type='method_call',destination=':1.%u'",
        "path_namespace='/org/example/p%u'",
        "interface='org.example.I%u',member='M',path='/p'",
        "arg0='v%u',arg3path='/x/',arg63='y'",
        "type='error',eavesdrop='true',arg1='e%u'",
    };
    snprintf(text, RULE_MAX, kinds[n % (sizeof(kinds) / sizeof(*kinds))], n);
}

static void put_rule_call(struct buffer *out, const char *member, unsigned n)
{
    struct buffer body = {0};
    char text[RULE_MAX];
    any_rule(text, n);
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
    free(body.data);
}

/* Beside --count connections with rules of every kind, one adds CHURNED and removes them in the same order.
 */
void rule_churn(void *argument)
{
    struct connection c = {0};
    struct buffer out = {0};
    (void)argument;
    hostile_set_uid();
    rules_join(attack_options.count, any_rule);
    attack_join(&c);
    for (unsigned i = 0; i < CHURNED; i++)
        put_rule_call(&out, "AddMatch", (1u << 20) + i);
    for (unsigned i = 0; i < CHURNED; i++)
        put_rule_call(&out, "RemoveMatch", (1u << 20) + i);
    process_ready();
    attack_flood(&c, &out, 2 * CHURNED);
}

/* One connection has --count equal rules, adds one and removes one. */
void equal_rules(void *argument)
{
    struct connection c = {0};
    struct buffer out = {0};
    (void)argument;
    hostile_set_uid();
    attack_join(&c);
    for (int i = 0; i < attack_options.count; i++)
        put_rule_call(&out, "AddMatch", 1);
    attack_pour(&c, &out);
    out.size = 0;
    put_rule_call(&out, "AddMatch", 1);
    put_rule_call(&out, "RemoveMatch", 1);
    put_repeated(&out, 1u << 15);
    process_ready();
    attack_flood(&c, &out, 1);
}

static void overhears(char *text, unsigned n)
{
    snprintf(text, RULE_MAX, "eavesdrop='true',path_namespace='/',arg%u='%u'", n % 64, n);
}

/* --count connections with eavesdropping rules that match every message except for the arguments. */
void eavesdroppers(void *argument)
{
    (void)argument;
    hostile_set_uid();
    rules_join(attack_options.count, overhears);
    process_ready();
    atomic_store(&shared->harm, (uint64_t)attack_options.count);
    pause();
}
