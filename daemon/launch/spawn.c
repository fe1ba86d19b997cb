/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "spawn.h"

#include "oom_score.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define STACK_SIZE (64u << 10)

#ifndef CLOSE_RANGE_CLOEXEC
#define CLOSE_RANGE_CLOEXEC 4u /* <linux/close_range.h> */
#endif

struct child {
    const struct spawn_program *program;
    int errors; /* a pipe: the error if the program could not be executed, end of file if it could */
};

static void reset_signals(void)
{
    for (int number = 1; number < NSIG; number++)
        signal(number, number == SIGPIPE ? SIG_IGN : SIG_DFL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static void limit_fds(const struct spawn_program *program)
{
    struct rlimit limit = {.rlim_cur = program->soft_fds, .rlim_max = program->hard_fds};
    if (program->limit_fds)
        setrlimit(RLIMIT_NOFILE, &limit);
}

/* Runs in the memory of the bus, whose thread waits: only system calls, no allocations and no locks.
 */
static int child_main(void *context)
{
    struct child *child = context;
    const struct spawn_program *program = child->program;
    setsid();
    oom_score_reset();
    limit_fds(program);
    if (program->output >= 0)
        dup2(program->output, STDOUT_FILENO);
    if (program->error >= 0)
        dup2(program->error, STDERR_FILENO);
    syscall(SYS_close_range, 3u, ~0u, CLOSE_RANGE_CLOEXEC); /* a second safeguard: all are by now */
    reset_signals();
    execve(program->argv[0], program->argv, program->environment);
    int why = errno;
    if (write(child->errors, &why, sizeof(why)) < 0)
        _exit(126);
    _exit(127);
}

/* vfork() with a separate stack for the child, and with a pidfd. */
static int start(struct child *child, int *pidfd)
{
    void *stack =
        mmap(NULL, STACK_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    if (stack == MAP_FAILED)
        return -errno;
    /* no signal handler may run in the child */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int pid = clone(child_main, (char *)stack + STACK_SIZE, CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD,
                    child, pidfd);
    int error = errno;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    munmap(stack, STACK_SIZE);
    return pid < 0 ? -error : pid;
}

static void fail(struct spawn_result *result, enum spawn_step step, int error_number)
{
    *result = (struct spawn_result){.pid = -1, .pidfd = -1, .failed = step, .error_number = error_number};
}

/* 0: end of file without an error. */
static int read_error(int fd)
{
    int why = 0;
    while (read(fd, &why, sizeof(why)) < 0 && errno == EINTR)
        continue;
    return why;
}

void spawn(const struct spawn_program *program, struct spawn_result *result)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0) {
        fail(result, SPAWN_FORK, errno);
        return;
    }
    struct child child = {.program = program, .errors = ends[1]};
    int pidfd = -1;
    int pid = start(&child, &pidfd);
    close(ends[1]);
    int why = pid < 0 ? 0 : read_error(ends[0]);
    close(ends[0]);
    if (pid < 0) {
        fail(result, SPAWN_FORK, -pid);
    } else if (why == 0) {
        *result = (struct spawn_result){.pid = pid, .pidfd = pidfd};
    } else {
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
            continue;
        close(pidfd);
        fail(result, SPAWN_EXEC, why);
    }
}
