/* SPDX-License-Identifier: MIT */
#include "fanout.h"

#include "payload.h"
#include "process.h"
#include "report.h"

#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define IDLE_DEADLINE 60

/* The sockets around a relay, and the relay itself. */
static pid_t connect_floor(struct fanout *f)
{
    static struct relay relay;
    relay = (struct relay){.route = f->route};
    for (int i = 0; i <= f->subs; i++) {
        int ends[2];
        relay_socketpair(SOCK_STREAM, ends);
        *(i ? &f->rx[i - 1] : &f->tx[0]) = ends[0];
        relay.fd[relay.n++] = ends[1];
    }
    f->n_tx = 1;
    pid_t pid = relay_spawn(&relay);
    f->paid = (struct pids){{pid}, 1};
    return pid;
}

static void spawn_clients(struct fanout *f)
{
    process_spawn("sender", process_deadline(), fanout_send, f);
    for (f->index = 0; f->index < f->subs; f->index++)
        process_spawn("subscriber", process_deadline(), fanout_subscriber, f);
    if (f->idle)
        process_spawn("idle", process_deadline() + IDLE_DEADLINE, fanout_idle, f);
    for (int i = 0; i < f->n_tx; i++)
        close(f->tx[i]);
    for (int i = 0; f->n_tx && i < f->subs; i++)
        close(f->rx[i]);
}

/* After the sender's end lets the idle clients check that nothing came. */
static void end_idle(void)
{
    while (!atomic_load(&shared->sent) && !atomic_load(&shared->failed))
        usleep(5000);
    usleep(20000);
    atomic_store(&shared->stop, 1);
    futex_wake(&shared->stop);
}

static bool all_arrived(const struct fanout *f)
{
    char text[100];
    unsigned long long sent = atomic_load(&shared->sent);
    for (int i = 0; i < f->subs; i++) {
        unsigned long long got = atomic_load(&shared->got[i]);
        if (got == sent)
            continue;
        snprintf(text, sizeof(text), "subscriber %d got %llu of %llu", i, got, sent);
        process_fail(text);
        return false;
    }
    return true;
}

static void print(const struct fanout *f, const struct result *r)
{
    double n = (double)r->n;
    report_count("n", r->n);
    report_number("seconds", r->seconds);
    report_number("signals_per_s", n / r->seconds);
    report_number("deliveries_per_s", n * f->subs / r->seconds);
    if (f->paid.n) {
        report_cost("signal", &r->cost, n);
        report_cost("delivery", &r->cost, n * f->subs);
    }
}

void fanout_run(const char *name, enum route route, int subs, int idle, bool answers)
{
    static struct fanout f;
    int burst = options.window / 2;
    pid_t relay = 0;
    f = (struct fanout){.route = route,
                        .subs = subs,
                        .idle = idle,
                        .answers = answers,
                        .burst = burst > 0 ? burst : 1,
                        .size = options.size,
                        .paid = options.daemon};
    process_reset();
    payload_init(f.size);
    if (route != ROUTE_BUS)
        relay = connect_floor(&f);
    spawn_clients(&f);
    bool well = process_start(subs + 1 + (idle > 0) + (relay > 0));
    if (well && idle)
        end_idle();
    well = well && process_wait(relay) && all_arrived(&f);
    report_begin(name);
    report_count("size", f.size);
    report_count("subs", (uint64_t)subs);
    report_count("idle", (uint64_t)idle);
    if (idle)
        report_count("rules", (uint64_t)options.rules);
    report_count("batch", options.batch);
    if (well)
        print(&f, &shared->result);
    report_end(well);
}
