/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_SPAWN_H
#define OMNIBUS_SPAWN_H

#include <stdint.h>

/*
 * Starts the programs of services. build.py gives the part between the cffi marks to cffi as it stands.
 */

/* cffi: begin */
struct spawn_program {
    char *const *argv; /* argv[0] is a path: there is no search */
    char *const *environment;
    int output, error; /* descriptors for 1 and 2; -1: inherited from the bus */
    _Bool limit_fds;   /* restore the limits that the bus was started with: */
    uint64_t soft_fds, hard_fds;
};

/* the step that failed */
enum spawn_step {
    SPAWN_FORK = 1,
    SPAWN_EXEC,
};

struct spawn_result {
    int pid;
    int pidfd;        /* close-on-exec; belongs to the caller */
    uint32_t failed;  /* enum spawn_step; 0: the program runs */
    int error_number; /* errno */
};

/*
 * The program gets a session of its own, default signals (but SIGPIPE is ignored, as dbus-daemon has it), no
 * descriptor but 0, 1 and 2, and no protection from the OOM killer. Returns once the program runs or could
 * not be executed.
 */
void spawn(const struct spawn_program *program, struct spawn_result *result);
/* cffi: end */

#endif
