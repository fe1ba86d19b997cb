/* SPDX-License-Identifier: MIT */
#include "attack.h"
#include "latency.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

/*
 * Three clients that are not involved in the attack: one calls another (handled by the data plane), one
 * calls a method of the bus that omnibus answers in Python, one connects and disconnects. Each acts at most
 * once per period. A reply that takes longer stands for all calls that would have been made meanwhile: a call
 * of L counts as L, L - period, L - 2 periods and so on, so that a standstill is weighted by its duration.
 */

#define PAIR_PERIOD 1000000u /* ns */
#define DRIVER_PERIOD 5000000u
#define CONNECT_PERIOD 50000000u

enum { PAIR, DRIVER, CONNECT, N_FIGURES };

struct figures {
    struct quantiles us;
    double max;
    size_t n;
};

static struct figures *figures; /* shared by the processes */
static const char *const names[N_FIGURES] = {"pair", "driver", "connect"};
static const uint32_t periods[N_FIGURES] = {PAIR_PERIOD, DRIVER_PERIOD, CONNECT_PERIOD};

static void sleep_until(uint64_t ns)
{
    struct timespec time = {(time_t)(ns / 1000000000u), (long)(ns % 1000000000u)};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL) == EINTR)
        continue;
}

static void count(struct latency *latency, uint64_t took, uint32_t period)
{
    for (latency_add(latency, took); took > period; latency_add(latency, took))
        took -= period;
}

static void act(int which, void (*once)(struct connection *c), struct connection *c)
{
    struct latency latency = {0};
    struct figures *out = &figures[which];
    uint64_t end = clock_ns() + clock_span(options.seconds);
    for (uint64_t at = clock_ns(); at < end; at = clock_ns()) {
        once(c);
        uint64_t took = clock_ns() - at;
        count(&latency, took, periods[which]);
        if ((double)took / 1e3 > out->max)
            out->max = (double)took / 1e3;
        sleep_until(at + periods[which]);
    }
    out->n = latency.n;
    latency_finish(&latency, &out->us);
}

static void answer_calls(void *argument)
{
    struct connection c = {0};
    struct buffer out = {0};
    struct message m;
    (void)argument;
    connection_open(&c);
    snprintf(shared->name[0], sizeof(shared->name[0]), "%s", c.name);
    process_ready();
    for (;;) {
        connection_next(&c, &m);
        if (m.type != CALL)
            continue;
        out.size = 0;
        put_message(&out, &(struct header){.type = RETURN, .reply_serial = m.serial, .destination = m.sender},
                    NULL);
        connection_send(&c, out.data, out.size);
    }
}

static void await_reply(struct connection *c, uint32_t serial)
{
    struct message m;
    do
        connection_next(c, &m);
    while (m.type == SIGNAL || m.reply_serial != serial);
    if (m.type == ERROR)
        die("error reply %s: %s", shown(m.error), message_text(&m));
}

static void call_in_turn(struct connection *c)
{
    static struct buffer out;
    out.size = 0;
    uint32_t serial = put_message(&out,
                                  &(struct header){.type = CALL,
                                                   .path = ATTACK_PATH,
                                                   .interface = ATTACK_INTERFACE,
                                                   .member = "Echo",
                                                   .destination = shared->name[0]},
                                  NULL);
    connection_send(c, out.data, out.size);
    await_reply(c, serial);
}

static void ask_once(struct connection *c)
{
    static struct buffer body, out;
    body.size = out.size = 0;
    buffer_string(&body, BUS);
    uint32_t serial = put_driver_call(&out, "ListQueuedOwners", "s", &body);
    connection_send(c, out.data, out.size);
    await_reply(c, serial);
}

static void connect_once(struct connection *c)
{
    connection_open(c);
    connection_close(c);
}

static void call(void *argument)
{
    struct connection c = {0};
    (void)argument;
    connection_open(&c);
    process_ready();
    act(PAIR, call_in_turn, &c);
}

static void ask(void *argument)
{
    struct connection c = {0};
    (void)argument;
    connection_open(&c);
    process_ready();
    act(DRIVER, ask_once, &c);
}

static void connect_and_leave(void *argument)
{
    struct connection c = {0};
    (void)argument;
    process_ready();
    act(CONNECT, connect_once, &c);
}

void bystander_run(void)
{
    int deadline = (int)options.seconds + 30;
    figures =
        mmap(NULL, sizeof(*figures) * N_FIGURES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (figures == MAP_FAILED)
        die("mmap: %s", strerror(errno));
    process_spawn("caller", deadline, call, NULL);
    process_spawn("asker", deadline, ask, NULL);
    process_spawn("connector", deadline, connect_and_leave, NULL);
    process_spawn("answerer", deadline * 2, answer_calls, NULL);
    bool well = process_start(4) && process_wait_first(3);
    printf("{");
    for (int i = 0; i < N_FIGURES && well; i++) {
        const struct figures *f = &figures[i];
        printf("\"%s\": {\"p50\": %.0f, \"p99\": %.0f, \"max\": %.0f, \"n\": %zu}, ", names[i], f->us.p50,
               f->us.p99, f->max, f->n);
    }
    printf("\"error\": \"%s\"}\n", shared->error);
}
