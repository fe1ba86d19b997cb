/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_CLOCK_H
#define OMNIBUS_CLOCK_H

#include <stdint.h>
#include <time.h>

/* Monotonic milliseconds, never 0. */
static inline int64_t clock_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000 + 1;
}

/* Monotonic milliseconds, never 0, up to a tick of the kernel late (1 to 10 ms): cheaper than clock_now. */
static inline int64_t clock_coarse(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000 + 1;
}

/* Monotonic microseconds, never 0. */
static inline int64_t clock_microseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000 + 1;
}

#endif
