/* SPDX-License-Identifier: MIT */
#include "cases.h"

#include "clock.h"
#include "desktop.h"
#include "marks.h"
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

/* A desktop's user sits before programs that run already: starting and ending processes is not measured. */
static void client(void *argument)
{
    const struct desktop *desktop = argument;
    atomic_fetch_add(&shared->step_begun, 1);
    futex_wake(&shared->step_begun);
    while (!atomic_load(&shared->step))
        futex_wait(&shared->step, 0, -1);
    if (desktop->index < desktop->services)
        desktop_service(argument);
    else
        desktop_caller(argument);
    atomic_fetch_add(&shared->step_ended, 1);
    futex_wake(&shared->step_ended);
    while (!atomic_load(&shared->stop))
        futex_wait(&shared->stop, 0, -1);
}

/* False: a client has failed. */
static bool wait_for(_Atomic uint32_t *count, int clients)
{
    for (uint32_t n; (n = atomic_load(count)) < (uint32_t)clients;) {
        if (atomic_load(&shared->failed))
            return false;
        futex_wait(count, n, 100);
    }
    return true;
}

/* Ends the clients too. */
static bool run_clients(int clients, double *seconds, struct cost *cost)
{
    bool well = wait_for(&shared->step_begun, clients);
    *cost = clock_cost(&options.daemon);
    mark_begin();
    uint64_t begin = clock_ns();
    atomic_store(&shared->step, 1);
    futex_wake(&shared->step);
    well = well && process_start(clients) && wait_for(&shared->step_ended, clients);
    *seconds = (double)(clock_ns() - begin) / 1e9;
    mark_end();
    *cost = clock_cost_since(&options.daemon, cost);
    atomic_store(&shared->stop, 1);
    futex_wake(&shared->stop);
    return process_wait(0) && well;
}

void login_run(void)
{
    int services = options.clients / 2, clients = 2 * services;
    struct desktop desktop = {.services = services, .driver_every = DRIVER_EVERY, .calls = CALLS};
    struct cost cost;
    double seconds;
    process_reset();
    payload_init(options.size);
    for (desktop.index = 0; desktop.index < clients; desktop.index++)
        process_spawn(desktop.index < services ? "service" : "caller", process_deadline(), client, &desktop);
    bool well = run_clients(clients, &seconds, &cost);
    report_begin("login");
    report_count("clients", (uint64_t)clients);
    if (well) {
        double messages = (double)count(clients);
        report_count("n", (uint64_t)messages);
        report_number("seconds", seconds);
        report_number("msgs_per_s", messages / seconds);
        if (options.daemon.n)
            report_cost("msg", &cost, messages);
    }
    report_end(well);
}
