/* SPDX-License-Identifier: MIT */
#include "cases.h"
#include "connection.h"
#include "options.h"
#include "process.h"
#include "report.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#define SETTLE_US 300000
#define DEADLINE 120

/* Opens connections step by step, each with a rule, and keeps them. */
static void holder(void *argument)
{
    struct connection c = {0};
    char rule[128];
    int have = 0;
    (void)argument;
    process_ready();
    for (int step = 0; step < options.conns.n; step++) {
        for (; have < options.conns.at[step]; have++) {
            connection_open(&c); /* the one before stays open until this process ends */
            snprintf(rule, sizeof(rule), "type='signal',interface='org.busbench.Mem%d'", have);
            driver_add_match(&c, rule);
        }
        atomic_store(&shared->step_done, (uint32_t)step + 1);
        while (atomic_load(&shared->step) < (uint32_t)step + 1 && !atomic_load(&shared->failed))
            futex_wait(&shared->step, (uint32_t)step, 100);
    }
}

struct memory { /* KiB */
    double rss, pss;
};

static struct memory read_memory(void)
{
    struct memory sum = {0};
    for (int i = 0; i < options.daemon.n; i++) {
        char text[256];
        unsigned long long value;
        snprintf(text, sizeof(text), "/proc/%d/smaps_rollup", options.daemon.pid[i]);
        FILE *file = fopen(text, "r");
        if (!file)
            die("%s: %s", text, strerror(errno));
        while (fgets(text, sizeof(text), file)) {
            if (sscanf(text, "Rss: %llu", &value) == 1)
                sum.rss += (double)value;
            else if (sscanf(text, "Pss: %llu", &value) == 1)
                sum.pss += (double)value;
        }
        fclose(file);
    }
    return sum;
}

static bool wait_for_step(uint32_t step)
{
    while (atomic_load(&shared->step_done) < step) {
        if (atomic_load(&shared->failed))
            return false;
        usleep(10000);
    }
    usleep(SETTLE_US);
    return true;
}

void memory_run(void)
{
    double at_first = 0;
    if (!options.daemon.n)
        die("memory needs --pid");
    process_reset();
    process_spawn("holder", DEADLINE, holder, NULL);
    bool well = process_start(1);
    for (int step = 0; well && step < options.conns.n; step++) {
        int n = options.conns.at[step];
        well = wait_for_step((uint32_t)step + 1);
        if (!well)
            break;
        struct memory memory = read_memory();
        at_first = step ? at_first : memory.pss;
        report_begin("memory");
        report_count("connections", (uint64_t)n);
        report_number("rss_kib", memory.rss);
        report_number("pss_kib", memory.pss);
        if (n)
            report_number("pss_kib_per_connection", (memory.pss - at_first) / n);
        report_end(true);
        atomic_store(&shared->step, (uint32_t)step + 1);
        futex_wake(&shared->step);
    }
    if (!process_wait(0) || !well) {
        report_begin("memory");
        report_end(false);
    }
}
