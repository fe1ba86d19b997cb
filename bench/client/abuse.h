/* SPDX-License-Identifier: MIT */
#ifndef BUSBENCH_ABUSE_H
#define BUSBENCH_ABUSE_H

#include <stdbool.h>

/*
 * Clients that misbehave. Each runs until it is killed or its deadline comes. They count in shared->harm
 * what they got done, and in shared->cut_off how often the bus disconnected them; then they reconnect.
 */
struct abuse {
    const char *name;
    void (*abuser)(void *); /* ready when it begins */
    void (*victim)(void *); /* the receiver, ready when it has its name; NULL: the bus itself */
};

extern const struct abuse abuses[]; /* ends with a NULL name */

#endif
