/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_STANDBY_H
#define OMNIBUS_STANDBY_H

#include <signal.h>

/* Removes from the set the signals of faults, whose handlers have to run in every thread. */
void standby_unblock_faults(sigset_t *set);
/* Frees all memory of this process that is not needed by its code, the C library and the given stack. */
void standby_trim(const void *stack);

#endif
