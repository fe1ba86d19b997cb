/* SPDX-License-Identifier: MIT */
#include "report.h"

#include "options.h"

#include <stdio.h>

static int failures;

void report_begin(const char *name)
{
    if (!options.json) {
        printf("%-28s", name);
        return;
    }
    printf("{\"case\": \"%s\"", name);
    if (options.label)
        printf(", \"label\": \"%s\"", options.label);
}

void report_number(const char *key, double value)
{
    printf(options.json ? ", \"%s\": %.6g" : " %s=%.5g", key, value);
}

void report_count(const char *key, uint64_t value)
{
    printf(options.json ? ", \"%s\": %llu" : " %s=%llu", key, (unsigned long long)value);
}

void report_quantiles(const struct quantiles *us)
{
    report_number("p50_us", us->p50);
    report_number("p99_us", us->p99);
    report_number("p999_us", us->p999);
    report_number("mean_us", us->mean);
    report_number("min_us", us->min);
}

void report_cost(const char *thing, const struct cost *cost, double n)
{
    char key[64];
    snprintf(key, sizeof(key), "daemon_cpu_us_per_%s", thing);
    report_number(key, (double)cost->cpu_ns / 1e3 / n);
    snprintf(key, sizeof(key), "daemon_turns_per_%s", thing);
    report_number(key, (double)cost->turns / n);
}

static void print_error(void)
{
    printf(", \"error\": \"");
    for (const char *at = shared->error; *at; at++)
        if (*at != '"' && *at != '\\' && (unsigned char)*at >= ' ')
            putchar(*at);
    printf("\"");
}

void report_end(bool well)
{
    if (options.json) {
        if (!well)
            print_error();
        printf(", \"ok\": %s}\n", well ? "true" : "false");
    } else {
        printf(well ? "\n" : " FAILED: %s\n", shared->error);
    }
    fflush(stdout);
    failures += !well;
}

int report_failures(void)
{
    return failures;
}
