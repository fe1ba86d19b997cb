/* SPDX-License-Identifier: MIT */
#include "load.h"

#include <stdio.h>
#include <sys/socket.h>

/*
 * The listener adds or removes a rule, waiting for the reply or not, and calls the emitter, which emits a
 * signal and then replies. With the rule the signal arrives before the reply; without it there is none. A
 * third client always has the rule, and gets every signal once.
 */

enum { LISTENER, EMITTER, BYSTANDER, PARTS };

#define LAST UINT32_MAX

static void add_rule(struct connection *c)
{
    char rule[128];
    snprintf(rule, sizeof(rule), RULE, "Tick");
    driver_add_match(c, rule);
}

static void emitter(void *argument)
{
    struct connection c = {0};
    (void)argument;
    connection_open(&c);
    snprintf(shared->name[EMITTER], sizeof(shared->name[0]), "%s", c.name);
    process_ready();
    for (uint32_t number = 0; number != LAST;) {
        struct message m;
        connection_next(&c, &m);
        if (m.type != CALL || !same(m.member, "Emit"))
            die("unexpected message: type %u member %s", m.type, shown(m.member));
        uint32_t serial = m.serial;
        number = word(&m, 0);
        struct header tick = {.type = SIGNAL, .member = "Tick"};
        words_send(&c, &tick, ++c.serial, &number, 1);
        struct header reply = {.type = RETURN, .reply_serial = serial, .destination = shared->name[LISTENER]};
        words_send(&c, &reply, ++c.serial, &number, 1);
    }
}

static void bystander(void *argument)
{
    struct connection c = {0};
    uint32_t number = 0;
    (void)argument;
    connection_open(&c);
    add_rule(&c);
    process_ready();
    for (uint32_t got = 0; got != LAST; number++) {
        struct message m;
        connection_next(&c, &m);
        got = word(&m, 0);
        if (m.type != SIGNAL || !same(m.member, "Tick") || (got != number && got != LAST))
            die("%s %u instead of signal %u", shown(m.member), got, number);
    }
    shared->got[BYSTANDER] = number;
}

/* Checks the next message. */
static void expect(struct connection *c, uint32_t type, uint32_t reply_serial, uint32_t number)
{
    struct message m;
    connection_next(c, &m);
    bool is_tick = m.type == SIGNAL && same(m.member, "Tick");
    if (m.type != type || m.reply_serial != reply_serial || (type == SIGNAL && !is_tick) ||
        (number && word(&m, 0) != number - 1))
        die("type %u member %s error %s reply to %u instead of type %u reply to %u, round %u", m.type,
            shown(m.member), shown(m.error), m.reply_serial, type, reply_serial, number - 1);
}

static void call(struct connection *c, uint32_t number, uint32_t rule_serial, bool has_rule)
{
    struct header header = {.type = CALL, .member = "Emit", .destination = shared->name[EMITTER]};
    uint32_t serial = ++c->serial;
    words_send(c, &header, serial, &number, 1);
    if (rule_serial)
        expect(c, RETURN, rule_serial, 0);
    if (has_rule)
        expect(c, SIGNAL, 0, number + 1);
    expect(c, RETURN, serial, number + 1);
}

static void listener(void *argument)
{
    struct connection c = {0};
    uint32_t state = random_begin(LISTENER), number = 0;
    char rule[128];
    (void)argument;
    snprintf(rule, sizeof(rule), RULE, "Tick");
    connection_open(&c);
    snprintf(shared->name[LISTENER], sizeof(shared->name[0]), "%s", c.name);
    process_ready();
    for (int round = 0; round < 2 * load.count; round++) {
        bool has_rule = round % 2 == 0;
        uint32_t serial = driver_ask(&c, has_rule ? "AddMatch" : "RemoveMatch", rule);
        if (random_below(&state, 2)) {
            expect(&c, RETURN, serial, 0);
            serial = 0;
        }
        call(&c, number++, serial, has_rule);
        if (random_below(&state, 32) == 0) /* direct delivery is set up meanwhile */
            pause_for(random_below(&state, 10000));
        for (uint32_t n = random_below(&state, 3); n > 0; n--)
            call(&c, number++, 0, has_rule);
    }
    shared->got[LISTENER] = number;
    call(&c, LAST, 0, false);
}

bool match_run(void)
{
    process_spawn("listener", load.deadline, listener, NULL);
    process_spawn("emitter", load.deadline, emitter, NULL);
    process_spawn("bystander", load.deadline, bystander, NULL);
    if (!process_start(PARTS) || !process_wait(0))
        return false;
    if (shared->got[BYSTANDER] != shared->got[LISTENER] + 1)
        die("%lu signals of %lu", shared->got[BYSTANDER], shared->got[LISTENER] + 1);
    printf("%d rules added and removed, %lu calls, each with a signal\n", load.count, shared->got[LISTENER]);
    return true;
}
