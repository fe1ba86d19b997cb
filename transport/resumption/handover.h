/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_HANDOVER_H
#define OMNIBUS_HANDOVER_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * What the program before has left to this one: the command line with the descriptor of the state, and all
 * descriptors that are open. It is written down at the beginning, so that a signal handler can execute that
 * program again.
 */
struct handover {
    char *line;             /* of the process, NUL after each argument */
    char **command;         /* with which the previous program is executed; NULL: there is none */
    char *previous;         /* its path; NULL: not known */
    char *library;          /* --library=; NULL: none */
    char *library_option;   /* the same as it was passed on */
    bool crashed;           /* the state was written by a standby */
    const char *rest, *end; /* the arguments behind those of a state, NUL after each */
    char resume[32];        /* --resume-fd= of that command */
    int state;              /* the descriptor of the state */
    int *fds;               /* that were open: the connections, the listening sockets, the state, ... */
    uint32_t n_fds, room;   /* of fds */
    char **environment;     /* as it was passed on */
    sigset_t mask;          /* of signals */
};

/* 0; -ENOENT: the command line has no state; -ENOMEM, or another negative errno. */
int handover_read(struct handover *h);
/*
 * Takes the library out of LD_PRELOAD, where omnibusd has put it: no other program is to load it, and the
 * environment is passed on as it was. False: it is not there, so that omnibusd has not asked for anything.
 */
bool handover_unload(const struct handover *h);
/* Notes what the previous program needs: descriptors, environment, signal mask. 0, or a negative errno. */
int handover_note(struct handover *h);
/* Another state, with descriptors that came since. -ENOMEM. */
int handover_replace(struct handover *h, int state, const int *fds, uint32_t n_fds);
/* Executes the previous program. Returns a negative errno if that fails. For signal handlers, too. */
int handover_execute(const struct handover *h);
void handover_free(struct handover *h);

#endif
