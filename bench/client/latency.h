/* SPDX-License-Identifier: MIT */
#ifndef BUSBENCH_LATENCY_H
#define BUSBENCH_LATENCY_H

#include <stddef.h>
#include <stdint.h>

struct quantiles { /* microseconds */
    double p50, p99, p999, mean, min;
};

struct latency {
    uint32_t *ns;
    size_t n, capacity;
};

void latency_add(struct latency *latency, uint64_t ns);
void latency_finish(struct latency *latency, struct quantiles *out); /* frees the samples */

#endif
