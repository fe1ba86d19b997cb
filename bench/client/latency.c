/* SPDX-License-Identifier: MIT */
#include "latency.h"

#include "process.h"

#include <stdlib.h>
#include <string.h>

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

void latency_add(struct latency *latency, uint64_t ns)
{
    if (latency->n == latency->capacity) {
        latency->capacity = latency->capacity ? latency->capacity * 2 : 1u << 16;
        latency->ns = reallocarray(latency->ns, latency->capacity, sizeof(*latency->ns));
        if (!latency->ns)
            die("out of memory");
    }
    latency->ns[latency->n++] = ns > UINT32_MAX ? UINT32_MAX : (uint32_t)ns;
}

static double quantile(const struct latency *latency, double part)
{
    return latency->ns[(size_t)((double)(latency->n - 1) * part)] / 1e3;
}

void latency_finish(struct latency *latency, struct quantiles *out)
{
    double sum = 0;
    if (!latency->n)
        die("no sample");
    for (size_t i = 0; i < latency->n; i++)
        sum += latency->ns[i];
    qsort(latency->ns, latency->n, sizeof(*latency->ns), compare);
    out->mean = sum / (double)latency->n / 1e3;
    out->min = latency->ns[0] / 1e3;
    out->p50 = quantile(latency, 0.5);
    out->p99 = quantile(latency, 0.99);
    out->p999 = quantile(latency, 0.999);
    free(latency->ns);
    memset(latency, 0, sizeof(*latency));
}
