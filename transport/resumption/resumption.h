/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_RESUMPTION_H
#define OMNIBUS_RESUMPTION_H

#include "api/relay.h"
#include "resumption/handover.h"

#include <stdatomic.h>
#include <sys/types.h>

/*
 * A resumption: the data plane goes on with the state of the program before, and serves, before the
 * control plane is there. omnibusd preloads this library into the interpreter, and its constructor does that
 * before Python runs; otherwise the control plane asks for it first thing. After that there is one way on.
 *
 * What needs the control plane waits in the queue of events, as ever: those of a client are bounded by
 * reports (state/report.h). Everything else is served by the policy and the limits of the state.
 *
 * The way back to the previous program (--previous=) has two sections, and the stage says which one:
 *
 * - RESTORING, until the data plane reads: the state is executed on as it is. A state that is refused, a
 *   signal of a crash or SIGALRM (RESTORE_SECONDS) lead here. Where there is no thread nothing is read until
 *   the control plane is ready, so this lasts until then.
 * - SERVING, until the control plane is ready: messages have been passed on, so the old state is stale. The
 *   control plane has taken no event. An exception, its exit, a crash of its thread or ADOPT_SECONDS let the
 *   thread of the data plane write the present state (caretaker.h) and execute the previous program with
 *   that. A crash of the data plane itself is one like any other then.
 *
 * Without a previous program both end with exit status 1. A bus is never started empty.
 *
 * Rejected: to commit only when the control plane is ready, because clients would wait for Python; to keep a
 * copy of all that is passed on since, to undo it; and to let Python write the state, because then a Python
 * that cannot start would be the end of the bus. A first process that serves while a second one starts would
 * need a second handover. Preloading needs no other program than the interpreter, and nothing but omnibusd
 * asks for it: the library acts only if the command line names the state and the library, and takes its name
 * out of LD_PRELOAD at once.
 */
#define RESTORE_SECONDS 5u
#define ADOPT_SECONDS 30u

enum resumption_stage {
    RESUMPTION_NONE,
    RESUMPTION_RESTORING,
    RESUMPTION_SERVING,
    RESUMPTION_RETURNING, /* the previous program is about to be executed */
    RESUMPTION_ENDED,     /* the control plane is ready */
};

/* There is at most one in a process, since signal handlers have to find it. */
struct resumption {
    struct handover handover;
    _Atomic int stage;
    pid_t pid;            /* not that of a child which has forked */
    struct relay *relay;  /* NULL: none */
    const uint8_t *state; /* mapped, until the end */
    size_t size;
    int standby, standby_pidfd; /* the process, until the control plane has asked for it; 0: none */
    int64_t since;              /* when clients were served again; CLOCK_MONOTONIC in microseconds */
};

#pragma GCC visibility push(default)
/* cffi: begin */
/*
 * The data plane of the state that the command line names, which serves already, and since when, in
 * microseconds of CLOCK_MONOTONIC. It was made before main(), where omnibusd has asked for that, or is made
 * now. Without a thread it serves from the first relay_turn on. 0, or a negative errno with a text in why.
 */
int relay_resumption(struct relay **out, int64_t *since, char *why, size_t why_size);
/*
 * The standby of a bus that has crashed, which was made before the control plane was there: its pid and, in
 * *pidfd, a descriptor as of relay_standby, both of which the caller owns from now on. 0: there is none.
 */
int64_t relay_resumption_standby(int *pidfd);
/* The control plane is ready: there is no way back any more. Closes the descriptor of the state. */
void relay_resumption_end(void);
/* The control plane has failed: executes the previous program. Returns if that is not possible. */
void relay_resumption_abandon(void);
/* cffi: end */
#pragma GCC visibility pop

/* Makes a standby; without one a second crash is the end of the bus until the control plane is ready. */
void first_standby_make(struct resumption *r);
/* Notes what there is to return to, and catches the signals that lead there. */
void way_back_begin(struct resumption *r);
void way_back_end(struct resumption *r);
/* Executes the previous program. Returns if there is none, or if that fails in the first section. */
void way_back_take(struct resumption *r);

#endif
