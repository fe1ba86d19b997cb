/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_TAKEOVER_HOLD_H
#define OMNIBUS_TAKEOVER_HOLD_H

#include "tracer.h"

/*
 * A daemon that stands still before it waits in epoll_wait(2), and makes system calls for us: the registers
 * are set to the instruction of that call, with another number and other arguments. Signals wait meanwhile.
 *
 * hold_end lets it make its epoll_wait as if nothing had been. Only a successful hold_execute can't be taken
 * back.
 */
struct hold {
    struct tracer *tracer;
    struct arch_regs saved;
    struct tracer_call call; /* the epoll_wait */
    uint64_t blocked;        /* its signal mask */
    uint64_t instruction;    /* where a system call is made */
    uint64_t area;           /* mapped for us in its memory; 0: none */
    size_t area_size;
    int memfd; /* its number there; -1: none */
    int *kept; /* whose close-on-exec was cleared */
    size_t n_kept, kept_room;
    unsigned fault, n_calls; /* for tests: the call with this number, from 1, does not exist */
    bool gone;               /* it has ended, or become another program */
};

/* From TRACER_ENTRY of its epoll_wait. 0 or -errno: then it runs on. */
int hold_begin(struct hold *h, struct tracer *tracer, unsigned fault);
/* A system call. Its result. */
int64_t hold_call(struct hold *h, uint64_t number, const uint64_t args[6]);
/* Makes a memfd there, open for writing in our process, too: *fd. 0 or -errno. */
int hold_memfd(struct hold *h, const char *name, int *fd);
/* The descriptor survives execve. 0 or -errno. */
int hold_keep(struct hold *h, int fd);
/* Executes a program; the arrays end with NULL. 0: it has become that; otherwise -errno. */
int hold_execute(struct hold *h, const char *const *argv, const char *const *environment);
/* Takes everything back; it runs on, and stays traced. */
void hold_end(struct hold *h);
void hold_free(struct hold *h);

#endif
