/* SPDX-License-Identifier: MIT */
#ifndef BUSBENCH_CLOCK_H
#define BUSBENCH_CLOCK_H

#include "options.h"

#include <stdint.h>
#include <time.h>

static inline uint64_t clock_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static inline uint64_t clock_span(double seconds)
{
    return (uint64_t)(seconds * 1e9);
}

/* CPU usage of a daemon's threads: time, and the number of times one got a CPU. */
struct cost {
    uint64_t cpu_ns, turns;
};

struct cost clock_cost(const struct pids *pids);
struct cost clock_cost_since(const struct pids *pids, const struct cost *begin);

#endif
