/* SPDX-License-Identifier: MIT */
#include "order.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#define STRETCH 60      /* the most steps in one mode, calm or wild */
#define UNANSWERED 100u /* the most pending calls */
#define BURST 600u
#define DEAF 20000u /* microseconds, the longest time without reading */

static int random_client(struct talker *t)
{
    return (int)random_below(&t->state, (uint32_t)load.clients);
}

static void change_rule(struct talker *t)
{
    char rule[128];
    snprintf(rule, sizeof(rule), RULE, "Extra");
    driver_ask(&t->c, t->has_rule ? "RemoveMatch" : "AddMatch", rule);
    t->has_rule = !t->has_rule;
}

static void change_name(struct talker *t)
{
    struct buffer body = {0};
    char name[64];
    talker_name(t->number, BY_FLEETING, name);
    if (t->owns_name) {
        t->release = driver_ask(&t->c, "ReleaseName", name);
    } else {
        t->release = 0;
        t->is_released = false;
        buffer_string(&body, name);
        buffer_u32(&body, 0);
        driver_send(&t->c, "RequestName", "su", &body);
        free(body.data);
    }
    t->owns_name = !t->owns_name;
}

/* More than fit a queue while its receiver does not read. */
static void burst(struct talker *t, enum kind kind, int to)
{
    for (uint32_t n = random_below(&t->state, BURST); n > 0; n--)
        talker_send(t, kind, to, BY_UNIQUE);
}

/* Small messages, one at a time: they may go directly. */
static void calm_step(struct talker *t)
{
    static const enum kind kinds[] = {CAST, EXTRA, NOTE, ASK, ASK, TELL};
    uint32_t what = random_below(&t->state, 8);
    if (what < 6) {
        enum kind kind = kinds[what];
        talker_send(t, kind, kind == CAST ? ALL : kind == EXTRA ? SOME : random_client(t), BY_UNIQUE);
    } else if (what == 6) {
        talker_send(t, ASK, random_client(t), BY_STEADY);
    } else if (random_below(&t->state, 16) == 0) {
        burst(t, NOTE, random_client(t));
    } else {
        pause_for(random_below(&t->state, 5000));
    }
    while (t->unanswered > 0)
        receive_all(t, true);
}

/* Everything that makes messages go through the bus. */
static void wild_step(struct talker *t)
{
    int to = random_client(t);
    switch (random_below(&t->state, 16)) {
    case 0:
        change_rule(t);
        break;
    case 1:
        change_name(t);
        break;
    case 2:
        if (random_below(&t->state, 4) == 0)
            pause_for(random_below(&t->state, DEAF));
        break;
    case 3:
        if (random_below(&t->state, 8) == 0)
            burst(t, NOTE, to);
        else
            talker_send(t, NOTE, to, BY_UNIQUE);
        break;
    case 4:
    case 5:
        talker_send(t, EXTRA, SOME, BY_UNIQUE);
        break;
    case 6:
    case 7:
        talker_send(t, CAST, ALL, BY_UNIQUE);
        break;
    case 8:
    case 9:
        talker_send(t, TELL, to, BY_UNIQUE);
        break;
    case 10:
        talker_send(t, SEEK, to, BY_FLEETING);
        break;
    case 11:
        talker_send(t, NOTE, to, BY_STEADY);
        break;
    default:
        talker_send(t, ASK, to, BY_UNIQUE);
    }
}

static void enter(struct talker *t)
{
    char rule[128], name[64];
    connection_open(&t->c);
    talker_name(t->number, BY_STEADY, name);
    driver_request_name(&t->c, name);
    snprintf(rule, sizeof(rule), RULE, "Cast");
    driver_add_match(&t->c, rule);
    snprintf(shared->name[t->number], sizeof(shared->name[0]), "%s", t->c.name);
    process_ready();
    change_name(t);
}

/* After all byes every call has a reply; the others' messages to this client end with their ends. */
static void leave(struct talker *t)
{
    t->calm = true;
    talker_send(t, BYE, ALL, BY_UNIQUE);
    while (t->byes < (uint32_t)load.clients || t->unanswered > 0)
        receive_all(t, true);
    talker_send(t, END, ALL, BY_UNIQUE);
    while (t->ends < (uint32_t)load.clients)
        receive_all(t, true);
    atomic_store(&records->n_sent[t->number], t->sent);
    atomic_store(&records->n_casts[t->number], t->casts);
}

void talk(void *argument)
{
    struct talker *t = argument;
    t->state = random_begin(t->number);
    enter(t);
    for (int step = 0, until = 0; step < load.count; step++) {
        if (step == until) {
            t->calm = !t->calm;
            until += 1 + (int)random_below(&t->state, STRETCH);
        }
        if (t->calm)
            calm_step(t);
        else
            wild_step(t);
        receive_all(t, false);
        while (t->unanswered > UNANSWERED)
            receive_all(t, true);
    }
    leave(t);
}
