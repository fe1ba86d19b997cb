/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_TAKEOVER_SYSCALLS_H
#define OMNIBUS_TAKEOVER_SYSCALLS_H

#include "tracer.h"
#include "traffic.h"

/* What a system call of the daemon says: its arguments and buffers, as the kernel has used them. */

bool syscall_waits(uint64_t number); /* epoll_wait(2), and what replaces it */
/* At the entry of a call that waits: it does not, as there is something to be dispatched. */
bool syscall_polls(const struct tracer *t);
/* At the exit of a call. */
void syscall_note(const struct tracer *tracer, struct traffic *traffic);
/*
 * At the exit of a call that waits: the daemon is told only that it may write, so that it empties itself and
 * reads nothing. False: its memory can't be written.
 */
bool syscall_plug(const struct tracer *t);

#endif
