/* SPDX-License-Identifier: MIT */
#include "order.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#define STRETCH 60      /* steps, at most, in which one is calm, or not */
#define UNANSWERED 100u /* calls, at most */
#define BURST 600u
#define DEAF 20000u /* microseconds, at most, in which one does not read */

static int somebody(struct talker *t)
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

/* So many that they don't all fit a queue that nobody reads. */
static void burst(struct talker *t, enum kind kind, int to)
{
    for (uint32_t n = random_below(&t->state, BURST); n > 0; n--)
        say(t, kind, to, BY_UNIQUE);
}

/* Small messages, one after the other: they may go directly. */
static void calm_step(struct talker *t)
{
    static const enum kind kinds[] = {CAST, EXTRA, NOTE, ASK, ASK, TELL};
    uint32_t what = random_below(&t->state, 8);
    if (what < 6) {
        enum kind kind = kinds[what];
        say(t, kind, kind == CAST ? EVERYBODY : kind == EXTRA ? SOME : somebody(t), BY_UNIQUE);
    } else if (what == 6) {
        say(t, ASK, somebody(t), BY_STEADY);
    } else if (random_below(&t->state, 16) == 0) {
        burst(t, NOTE, somebody(t));
    } else {
        pause_for(random_below(&t->state, 5000));
    }
    while (t->unanswered > 0)
        hear_all(t, true);
}

/* All that sends messages round by way of the bus. */
static void wild_step(struct talker *t)
{
    int to = somebody(t);
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
            say(t, NOTE, to, BY_UNIQUE);
        break;
    case 4:
    case 5:
        say(t, EXTRA, SOME, BY_UNIQUE);
        break;
    case 6:
    case 7:
        say(t, CAST, EVERYBODY, BY_UNIQUE);
        break;
    case 8:
    case 9:
        say(t, TELL, to, BY_UNIQUE);
        break;
    case 10:
        say(t, SEEK, to, BY_FLEETING);
        break;
    case 11:
        say(t, NOTE, to, BY_STEADY);
        break;
    default:
        say(t, ASK, to, BY_UNIQUE);
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

/* Whoever has got all byes has replied to everybody; what others send to him ends with their ends. */
static void leave(struct talker *t)
{
    t->calm = true;
    say(t, BYE, EVERYBODY, BY_UNIQUE);
    while (t->byes < (uint32_t)load.clients || t->unanswered > 0)
        hear_all(t, true);
    say(t, END, EVERYBODY, BY_UNIQUE);
    while (t->ends < (uint32_t)load.clients)
        hear_all(t, true);
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
        hear_all(t, false);
        while (t->unanswered > UNANSWERED)
            hear_all(t, true);
    }
    leave(t);
}
