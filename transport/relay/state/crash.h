/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_CRASH_H
#define OMNIBUS_CRASH_H

#include <stdint.h>

/* The crashes of a bus that its successors know of, the oldest first. */

#define CRASHES_MAX 8u
#define CRASH_NO_PEER UINT64_MAX

struct crash {
    int64_t when;    /* monotonic milliseconds */
    uint64_t peer;   /* whose message or connection was being handled; CRASH_NO_PEER: none was */
    uint32_t signal; /* that the bus caused; 0: it was killed */
};

struct crashes {
    uint32_t n;
    struct crash all[CRASHES_MAX];
};

/* Noted by the handler of a signal that ends the bus; the signal last. */
struct crash_note {
    volatile int in_data_plane;
    volatile int signal;
};

#endif
