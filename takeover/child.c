/* SPDX-License-Identifier: MIT */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "child.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHILD_NICE 10 /* clients have priority */

/* Descriptors in their places; the rest is closed. Without numbers in each other's way. */
static bool child_descriptors(int output, const int *fds, size_t n)
{
    int spare[16];
    int null = open("/dev/null", O_RDWR);
    if (n > sizeof(spare) / sizeof(*spare) || null < 0)
        return false;
    for (size_t i = 0; i < n; i++) {
        spare[i] = fcntl(fds[i], F_DUPFD, 64);
        if (spare[i] < 0)
            return false;
    }
    int text = fcntl(output, F_DUPFD, 64), none = fcntl(null, F_DUPFD, 64);
    if (dup2(none, 0) < 0 || dup2(text, 1) < 0 || dup2(text, 2) < 0)
        return false;
    for (size_t i = 0; i < n; i++) {
        if (dup2(spare[i], 3 + (int)i) < 0)
            return false;
    }
    return syscall(SYS_close_range, 3 + (unsigned)n, ~0u, 0) == 0;
}

static bool child_become(const struct process *like)
{
    char directory[64];
    snprintf(directory, sizeof(directory), "/proc/%d/cwd", like->pid);
    if (chdir(directory) < 0)
        return false;
    if (like->uid == geteuid() && like->gid == getegid())
        return true;
    return setgroups(like->n_groups, like->groups) == 0 && setresgid(like->gid, like->gid, like->gid) == 0 &&
           setresuid(like->uid, like->uid, like->uid) == 0;
}

static void child_run(const struct process *like, const char *const *argv, int output, const int *fds,
                      size_t n_fds)
{
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    size_t n = process_split(like->environment, like->environment_size, NULL, 0);
    const char **environment = calloc(n + 1, sizeof(*environment));
    if (environment)
        process_split(like->environment, like->environment_size, environment, n);
    if (nice(CHILD_NICE) == -1)
        errno = 0;
    if (environment && child_descriptors(output, fds, n_fds) && child_become(like))
        execve(argv[0], (char *const *)(uintptr_t)argv, (char *const *)(uintptr_t)environment);
    dprintf(2, "%s: %s\n", argv[0], strerror(errno));
    _exit(127);
}

bool child_start(struct child *c, const struct process *like, const char *const *argv, const int *fds,
                 size_t n_fds)
{
    int ends[2];
    *c = (struct child){.output = -1};
    if (pipe2(ends, O_CLOEXEC) < 0)
        return false;
    c->pid = fork();
    if (c->pid == 0)
        child_run(like, argv, ends[1], fds, n_fds);
    close(ends[1]);
    c->output = ends[0];
    if (c->pid > 0 && fcntl(c->output, F_SETFL, O_NONBLOCK) == 0)
        return true;
    child_end(c);
    return false;
}

bool child_turn(struct child *c)
{
    char rest[512];
    while (c->output >= 0) {
        bool room = c->n < sizeof(c->text) - 1;
        ssize_t n = room ? read(c->output, c->text + c->n, sizeof(c->text) - 1 - c->n)
                         : read(c->output, rest, sizeof(rest));
        if (n < 0 && errno == EAGAIN)
            return false;
        if (n < 0 && errno == EINTR)
            continue;
        if (n > 0 && room)
            c->n += (size_t)n;
        if (n > 0)
            continue;
        close(c->output);
        c->output = -1;
    }
    while (c->n > 0 && c->text[c->n - 1] == '\n')
        c->n--;
    c->text[c->n] = '\0';
    return true;
}

bool child_end(struct child *c)
{
    int status = -1;
    if (c->output >= 0) {
        close(c->output);
        if (c->pid > 0)
            kill(c->pid, SIGKILL);
    }
    c->output = -1;
    while (c->pid > 0 && waitpid(c->pid, &status, 0) < 0 && errno == EINTR)
        ;
    bool good = c->pid > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
    c->pid = 0;
    return good;
}
