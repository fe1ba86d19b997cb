/* SPDX-License-Identifier: MIT */
#ifndef BUSBENCH_CONNECT_H
#define BUSBENCH_CONNECT_H

#include <sys/types.h>

void connect_floor_run(const char *name); /* the case with the floor of any bus */
pid_t connect_floor_spawn(void);          /* starts that, and makes it the bus of the options */
void connect_floor_end(void);             /* removes its socket */

#endif
