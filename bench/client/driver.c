/* SPDX-License-Identifier: MIT */
#include "cases.h"
#include "clock.h"
#include "connection.h"
#include "pair.h"
#include "process.h"
#include "report.h"

#include <stdlib.h>

#define RULE                                                                                                 \
    "type='signal',sender='org.busbench.Other',path='/org/busbench/x',interface='org.busbench.I',member='M'"

/* A call, or two that cancel each other out; both are checked. */
struct calls {
    const char *name;
    int n;
    void (*make)(struct connection *c);
    bool needs_name;
};

static void call(struct connection *c, struct message *m, const char *member, const char *argument,
                 const char *reply)
{
    struct buffer body = {0};
    buffer_string(&body, argument);
    driver_call(c, m, member, "s", &body, reply);
    free(body.data);
}

static void get_name_owner(struct connection *c)
{
    struct message m;
    call(c, &m, "GetNameOwner", WELL_KNOWN, "s");
    if (strcmp(message_text(&m), c->name))
        die("GetNameOwner: %s", message_text(&m));
}

static void name_has_owner(struct connection *c)
{
    struct message m;
    call(c, &m, "NameHasOwner", WELL_KNOWN, "b");
    if (read_u32(m.body) != 1)
        die("NameHasOwner: %u", read_u32(m.body));
}

static void add_and_remove_match(struct connection *c)
{
    struct message m;
    call(c, &m, "AddMatch", RULE, "");
    call(c, &m, "RemoveMatch", RULE, "");
}

static void request_and_release_name(struct connection *c)
{
    struct message m;
    unsigned before = c->lost;
    driver_request_name(c, WELL_KNOWN);
    call(c, &m, "ReleaseName", WELL_KNOWN, "u");
    if (read_u32(m.body) != 1)
        die("ReleaseName: %u", read_u32(m.body));
    while (c->lost == before) {
        connection_next(c, &m);
        driver_signal(c, &m);
    }
    if (strcmp(c->lost_name, WELL_KNOWN))
        die("NameLost %s", c->lost_name);
}

static void list_activatable_names(struct connection *c)
{
    struct message m;
    driver_call(c, &m, "ListActivatableNames", "", NULL, "as");
    if (m.body_size < 4 || read_u32(m.body) != m.body_size - 4)
        die("ListActivatableNames: %u of %u bytes", read_u32(m.body), (unsigned)m.body_size);
}

/* A name without an owner and without a service file. */
static void call_absent_name(struct connection *c)
{
    static struct buffer out;
    struct message m;
    header_write(&out, &(struct header){.type = CALL,
                                        .path = "/",
                                        .interface = "org.busbench.I",
                                        .member = "M",
                                        .destination = "org.busbench.Absent"});
    write_u32(out.data + SERIAL_AT, ++c->serial);
    connection_send(c, out.data, out.size);
    for (connection_next(c, &m); m.type == SIGNAL; connection_next(c, &m))
        driver_signal(c, &m);
    if (m.type != ERROR || m.reply_serial != c->serial ||
        !same(m.error, "org.freedesktop.DBus.Error.ServiceUnknown"))
        die("a call to an absent name: type %u error %s", m.type, shown(m.error));
}

static void caller(void *argument)
{
    const struct calls *calls = argument;
    struct connection c = {0};
    struct latency latency = {0};
    struct result *result = &shared->result;
    struct cost cost = {0};
    uint64_t begin = 0;
    connection_open(&c);
    if (calls->needs_name)
        driver_request_name(&c, WELL_KNOWN);
    process_ready();
    for (uint64_t start = clock_ns(), at = start;; at = clock_ns()) {
        if (!begin && at - start > clock_span(options.warm)) {
            cost = clock_cost(&options.daemon);
            begin = at = clock_ns();
        }
        if (begin && at - begin > clock_span(options.seconds))
            break;
        calls->make(&c);
        if (begin)
            latency_add(&latency, clock_ns() - at);
    }
    result->seconds = (double)(clock_ns() - begin) / 1e9;
    result->n = latency.n;
    result->cost = clock_cost_since(&options.daemon, &cost);
    latency_finish(&latency, &result->us);
}

static void run(const struct calls *calls)
{
    const struct result *r = &shared->result;
    struct calls argument = *calls;
    process_reset();
    process_spawn("driver", process_deadline(), caller, &argument);
    bool well = process_start(1) && process_wait(0);
    double n = (double)r->n * calls->n;
    report_begin(calls->name);
    if (well) {
        report_count("n", r->n * (uint64_t)calls->n);
        report_number("calls_per_s", n / r->seconds);
        report_number("p50_us", r->us.p50 / calls->n);
        report_number("p99_us", r->us.p99 / calls->n);
        if (options.daemon.n)
            report_cost("call", &r->cost, n);
    }
    report_end(well);
}

void driver_run(void)
{
    static const struct calls all[] = {
        {"driver-GetNameOwner", 1, get_name_owner, true},
        {"driver-NameHasOwner", 1, name_has_owner, true},
        {"driver-AddRemoveMatch", 2, add_and_remove_match, true},
        {"driver-RequestReleaseName", 2, request_and_release_name, false},
    };
    for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
        run(&all[i]);
}

void services_run(void)
{
    static const struct calls all[] = {
        {"services-ListActivatableNames", 1, list_activatable_names, false},
        {"services-absent-name", 1, call_absent_name, false},
    };
    for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
        run(&all[i]);
}
