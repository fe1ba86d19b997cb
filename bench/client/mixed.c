/* SPDX-License-Identifier: MIT */
#include "cases.h"

#include "clock.h"
#include "desktop.h"
#include "marks.h"
#include "payload.h"
#include "process.h"
#include "report.h"

#include <unistd.h>

#define DRIVER_EVERY 20

struct sample {
    uint64_t messages, at;
};

static struct sample take_sample(int clients)
{
    struct sample sample = {.at = clock_ns()};
    for (int i = 0; i < clients; i++)
        sample.messages += atomic_load(&shared->got[i]);
    return sample;
}

/* Lets the clients warm up, counts for the measured time, then stops them. */
static void measure(int clients, struct result *result)
{
    usleep((useconds_t)(options.warm * 1e6));
    struct cost cost = clock_cost(&options.daemon);
    struct sample begin = take_sample(clients);
    atomic_store(&shared->step, 1);
    mark_begin();
    usleep((useconds_t)(options.seconds * 1e6));
    struct sample end = take_sample(clients);
    mark_end();
    atomic_store(&shared->stop, 1);
    result->n = end.messages - begin.messages;
    result->seconds = (double)(end.at - begin.at) / 1e9;
    result->cost = clock_cost_since(&options.daemon, &cost);
}

void mixed_run(void)
{
    int services = options.clients / 2, clients = 2 * services;
    struct result *r = &shared->result;
    struct desktop desktop = {.services = services, .driver_every = DRIVER_EVERY};
    process_reset();
    payload_init(options.size);
    for (desktop.index = 0; desktop.index < clients; desktop.index++)
        process_spawn(desktop.index < services ? "service" : "caller", process_deadline(),
                      desktop.index < services ? desktop_service : desktop_caller, &desktop);
    bool well = process_start(clients);
    if (well) {
        measure(clients, r);
        well = process_wait(0);
    }
    report_begin("mixed");
    report_count("clients", (uint64_t)clients);
    report_count("rules", (uint64_t)clients * DESK_RULES);
    if (well) {
        report_count("n", r->n);
        report_number("seconds", r->seconds);
        report_number("msgs_per_s", (double)r->n / r->seconds);
        report_number("p50_us", histogram_quantile(&shared->times, 0.5));
        report_number("p99_us", histogram_quantile(&shared->times, 0.99));
        if (options.daemon.n)
            report_cost("msg", &r->cost, (double)r->n);
    }
    report_end(well);
}
