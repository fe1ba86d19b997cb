/* SPDX-License-Identifier: MIT */
#ifndef BUSBENCH_REPORT_H
#define BUSBENCH_REPORT_H

#include "process.h"

/* One line a case, as JSON or as text. */
void report_begin(const char *name);
void report_number(const char *key, double value);
void report_count(const char *key, uint64_t value);
void report_quantiles(const struct quantiles *us);
/* The daemon's cost for each of n things. */
void report_cost(const char *thing, const struct cost *cost, double n);
void report_end(bool well);
int report_failures(void);

#endif
