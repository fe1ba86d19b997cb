/* SPDX-License-Identifier: MIT */
#include "connect.h"

#include "cases.h"
#include "clock.h"
#include "connection.h"
#include "process.h"
#include "report.h"

#include <stdio.h>

#define REMEMBERED 64

/* Connects, authenticates, calls Hello, waits for NameAcquired, closes; repeatedly. */
static void connector(void *argument)
{
    struct connection c = {0};
    struct latency latency = {0};
    struct result *result = &shared->result;
    char names[REMEMBERED][sizeof(c.name)] = {{0}};
    struct cost cost = {0};
    uint64_t n = 0, begin = 0;
    (void)argument;
    process_ready();
    for (uint64_t start = clock_ns(), at = start;; at = clock_ns()) {
        if (!begin && at - start > clock_span(options.warm)) {
            cost = clock_cost(&options.daemon);
            begin = at = clock_ns();
        }
        if (begin && at - begin > clock_span(options.seconds))
            break;
        connection_open(&c);
        for (int i = 0; i < REMEMBERED; i++)
            if (same(names[i], c.name))
                die("unique name %s used again", c.name);
        snprintf(names[n % REMEMBERED], sizeof(names[0]), "%s", c.name);
        connection_close(&c);
        if (begin) {
            n++;
            latency_add(&latency, clock_ns() - at);
        }
    }
    result->seconds = (double)(clock_ns() - begin) / 1e9;
    result->n = n;
    result->cost = clock_cost_since(&options.daemon, &cost);
    latency_finish(&latency, &result->us);
}

/* floor: a process that is no client; 0: none. */
static void connect_measure(const char *name, pid_t floor)
{
    const struct result *r = &shared->result;
    process_spawn("connector", process_deadline(), connector, NULL);
    bool well = process_start(floor ? 2 : 1) && process_wait(floor);
    report_begin(name);
    if (well) {
        report_count("n", r->n);
        report_number("connects_per_s", (double)r->n / r->seconds);
        report_number("p50_us", r->us.p50);
        report_number("p99_us", r->us.p99);
        if (options.daemon.n)
            report_cost("connect", &r->cost, (double)r->n);
    }
    report_end(well);
}

void connect_run(void)
{
    process_reset();
    connect_measure(options.pipelined_auth ? "connect-pipelined" : "connect", 0);
}

void connect_floor_run(const char *name)
{
    const struct options before = options;
    process_reset();
    pid_t floor = connect_floor_spawn();
    options.daemon = (struct pids){{floor}, 1};
    options.pipelined_auth = false;
    connect_measure(name, floor);
    connect_floor_end();
    options = before;
}
