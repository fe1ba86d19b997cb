/* SPDX-License-Identifier: MIT */
#ifndef BUSBENCH_TROUBLE_H
#define BUSBENCH_TROUBLE_H

#include <stdbool.h>

/*
 * Clients that behave badly. Each runs until it is killed or its deadline comes. They count in shared->harm
 * what they got done, and in shared->cut_off how often the bus threw them out; then they come again.
 */
struct trouble {
    const char *name;
    void (*maker)(void *);  /* who makes it; ready when it begins */
    void (*victim)(void *); /* to whom, ready when it can be found; NULL: the bus itself */
};

extern const struct trouble troubles[]; /* the last has no name */

#endif
