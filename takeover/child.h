/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_TAKEOVER_CHILD_H
#define OMNIBUS_TAKEOVER_CHILD_H

#include "process.h"

/*
 * A program that runs in the place of the daemon: with its user, groups, directory and environment, and
 * never with our rights, as an environment of a user's may have anything in it. What it prints is kept.
 */
struct child {
    pid_t pid;  /* 0: none */
    int output; /* -1: at its end */
    char text[2048];
    size_t n;
};

/* fds are its descriptors 3, 4 ... False: there can be no child. */
bool child_start(struct child *c, const struct process *like, const char *const *argv, const int *fds,
                 size_t n_fds);
/* Reads what it has printed. True: it has closed its output, and so has ended. */
bool child_turn(struct child *c);
/* Waits for the end; kills it if it has not ended. True: it has succeeded. */
bool child_end(struct child *c);

#endif
