/* SPDX-License-Identifier: MIT */
#include "load.h"

#include <stdio.h>
#include <sys/socket.h>

/*
 * One client emits signals and makes calls, numbered; another replies; monitors come and go. A monitor sees
 * each kind without gaps or duplicates, beginning with the first call made after BecomeMonitor.
 */

enum { CALLER, CALLEE, PARTS };
enum kind { TICKS, CALLS, REPLIES, KINDS };

#define WINDOW 8 /* pending calls */
#define SEEN 200 /* messages of each kind that a monitor waits for */

static void callee(void *argument)
{
    struct connection c = {0};
    char rule[128];
    uint32_t ticks = 0, calls = 0;
    (void)argument;
    snprintf(rule, sizeof(rule), RULE, "Tick");
    connection_open(&c);
    driver_add_match(&c, rule);
    snprintf(shared->name[CALLEE], sizeof(shared->name[0]), "%s", c.name);
    process_ready();
    for (;;) {
        struct message m;
        connection_next(&c, &m);
        uint32_t number = word(&m, 0), serial = m.serial;
        if (m.type == SIGNAL && number == ticks++)
            continue;
        if (m.type != CALL || number != calls++ || calls > ticks)
            die("%s %u after %u signals and %u calls", shown(m.member), number, ticks, calls);
        struct header reply = {.type = RETURN, .reply_serial = serial, .destination = shared->name[CALLER]};
        words_send(&c, &reply, ++c.serial, &number, 1);
    }
}

static void caller(void *argument)
{
    struct connection c = {0};
    uint32_t state = random_begin(CALLER), answered = 0;
    (void)argument;
    connection_open(&c);
    snprintf(shared->name[CALLER], sizeof(shared->name[0]), "%s", c.name);
    process_ready();
    for (uint32_t number = 0; !shared->stop || answered < number;) {
        struct message m;
        if (!shared->stop && number - answered < 1 + random_below(&state, WINDOW)) {
            struct header tick = {.type = SIGNAL, .member = "Tick"};
            struct header call = {.type = CALL, .member = "Ask", .destination = shared->name[CALLEE]};
            atomic_store(&shared->sent, number + 1);
            words_send(&c, &tick, ++c.serial, &number, 1);
            words_send(&c, &call, ++c.serial, &number, 1);
            number++;
            continue;
        }
        connection_next(&c, &m);
        if (m.type != RETURN || word(&m, 0) != answered++)
            die("type %u error %s instead of reply %u", m.type, shown(m.error), answered - 1);
    }
}

/* -1: a message of another client. */
static int kind_of(const struct message *m)
{
    if (same(m->sender, shared->name[CALLEE]) && m->type == RETURN)
        return REPLIES;
    if (!same(m->sender, shared->name[CALLER]) || !same(m->interface, INTERFACE))
        return -1;
    return m->type == SIGNAL ? TICKS : CALLS;
}

static void watch(struct connection *c)
{
    uint32_t first[KINDS], n[KINDS] = {0};
    become_monitor(c);
    uint64_t begun = atomic_load(&shared->sent);
    while (n[TICKS] < SEEN || n[CALLS] < SEEN || n[REPLIES] < SEEN) {
        struct message m;
        connection_next(c, &m);
        int kind = kind_of(&m);
        if (kind < 0)
            continue;
        uint32_t number = word(&m, 0);
        if (n[kind] == 0)
            first[kind] = number;
        if (number != first[kind] + n[kind] || number > begun + (uint64_t)n[kind])
            die("kind %d: %u is the %u. seen since %u; begun were %lu", kind, number, n[kind] + 1,
                first[kind], begun);
        n[kind]++;
        if (kind == REPLIES && n[CALLS] > 0 && number >= first[CALLS] + n[CALLS])
            die("reply %u before its call", number);
    }
    shared->got[REPLIES] += n[TICKS] + n[CALLS] + n[REPLIES];
}

static void monitor(void *argument)
{
    struct connection c = {0};
    uint32_t state = random_begin(PARTS);
    (void)argument;
    process_ready();
    for (int round = 0; round < load.count; round++) {
        connection_open(&c);
        watch(&c);
        connection_close(&c);
        pause_for(random_below(&state, 40000));
    }
    shared->stop = 1;
}

bool monitor_run(void)
{
    process_spawn("monitor", load.deadline, monitor, NULL);
    process_spawn("caller", load.deadline, caller, NULL);
    process_spawn("callee", load.deadline, callee, NULL);
    if (!process_start(PARTS + 1) || !process_wait_first(2))
        return false;
    printf("%d monitors saw %lu messages without a gap, of %lu calls\n", load.count, shared->got[REPLIES],
           shared->sent);
    return true;
}
