/* SPDX-License-Identifier: MIT */
#ifndef BUSBENCH_BYSTANDER_H
#define BUSBENCH_BYSTANDER_H

/* A pair's ping-pong while other clients abuse the bus. */
void bystander_run(const char *abuse); /* NULL: every kind */

#endif
