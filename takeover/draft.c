/* SPDX-License-Identifier: MIT */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "takeover.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/*
 * The draft: omnibusd reads the configuration with the options of the daemon, as its user, and writes the
 * state of a bus that has its policy, limits and listeners, and no clients. So there is one authority on what
 * a configuration means, and what can't be read is known before anything has happened.
 */

#define DRAFT_TIME 30000 /* milliseconds */
#define DRAFT_MAX_SIZE (256u << 20)
#define MEMFD_NAME "omnibus-state"
#define DOOR_TEXT 64u

const char **draft_command(const struct takeover *t, const char *const *before)
{
    const struct process *p = &t->process;
    size_t n_options = process_split(p->arguments, p->arguments_size, NULL, 0), n = 0;
    while (before[n])
        n++;
    const char **command = calloc(n + n_options + 2, sizeof(*command));
    if (!command)
        return NULL;
    command[0] = t->options->program;
    for (size_t i = 0; i < n; i++)
        command[1 + i] = before[i];
    /* The name of the daemon is in the way of the last of those before, until that is put back. */
    process_split(p->arguments, p->arguments_size, command + n, n_options);
    command[n] = n == 0 ? t->options->program : before[n - 1];
    return command;
}

/* Copies of the listening sockets, for the draft to describe. */
static bool copy_doors(struct takeover *t, int *fds, char *text)
{
    for (uint32_t i = 0; i < t->n_doors; i++)
        fds[1 + i] = -1;
    for (uint32_t i = 0; i < t->n_doors; i++) {
        fds[1 + i] = (int)syscall(SYS_pidfd_getfd, t->process.pidfd, t->doors[i].fd, 0);
        if (fds[1 + i] < 0)
            return takeover_refuse(t, "Its sockets can't be looked at: %s", strerror(errno));
        text += snprintf(text, DOOR_TEXT, "%s%u:%d:%s", i > 0 ? "," : "", 4 + i, t->doors[i].fd,
                         t->doors[i].guid);
    }
    return true;
}

static bool wait_for_child(struct takeover *t, struct child *c)
{
    int64_t end = takeover_now() + DRAFT_TIME;
    while (!child_turn(c)) {
        struct pollfd wait = {c->output, POLLIN, 0};
        int64_t left = end - takeover_now();
        if (left <= 0 || (poll(&wait, 1, (int)left) < 0 && errno != EINTR)) {
            child_end(c);
            return takeover_refuse(t, "omnibusd took too long to read the configuration");
        }
    }
    return child_end(c) || takeover_refuse(t, "omnibusd can't go on with this bus: %s", c->text);
}

/* How many descriptors the daemon may have: what it started with is not known any more. */
static void print_limit(const struct takeover *t, char *text, size_t size)
{
    struct rlimit limit = {1024, 1024};
    prlimit(t->process.pid, RLIMIT_NOFILE, NULL, &limit);
    snprintf(text, size, "--nofile=%lld:%lld", (long long)limit.rlim_cur, (long long)limit.rlim_max);
}

/* The draft has the environment of the services that the daemon starts, and passes it on. */
static char *services_environment(struct takeover *t, struct process *like)
{
    size_t size;
    char *environment = environment_of_services(t, &size);
    if (environment) {
        like->environment = environment;
        like->environment_size = size;
    } else if (environment_may_change(t)) {
        fputs("Variables of UpdateActivationEnvironment can't be carried; those of the start are\n", stderr);
    }
    return environment;
}

static bool run_draft(struct takeover *t, int memfd)
{
    char doors[16 + PLAN_MAX_DOORS * DOOR_TEXT] = "--doors=";
    int fds[1 + PLAN_MAX_DOORS] = {memfd};
    bool good = copy_doors(t, fds, doors + strlen(doors));
    char limit[64];
    const char *const before[] = {"--draft=3", doors, limit, NULL};
    print_limit(t, limit, sizeof(limit));
    const char **command = draft_command(t, before);
    struct child child = {.output = -1};
    struct process like = t->process;
    char *environment = services_environment(t, &like);
    if (good && (!command || !child_start(&child, &like, command, fds, 1 + t->n_doors)))
        good = takeover_refuse(t, "omnibusd can't be started: %s", strerror(errno));
    good = good && wait_for_child(t, &child);
    for (uint32_t i = 0; i < t->n_doors; i++) {
        if (fds[1 + i] >= 0)
            close(fds[1 + i]);
    }
    free(command);
    free(environment);
    return good;
}

/* It was written by a process with the rights of the bus's user: it is read as hostile, from a copy. */
static bool read_draft(struct takeover *t, int memfd)
{
    struct stat found;
    if (fstat(memfd, &found) < 0 || found.st_size <= 0 || found.st_size > (off_t)DRAFT_MAX_SIZE)
        return takeover_refuse(t, "omnibusd has written no state");
    t->draft_size = (size_t)found.st_size;
    t->draft = malloc(t->draft_size);
    if (!t->draft || pread(memfd, t->draft, t->draft_size, 0) != (ssize_t)t->draft_size)
        return takeover_refuse(t, "The state of omnibusd can't be read");
    char why[128];
    if (state_open(&t->draft_view, t->draft, t->draft_size, true, why, sizeof(why)) < 0)
        return takeover_refuse(t, "The state of omnibusd: %s", why);
    return true;
}

bool draft_make(struct takeover *t)
{
    int memfd = memfd_create(MEMFD_NAME, MFD_CLOEXEC);
    if (memfd < 0 || fchmod(memfd, 0600) < 0 || fchown(memfd, t->process.uid, t->process.gid) < 0) {
        takeover_refuse(t, "No memory for a state: %s", strerror(errno));
        if (memfd >= 0)
            close(memfd);
        return false;
    }
    bool good = run_draft(t, memfd) && read_draft(t, memfd);
    close(memfd);
    return good;
}

int takeover_write_state(const struct takeover *t, int memfd)
{
    const struct plan plan = {.process = &t->process,
                              .sockets = &t->sockets,
                              .traffic = &t->traffic,
                              .snapshot = &t->snapshot,
                              .doors = t->doors,
                              .n_doors = t->n_doors,
                              .draft = t->draft_view,
                              .now = takeover_now()};
    int error = plan_write(&plan, memfd);
    if (error == 0 && fcntl(memfd, F_ADD_SEALS, PLAN_SEALS) < 0)
        error = -errno;
    return error;
}

int draft_rehearsal_state(struct takeover *t)
{
    int memfd = memfd_create(MEMFD_NAME, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (memfd < 0)
        return -errno;
    int error = takeover_write_state(t, memfd);
    if (error == 0)
        return memfd;
    close(memfd);
    return error;
}
