/* SPDX-License-Identifier: MIT */
#include "bystander.h"

#include "pair.h"
#include "payload.h"
#include "process.h"
#include "report.h"
#include "trouble.h"

#include <stdio.h>

static void run(const struct trouble *trouble)
{
    struct pair pair = {.echo = true, .one = true, .size = options.size, .paid = options.daemon};
    char name[64];
    process_reset();
    payload_init(pair.size);
    process_spawn("server", process_deadline(), pair_server, &pair);
    process_spawn("client", process_deadline(), pair_client, &pair);
    int n = 2;
    if (trouble->victim) {
        process_spawn("victim", process_deadline(), trouble->victim, NULL);
        n++;
    }
    if (trouble->maker) {
        process_spawn("trouble", process_deadline(), trouble->maker, NULL);
        n++;
    }
    bool well = process_start(n) && process_wait_first(2) && pair_agrees();
    if (well && trouble->maker && !atomic_load(&shared->harm)) {
        process_fail("no trouble was made");
        well = false;
    }
    snprintf(name, sizeof(name), "bystander-%s", trouble->name);
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

void bystander_run(const char *trouble)
{
    static const struct trouble none = {.name = "alone"};
    bool known = false;
    if (!trouble || same(trouble, none.name))
        run(&none);
    for (const struct trouble *at = troubles; at->name; at++) {
        if (trouble && !same(trouble, at->name))
            continue;
        run(at);
        known = true;
    }
    if (!known && !same(trouble, none.name))
        die("no trouble %s", trouble);
}
