/* SPDX-License-Identifier: MIT */
#include "pair.h"

#include "payload.h"
#include "process.h"
#include "report.h"

#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

bool pair_agrees(void)
{
    unsigned long long calls = atomic_load(&shared->got[0]), replies = atomic_load(&shared->got[1]);
    char text[120];
    if (calls == replies && shared->result.n)
        return true;
    snprintf(text, sizeof(text), "server saw %llu calls, client %llu replies", calls, replies);
    process_fail(text);
    return false;
}

static void print(const struct pair *p, const struct result *r)
{
    double n = (double)r->n;
    report_count("n", r->n);
    report_number("seconds", r->seconds);
    if (p->one)
        report_quantiles(&r->us);
    report_number("calls_per_s", n / r->seconds);
    report_number("msgs_per_s", 2 * n / r->seconds);
    if (!p->echo)
        report_number("mib_per_s", (double)r->bytes / r->seconds / 1048576);
    if (p->paid.n)
        report_cost("msg", &r->cost, 2 * n);
}

/* Connects a pair without a bus; returns the relay between them, 0 if there is none. */
static pid_t connect_floor(struct pair *p)
{
    struct relay relay = {.route = p->route, .n = 2};
    p->paid.n = 0;
    if (p->route == ROUTE_DIRECT || p->route == ROUTE_SEQPACKET) {
        relay_socketpair(p->route == ROUTE_DIRECT ? SOCK_STREAM : SOCK_SEQPACKET, p->fd);
        return 0;
    }
    for (int i = 0; i < 2; i++) {
        int ends[2];
        relay_socketpair(SOCK_STREAM, ends);
        p->fd[i] = ends[0];
        relay.fd[i] = ends[1];
    }
    p->paid = (struct pids){{relay_spawn(&relay)}, 1};
    return p->paid.pid[0];
}

void pair_run(const char *name, const struct pair *pair)
{
    struct pair p = *pair;
    pid_t relay = 0;
    process_reset();
    payload_init(p.size);
    p.paid = options.daemon;
    if (p.route != ROUTE_BUS)
        relay = connect_floor(&p);
    process_spawn("server", process_deadline(), pair_server, &p);
    process_spawn("client", process_deadline(), pair_client, &p);
    bool well = process_start(relay ? 3 : 2);
    if (p.route != ROUTE_BUS) {
        close(p.fd[0]);
        close(p.fd[1]);
    }
    well = well && process_wait(relay) && pair_agrees();
    report_begin(name);
    report_count("size", p.size);
    if (!p.one)
        report_count("window", (uint64_t)p.window);
    report_count("batch", options.batch);
    if (well)
        print(&p, &shared->result);
    report_end(well);
}
