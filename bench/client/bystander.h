/* SPDX-License-Identifier: MIT */
#ifndef BUSBENCH_BYSTANDER_H
#define BUSBENCH_BYSTANDER_H

/* A pair's ping-pong while others make trouble beside it. */
void bystander_run(const char *trouble); /* NULL: every kind */

#endif
