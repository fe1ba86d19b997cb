/* SPDX-License-Identifier: MIT */
#ifndef BUSBENCH_FLOORS_H
#define BUSBENCH_FLOORS_H

/* The cases without a bus. */
void floors_run(const char *which); /* NULL: all */

#endif
