/* SPDX-License-Identifier: MIT */
#include "cases.h"

#include "bystander.h"
#include "fanout.h"
#include "floors.h"
#include "pair.h"
#include "process.h"

#include <stdio.h>

#define SMALL_WINDOW 8 /* enough for large bodies */

static void rtt(const char *detail)
{
    (void)detail;
    pair_run("rtt", &(struct pair){.echo = true, .one = true, .size = options.size});
}

static void pipeline(const char *detail)
{
    char name[32];
    (void)detail;
    if (options.window_given)
        snprintf(name, sizeof(name), "pipeline-%d%s", options.window, options.batch ? "-batch" : "");
    else
        snprintf(name, sizeof(name), "pipeline%s", options.batch ? "-batch" : "");
    pair_run(name, &(struct pair){.echo = true, .size = options.size, .window = options.window});
}

static void bandwidth(const char *detail)
{
    int window = options.window < SMALL_WINDOW ? options.window : SMALL_WINDOW;
    (void)detail;
    if (options.size_given) {
        pair_run("bandwidth", &(struct pair){.size = options.size, .window = window});
        return;
    }
    pair_run("bandwidth-64K", &(struct pair){.size = 64 << 10, .window = 16});
    pair_run("bandwidth-1M", &(struct pair){.size = 1 << 20, .window = 4});
}

static void fanout(const char *detail)
{
    bool answers = same(detail, "answered");
    for (int i = 0; i < options.subs.n; i++) {
        char name[64];
        int subs = options.subs.at[i];
        if (options.idle)
            snprintf(name, sizeof(name), "fanout-%d-idle-%d-%s", subs, options.idle, options.rule_kind);
        else
            snprintf(name, sizeof(name), "fanout-%d%s", subs, answers ? "-answered" : "");
        fanout_run(name, ROUTE_BUS, subs, options.idle, answers);
    }
}

static void connects(const char *detail)
{
    (void)detail;
    connect_run();
}

static void services(const char *detail)
{
    (void)detail;
    services_run();
}

static void driver(const char *detail)
{
    (void)detail;
    driver_run();
}

static void memory(const char *detail)
{
    (void)detail;
    memory_run();
}

static void mixed(const char *detail)
{
    (void)detail;
    mixed_run();
}

static void login(const char *detail)
{
    (void)detail;
    login_run();
}

static const struct {
    const char *name;
    void (*run)(const char *detail);
    bool of_all; /* part of "all" */
} cases[] = {
    {"rtt", rtt, true},
    {"pipeline", pipeline, true},
    {"fanout", fanout, true},
    {"connect", connects, true},
    {"driver", driver, true},
    {"services", services, true},
    {"bandwidth", bandwidth, true},
    {"mixed", mixed, true},
    {"memory", memory, false},
    {"bystander", bystander_run, false},
    {"limit", floors_run, false},
    {"login", login, false},
};

void case_run(const char *name, const char *detail)
{
    bool known = false, all = same(name, "all");
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        if (all ? !cases[i].of_all : !same(name, cases[i].name))
            continue;
        cases[i].run(detail);
        known = true;
    }
    if (!known)
        die("no case %s", name);
}
