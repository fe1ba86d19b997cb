/* SPDX-License-Identifier: MIT */
#include "cases.h"

#include "clock.h"
#include "desktop.h"
#include "payload.h"
#include "process.h"
#include "report.h"

/* Published counts: a third of the calls of a desktop go to the driver, and a log-in has about 5,000
 * messages. */
#define CALLS 30
#define DRIVER_EVERY 3
/* Hello, its reply, NameAcquired; each AddMatch and its reply; GetId and its reply at the end. */
#define OF_EACH_CLIENT (3 + 2 * DESK_RULES + 2)

static uint64_t count(int clients)
{
    uint64_t messages = (uint64_t)clients * OF_EACH_CLIENT;
    for (int i = 0; i < clients; i++)
        messages += atomic_load(&shared->got[i]);
    return messages;
}

void login_run(void)
{
    int services = options.clients / 2, clients = 2 * services;
    struct desktop desktop = {.services = services, .driver_every = DRIVER_EVERY, .calls = CALLS};
    struct cost cost = clock_cost(&options.daemon);
    uint64_t begin = clock_ns();
    process_reset();
    payload_init(options.size);
    for (desktop.index = 0; desktop.index < clients; desktop.index++)
        process_spawn(desktop.index < services ? "service" : "caller", process_deadline(),
                      desktop.index < services ? desktop_service : desktop_caller, &desktop);
    bool well = process_start(clients) && process_wait(0);
    report_begin("login");
    report_count("clients", (uint64_t)clients);
    if (well) {
        double seconds = (double)(clock_ns() - begin) / 1e9, messages = (double)count(clients);
        cost = clock_cost_since(&options.daemon, &cost);
        report_count("n", (uint64_t)messages);
        report_number("seconds", seconds);
        report_number("msgs_per_s", messages / seconds);
        if (options.daemon.n)
            report_cost("msg", &cost, messages);
    }
    report_end(well);
}
