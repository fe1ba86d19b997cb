/* SPDX-License-Identifier: MIT */
#ifndef FUZZ_PRNG_H
#define FUZZ_PRNG_H

#include <stdbool.h>
#include <stdint.h>

/* splitmix64: the state is one number, so separate streams are cheap. */
struct prng {
    uint64_t state;
};

static inline uint64_t prng_next(struct prng *p)
{
    uint64_t z = p->state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static inline uint32_t prng_below(struct prng *p, uint32_t n)
{
    return (uint32_t)((prng_next(p) >> 32) * n >> 32);
}

/* From a to b, both included. */
static inline uint32_t prng_between(struct prng *p, uint32_t a, uint32_t b)
{
    return a + prng_below(p, b - a + 1);
}

static inline bool prng_one_in(struct prng *p, uint32_t n)
{
    return prng_below(p, n) == 0;
}

/* A stream that depends only on two numbers. */
static inline struct prng prng_of(uint64_t a, uint64_t b)
{
    struct prng p = {a};
    p.state = prng_next(&p) ^ b * 0xd6e8feb86659fd93u;
    prng_next(&p);
    return p;
}

#endif
