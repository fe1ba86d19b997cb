/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_INCOMPLETE_H
#define OMNIBUS_INCOMPLETE_H

#include "base/list.h"

#include <stdatomic.h>
#include <stdint.h>

struct bus;

/* Sits in a peer that has not said Hello, or does not even exist yet. */
struct incomplete {
    struct list in_all;
    int64_t began; /* clock_now() when it was accepted */
};

/*
 * The connections that have not said Hello: what max_incomplete_connections and auth_timeout are about. Some
 * are with the control plane, which minds their time.
 */
struct incompletes {
    struct list all; /* of incomplete.in_all, the oldest first */
    uint32_t n, n_above;
    _Atomic uint32_t count; /* both, for the control plane to read */
};

void incomplete_add(struct bus *bus, struct incomplete *one, int64_t began);
void incomplete_remove(struct bus *bus, struct incomplete *one); /* once; later calls do nothing */
/* More, or fewer, are with the control plane. */
void incomplete_above(struct bus *bus, int32_t more);
/* Shows out whose time is up. Milliseconds until the next one's is; -1: there is nobody. */
int64_t incomplete_tick(struct bus *bus);

#endif
