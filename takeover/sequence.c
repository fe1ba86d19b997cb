/* SPDX-License-Identifier: MIT */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "takeover.h"

#include "syscalls.h"
#include "trust.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define REST 20          /* milliseconds between two attempts */
#define QUIET_TIME 1000  /* for the daemon to empty itself */
#define SERVE_TIME 60000 /* for omnibusd to answer */
#define LET_GO_TIME 2000
#define LIBRARY "--library=" /* of omnibusd */
#define ACTIVATION_REST 1000 /* after a unit was asked for, until systemd surely knows of it */

enum attempt {
    ATTEMPT_READY,   /* all is known, and nothing is in the way */
    ATTEMPT_BLOCKED, /* obstacles */
    ATTEMPT_CHANGED, /* something changed meanwhile */
    ATTEMPT_FAILED,  /* why says what */
};

/* Clients that are not watched yet, as they were there before. */
static void watch_clients(struct takeover *t)
{
    for (size_t fd = 0; fd < t->sockets.n; fd++) {
        const struct socket_entry *entry = sockets_at(&t->sockets, fd);
        if (entry && entry->kind == SOCKET_CLIENT && !traffic_client(&t->traffic, fd))
            traffic_open(&t->traffic, (int)fd, false);
    }
}

static bool update_sockets(struct takeover *t)
{
    int error = sockets_update(&t->sockets, t->process.pid, t->process.pidfd);
    if (error < 0)
        return takeover_refuse(t, "Its sockets can't be looked at: %s", strerror(-error));
    watch_clients(t);
    return true;
}

/* Learns all of one moment. */
static enum attempt learn(struct takeover *t)
{
    uint64_t before = t->traffic.changes;
    obstacles_clear(&t->obstacles);
    if (!ask_snapshot(t) || !update_sockets(t) || !ask_descriptors(t) || !ask_jobs(t))
        return ATTEMPT_FAILED;
    if (t->traffic.reconfigured || t->tracer.reloading) {
        takeover_refuse(t, "The daemon has read its configuration again meanwhile; try again");
        return ATTEMPT_FAILED;
    }
    if (t->traffic.activated) {
        t->traffic.activated = false;
        pump(t, ACTIVATION_REST);
        return ATTEMPT_CHANGED;
    }
    quiet_check_clients(t);
    if (t->traffic.changes != before)
        return ATTEMPT_CHANGED;
    return obstacles_none(&t->obstacles) ? ATTEMPT_READY : ATTEMPT_BLOCKED;
}

/*
 * Notes the library of the data plane that the rehearsal was made with, which omnibusd preloads, so that
 * clients do not wait for Python. Its path is a string of JSON; one with an escape is left out.
 */
static void note_library(struct takeover *t)
{
    static const char key[] = "\"library\": \"";
    char why[sizeof(t->why)];
    const char *at = strstr(t->rehearsal.text, key);
    size_t n = at ? strcspn(at + sizeof(key) - 1, "\"\\") : 0;
    t->library[0] = '\0';
    if (n == 0 || n >= sizeof(t->library) - sizeof(LIBRARY) || at[sizeof(key) - 1 + n] != '"')
        return;
    snprintf(t->library, sizeof(t->library), LIBRARY "%.*s", (int)n, at + sizeof(key) - 1);
    if (trust(t->library + sizeof(LIBRARY) - 1, t->process.uid, false, why, sizeof(why)))
        return;
    fprintf(stderr, "Clients wait for Python: %s\n", why);
    t->library[0] = '\0';
}

/* The new program reads the state as it is known, and touches nothing; the daemon goes on meanwhile. */
static bool rehearse(struct takeover *t)
{
    int memfd = draft_rehearsal_state(t);
    if (memfd < 0)
        return takeover_refuse(t, "The state can't be written: %s", strerror(-memfd));
    const char *const before[] = {"--rehearse", "--resume-fd=3", NULL};
    const char **command = draft_command(t, before);
    bool good = command && child_start(&t->rehearsal, &t->process, command, &memfd, 1);
    close(memfd);
    free(command);
    if (!good)
        return takeover_refuse(t, "omnibusd can't be started: %s", strerror(errno));
    int64_t end = takeover_now() + 30000;
    while (!child_turn(&t->rehearsal)) {
        if (takeover_now() > end || pump(t, 100) == PUMP_LOST) {
            child_end(&t->rehearsal);
            return takeover_refuse(t, "The rehearsal of omnibusd took too long");
        }
    }
    if (!child_end(&t->rehearsal))
        return takeover_refuse(t, "omnibusd can't go on with this bus: %s", t->rehearsal.text);
    note_library(t);
    t->rehearsed = true;
    return true;
}

/* Lets the daemon only write until nothing is half done: then it stands before its epoll_wait. */
static enum attempt come_to_rest(struct takeover *t)
{
    uint64_t before = t->traffic.changes;
    int64_t end = takeover_now() + QUIET_TIME;
    t->plugged = true;
    tracer_interrupt(&t->tracer); /* if it sleeps in epoll_wait */
    obstacles_clear(&t->obstacles);
    while (takeover_now() < end && t->traffic.changes == before && !t->traffic.failed) {
        enum pump got = pump(t, 50);
        if (got == PUMP_LOST) {
            takeover_refuse(t, "The daemon has ended");
            return ATTEMPT_FAILED;
        }
        if (got != PUMP_AT_WAIT)
            continue;
        obstacles_clear(&t->obstacles);
        quiet_check(t);
        bool quiet = !syscall_polls(&t->tracer) && obstacles_none(&t->obstacles);
        if (quiet && t->traffic.changes == before)
            return ATTEMPT_READY;
        tracer_go(&t->tracer);
    }
    t->plugged = false;
    if (t->traffic.failed)
        takeover_refuse(t, "The daemon's messages can't be followed");
    if (t->traffic.failed)
        return ATTEMPT_FAILED;
    return t->traffic.changes != before ? ATTEMPT_CHANGED : ATTEMPT_BLOCKED;
}

static int write_state(struct takeover *t, struct hold *h)
{
    int fd = -1;
    int error = hold_memfd(h, "omnibus-state", &fd);
    if (error == 0)
        error = takeover_write_state(t, fd);
    if (fd >= 0)
        close(fd);
    return error;
}

static int keep_descriptors(struct takeover *t, struct hold *h)
{
    int error = hold_keep(h, h->memfd);
    for (uint32_t i = 0; error == 0 && i < t->n_doors; i++)
        error = hold_keep(h, t->doors[i].fd);
    for (uint32_t i = 0; error == 0 && i < t->snapshot.n_ids; i++)
        error = hold_keep(h, traffic_fd(&t->traffic, t->snapshot.ids[i]));
    return error;
}

/* The daemon's own, without the sockets that it was given: it has them. */
static const char **new_environment(const struct takeover *t)
{
    const struct process *p = &t->process;
    size_t n = process_split(p->environment, p->environment_size, NULL, 0), kept = 0;
    const char **all = calloc(n + 1, sizeof(*all));
    if (!all)
        return NULL;
    process_split(p->environment, p->environment_size, all, n);
    for (size_t i = 0; i < n; i++) {
        if (strncmp(all[i], "LISTEN_", 7) != 0)
            all[kept++] = all[i];
    }
    all[kept] = NULL;
    return all;
}

static int execute(struct takeover *t, struct hold *h)
{
    char resume[32];
    snprintf(resume, sizeof(resume), "--resume-fd=%d", h->memfd);
    const char *const before[] = {resume, t->library[0] ? t->library : NULL, NULL};
    const char **command = draft_command(t, before), **environment = new_environment(t);
    int error = command && environment ? hold_execute(h, command, environment) : -ENOMEM;
    free(command);
    free(environment);
    return error;
}

/* True if the new bus answers on our old connection, as the old one would have. */
static bool answers(struct takeover *t)
{
    observer_forget(&t->observer);
    uint32_t serial = observer_ask(&t->observer, BUS_NAME, "GetId", NULL);
    int64_t end = takeover_now() + SERVE_TIME;
    const struct message *reply;
    while (!(reply = observer_reply(&t->observer, serial))) {
        if (takeover_now() > end || pump(t, 100) == PUMP_LOST)
            return false;
    }
    struct snapshot found = {0};
    bool same = snapshot_take_guid(&found, reply) && strcmp(found.guid, t->snapshot.guid) == 0;
    snapshot_free(&found);
    return same;
}

static enum takeover_status finish(struct takeover *t, int64_t held)
{
    int64_t executed = takeover_now();
    tracer_detach(&t->tracer);
    if (!answers(t)) {
        fprintf(stderr, "omnibusd was executed as process %d, but does not serve\n", t->process.pid);
        return TAKEOVER_LOST;
    }
    printf("Process %d is omnibusd now: %u connections, %u names, %u match rules, %u pending replies; "
           "held for %lld ms, answered after %lld ms\n",
           t->process.pid, t->snapshot.n_ids, t->snapshot.n_names, t->snapshot.n_rules,
           t->traffic.calls.count, (long long)(executed - held), (long long)(takeover_now() - held));
    return TAKEOVER_DONE;
}

/* From the entry of its epoll_wait on: all or nothing. */
static enum takeover_status take_over(struct takeover *t)
{
    struct hold hold;
    int64_t held = takeover_now();
    int error = hold_begin(&hold, &t->tracer, t->options->fault);
    if (error == 0) {
        error = write_state(t, &hold);
        if (error == 0)
            error = keep_descriptors(t, &hold);
        if (error == 0)
            error = execute(t, &hold);
        if (error < 0)
            hold_end(&hold);
    }
    hold_free(&hold);
    t->plugged = false;
    if (error == 0)
        return finish(t, held);
    takeover_refuse(t, "omnibusd can't be executed: %s; dbus-daemon goes on", strerror(-error));
    return TAKEOVER_REFUSED;
}

/* One attempt, up to the moment in which the daemon stands still. */
static enum attempt attempt(struct takeover *t)
{
    enum attempt result = learn(t);
    if (result == ATTEMPT_READY && !t->rehearsed) {
        if (!rehearse(t))
            return ATTEMPT_FAILED;
        result = learn(t);
    }
    return result == ATTEMPT_READY ? come_to_rest(t) : result;
}

/* With --force: ends the connections that are in the way, so that the daemon tells others that they left. */
static bool end_connections(struct takeover *t)
{
    if (!t->options->force || t->options->dry_run || !obstacles_can_end(&t->obstacles))
        return false;
    for (size_t i = 0; i < t->obstacles.n; i++)
        socket_end(t->process.pidfd, t->obstacles.all[i].fd);
    obstacles_print(&t->obstacles, "Ended: ");
    return true;
}

/* Tries until all is right, or the time is over. */
static enum attempt attempts(struct takeover *t)
{
    int64_t end = takeover_now() + t->options->patience;
    unsigned forced = 0;
    for (;;) {
        enum attempt result = attempt(t);
        if (result == ATTEMPT_READY || result == ATTEMPT_FAILED)
            return result;
        if (takeover_now() < end) {
            if (pump(t, REST) == PUMP_LOST) {
                takeover_refuse(t, "The daemon has ended");
                return ATTEMPT_FAILED;
            }
            continue;
        }
        if (result == ATTEMPT_BLOCKED && forced++ < 2 && end_connections(t)) {
            end = takeover_now() + t->options->patience;
            continue;
        }
        return result;
    }
}

static enum takeover_status explain(struct takeover *t, enum attempt result)
{
    if (result == ATTEMPT_CHANGED)
        takeover_refuse(t, "The bus never stood still: %s", t->traffic.change ? t->traffic.change : "");
    if (result == ATTEMPT_BLOCKED) {
        obstacles_print(&t->obstacles, "In the way: ");
        takeover_refuse(t, obstacles_can_end(&t->obstacles) ? "--force would end these connections"
                                                            : "This has to be over first");
    }
    return TAKEOVER_REFUSED;
}

/*
 * The daemon stops being traced wherever it is. One that job control has stopped is not waited for: the
 * kernel lets it go when we end.
 */
static void let_go(struct takeover *t)
{
    struct pollfd wait = {t->signals, POLLIN, 0};
    int64_t end = takeover_now() + LET_GO_TIME;
    t->plugged = false;
    if (t->tracer.pid != 0)
        tracer_interrupt(&t->tracer);
    while (t->tracer.pid != 0 && takeover_now() < end) {
        enum tracer_stop stop = tracer_next(&t->tracer, false);
        if (stop == TRACER_ENTRY || stop == TRACER_EXIT || stop == TRACER_EXEC)
            tracer_detach(&t->tracer);
        else if (stop == TRACER_RUNNING)
            poll(&wait, 1, 1);
    }
}

static enum takeover_status trace(struct takeover *t)
{
    int error = tracer_attach(&t->tracer, t->process.pid);
    if (error < 0) {
        takeover_refuse(t, "The daemon can't be traced: %s", strerror(-error));
        return TAKEOVER_REFUSED;
    }
    if (!process_is_there(&t->process)) { /* from here on its number can't be given to another */
        takeover_refuse(t, "The daemon has ended");
        let_go(t);
        return TAKEOVER_REFUSED;
    }
    watch_clients(t);
    enum attempt result = attempts(t);
    enum takeover_status status = TAKEOVER_REFUSED;
    if (result == ATTEMPT_READY && t->options->dry_run) {
        tracer_detach(&t->tracer);
        printf("Process %d can be taken over: %u connections, %u names, %u match rules\n", t->process.pid,
               t->snapshot.n_ids, t->snapshot.n_names, t->snapshot.n_rules);
        return TAKEOVER_DONE;
    }
    status = result == ATTEMPT_READY ? take_over(t) : explain(t, result);
    let_go(t);
    return status;
}

enum takeover_status takeover_run(struct takeover *t)
{
    if (!preflight(t) || !draft_make(t))
        return TAKEOVER_REFUSED;
    return trace(t);
}
