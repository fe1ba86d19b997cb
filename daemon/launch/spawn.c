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

struct child {
    const struct spawn_program *program;
    int error_number; /* the child shares our memory: this is its way to tell why it could not execute */
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

/* Runs in the memory of the bus, whose thread waits: only system calls, and nothing that allocates or locks.
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
    syscall(SYS_close_range, 3u, ~0u, 0u); /* all are close-on-exec; this is the second lock */
    reset_signals();
    execve(program->argv[0], program->argv, program->environment);
    child->error_number = errno;
    _exit(127);
}

/* vfork() with a stack of the child's own, so that it can't harm ours, and with a pidfd. */
static int start(struct child *child, int *pidfd)
{
    void *stack =
        mmap(NULL, STACK_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    if (stack == MAP_FAILED)
        return -errno;
    /* a handler of ours must not run in the child */
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

void spawn(const struct spawn_program *program, struct spawn_result *result)
{
    struct child child = {.program = program};
    *result = (struct spawn_result){.pid = -1, .pidfd = -1};
    int pid = start(&child, &result->pidfd);
    if (pid < 0) {
        result->failed = SPAWN_FORK;
        result->error_number = -pid;
        return;
    }
    if (child.error_number == 0) {
        result->pid = pid;
        return;
    }
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        continue;
    close(result->pidfd);
    result->pidfd = -1;
    result->failed = SPAWN_EXEC;
    result->error_number = child.error_number;
}
