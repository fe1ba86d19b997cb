/* SPDX-License-Identifier: MIT */
#ifndef TEST_EMULATED_H
#define TEST_EMULATED_H

/*
 * What an emulator of user programs (make cross-test) lacks: processes that share descriptors and nothing
 * else, and most advice about memory.
 */

#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

/* fork(2), but both have the same table of descriptors. Returns -1 in an emulator. */
static pid_t fork_with_descriptors(void)
{
#ifdef __s390x__
    return (pid_t)syscall(SYS_clone, 0, CLONE_FILES | SIGCHLD, 0, 0, 0);
#else
    return (pid_t)syscall(SYS_clone, CLONE_FILES | SIGCHLD, 0, 0, 0, 0);
#endif
}

static bool is_emulated(void)
{
    pid_t pid = fork_with_descriptors();
    if (pid == 0)
        _exit(0);
    return pid < 0 || waitpid(pid, NULL, 0) != pid;
}

#endif
