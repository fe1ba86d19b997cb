/* SPDX-License-Identifier: MIT */
#ifndef PLAYER_REPLAY_H
#define PLAYER_REPLAY_H

#include <stdint.h>

/* Plays the connections whose number is `process`, modulo the number of processes, until all processes are
 * done. */
void replay_run(uint32_t process);
void replay_prepare(void); /* before the processes are forked */
void replay_wake(uint32_t process);

#endif
