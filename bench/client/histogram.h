/* SPDX-License-Identifier: MIT */
#ifndef BUSBENCH_HISTOGRAM_H
#define BUSBENCH_HISTOGRAM_H

#include <stdatomic.h>
#include <stdint.h>

#define HISTOGRAM_OCTAVES 40
#define HISTOGRAM_PARTS 32u /* of an octave: a quantile is right within 3 % */

/* Times in nanoseconds, added by many processes at once. */
struct histogram {
    _Atomic uint32_t count[HISTOGRAM_OCTAVES][HISTOGRAM_PARTS];
};

static inline void histogram_add(struct histogram *h, uint64_t ns)
{
    uint32_t octave = ns < HISTOGRAM_PARTS ? 0 : 59 - (uint32_t)__builtin_clzll(ns);
    uint32_t part = (uint32_t)(octave ? ns >> (octave - 1) : ns) % HISTOGRAM_PARTS;
    if (octave < HISTOGRAM_OCTAVES)
        atomic_fetch_add_explicit(&h->count[octave][part], 1, memory_order_relaxed);
}

/* The quantile in microseconds; 0 without samples. */
static inline double histogram_quantile(struct histogram *h, double quantile)
{
    uint64_t all = 0, below = 0;
    for (uint32_t i = 0; i < HISTOGRAM_OCTAVES * HISTOGRAM_PARTS; i++)
        all += h->count[i / HISTOGRAM_PARTS][i % HISTOGRAM_PARTS];
    for (uint32_t i = 0; i < HISTOGRAM_OCTAVES * HISTOGRAM_PARTS; i++) {
        uint32_t octave = i / HISTOGRAM_PARTS, part = i % HISTOGRAM_PARTS;
        below += h->count[octave][part];
        if (all && (double)below >= quantile * (double)all)
            return (double)(octave ? (uint64_t)(part + HISTOGRAM_PARTS) << (octave - 1) : part) / 1e3;
    }
    return 0;
}

#endif
