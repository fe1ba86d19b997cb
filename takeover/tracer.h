/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_TAKEOVER_TRACER_H
#define OMNIBUS_TAKEOVER_TRACER_H

#include "arch.h"

#include <stddef.h>
#include <sys/types.h>

/*
 * A process whose system calls are seen: ptrace(2).
 *
 * It was seized, so that it runs on if the tracer ends, whatever the reason. Its memory is read and written
 * through process_vm_readv(2) and process_vm_writev(2), which check the addresses that it has passed to the
 * kernel once more. Children are not followed.
 */

enum tracer_stop {
    TRACER_RUNNING, /* it has not stopped */
    TRACER_ENTRY,   /* call has the number and the arguments */
    TRACER_EXIT,    /* call has the result, too */
    TRACER_EXEC,    /* it has become another program */
    TRACER_OTHER,   /* it had a signal, and runs again */
    TRACER_GONE,
};

struct tracer_call {
    uint64_t number, args[6];
    int64_t result; /* negative: -errno */
};

struct tracer {
    pid_t pid; /* 0: none is traced */
    struct tracer_call call;
    bool entered;   /* call is under way */
    bool reloading; /* it got SIGHUP */
    uint64_t n_stops;
};

/* 0 or -errno. It runs on, and stops at the next system call. */
int tracer_attach(struct tracer *t, pid_t pid);
/* It runs on, untraced. Only while it is stopped, unless the tracer is about to end. */
void tracer_detach(struct tracer *t);
/* The next stop. wait false: TRACER_RUNNING if there is none yet. */
enum tracer_stop tracer_next(struct tracer *t, bool wait);
/* To the next stop, from one of TRACER_ENTRY, TRACER_EXIT. */
void tracer_go(const struct tracer *t);
/* Lets it leave a system call that it sleeps in. */
void tracer_interrupt(const struct tracer *t);

bool tracer_get_regs(const struct tracer *t, struct arch_regs *regs);
bool tracer_set_regs(const struct tracer *t, const struct arch_regs *regs);
/* At TRACER_ENTRY: the call is not made, and its result is undefined. */
bool tracer_skip(const struct tracer *t);
/* At TRACER_EXIT. */
bool tracer_set_result(const struct tracer *t, int64_t result);
/* Its mask of blocked signals, which only changes between system calls. */
bool tracer_get_blocked(const struct tracer *t, uint64_t *mask);
bool tracer_set_blocked(const struct tracer *t, uint64_t mask);

/* False: not all of it is mapped. */
bool tracer_read(const struct tracer *t, uint64_t at, void *bytes, size_t n);
bool tracer_write(const struct tracer *t, uint64_t at, const void *bytes, size_t n);

#endif
