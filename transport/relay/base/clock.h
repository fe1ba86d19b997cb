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

/* Monotonic microseconds, never 0. */
static inline int64_t clock_microseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000 + 1;
}

#endif
