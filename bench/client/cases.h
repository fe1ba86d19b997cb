/* SPDX-License-Identifier: MIT */
#ifndef BUSBENCH_CASES_H
#define BUSBENCH_CASES_H

#include <stdbool.h>

void case_run(const char *name, const char *detail); /* dies if there is no such case */

void connect_run(void);
void driver_run(void);
void services_run(void);
void memory_run(void);
void login_run(void);
void mixed_run(void);

#endif
