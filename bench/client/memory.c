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

/* Sends the connection a message of its own: the first one between clients makes both members of a group. */
static void talk_to_itself(struct connection *c)
{
    static struct buffer out;
    struct message m;
    header_write(&out, &(struct header){.type = SIGNAL,
                                        .flags = NO_REPLY,
                                        .path = "/org/busbench",
                                        .interface = "org.busbench.Mem",
                                        .member = "Self",
                                        .destination = c->name});
    write_u32(out.data + SERIAL_AT, ++c->serial);
    for (int i = 0; i < 2; i++) {
        connection_send(c, out.data, out.size);
        connection_next(c, &m);
        if (m.type != SIGNAL || !same(m.member, "Self") || !same(m.sender, c->name))
            die("unexpected message: type %u member %s sender %s", m.type, shown(m.member), shown(m.sender));
    }
}

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
            if (options.kernel_memory)
                talk_to_itself(&c);
        }
        atomic_store(&shared->step_done, (uint32_t)step + 1);
        while (atomic_load(&shared->step) < (uint32_t)step + 1 && !atomic_load(&shared->failed))
            futex_wait(&shared->step, (uint32_t)step, 100);
    }
}

struct memory { /* KiB */
    double rss, pss, kernel;
};

static double read_kernel_memory(void)
{
    char text[256];
    unsigned long long value = 0;
    FILE *file = fopen(options.kernel_memory, "r");
    if (!file)
        die("%s: %s", options.kernel_memory, strerror(errno));
    while (fgets(text, sizeof(text), file) && sscanf(text, "kernel %llu", &value) != 1)
        continue;
    fclose(file);
    return (double)value / 1024;
}

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
    sum.kernel = options.kernel_memory ? read_kernel_memory() : 0;
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
    struct memory at_first = {0};
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
        at_first = step ? at_first : memory;
        report_begin("memory");
        report_count("connections", (uint64_t)n);
        report_number("rss_kib", memory.rss);
        report_number("pss_kib", memory.pss);
        if (n)
            report_number("pss_kib_per_connection", (memory.pss - at_first.pss) / n);
        if (n && options.kernel_memory)
            report_number("kernel_kib_per_connection", (memory.kernel - at_first.kernel) / n);
        report_end(true);
        atomic_store(&shared->step, (uint32_t)step + 1);
        futex_wake(&shared->step);
    }
    if (!process_wait(0) || !well) {
        report_begin("memory");
        report_end(false);
    }
}
