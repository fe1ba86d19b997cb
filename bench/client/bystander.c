/* SPDX-License-Identifier: MIT */
#include "bystander.h"

#include "abuse.h"
#include "pair.h"
#include "payload.h"
#include "process.h"
#include "report.h"

#include <stdio.h>

static void run(const struct abuse *abuse)
{
    struct pair pair = {.echo = true, .one = true, .size = options.size, .paid = options.daemon};
    char name[64];
    process_reset();
    payload_init(pair.size);
    process_spawn("server", process_deadline(), pair_server, &pair);
    process_spawn("client", process_deadline(), pair_client, &pair);
    int n = 2;
    if (abuse->victim) {
        process_spawn("victim", process_deadline(), abuse->victim, NULL);
        n++;
    }
    if (abuse->abuser) {
        process_spawn("abuser", process_deadline(), abuse->abuser, NULL);
        n++;
    }
    bool well = process_start(n) && process_wait_first(2) && pair_agrees();
    if (well && abuse->abuser && !atomic_load(&shared->harm)) {
        process_fail("the abuser got nothing done");
        well = false;
    }
    snprintf(name, sizeof(name), "bystander-%s", abuse->name);
    report_begin(name);
    if (well) {
        report_count("n", shared->result.n);
        report_number("seconds", shared->result.seconds);
        report_quantiles(&shared->result.us);
        report_number("harm_per_s", (double)shared->result.harm / shared->result.seconds);
        report_count("cut_off", atomic_load(&shared->cut_off));
    }
    report_end(well);
}

void bystander_run(const char *abuse)
{
    static const struct abuse none = {.name = "alone"};
    bool known = false;
    if (!abuse || same(abuse, none.name))
        run(&none);
    for (const struct abuse *at = abuses; at->name; at++) {
        if (abuse && !same(abuse, at->name))
            continue;
        run(at);
        known = true;
    }
    if (!known && !same(abuse, none.name))
        die("unknown abuse %s", abuse);
}
