/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_TAKEOVER_H
#define OMNIBUS_TAKEOVER_H

#include "child.h"
#include "hold.h"
#include "observer.h"
#include "obstacles.h"
#include "plan.h"
#include "process.h"
#include "snapshot.h"
#include "sockets.h"
#include "tracer.h"
#include "traffic.h"

/*
 * omnibus-takeover: a running dbus-daemon becomes omnibusd, in the same process, with all of its clients.
 *
 *  - preflight.c refuses what is known beforehand to be impossible: another program, threads, mediation.
 *  - observer.c is a client of the daemon, which asks it for names, queues and match rules (ask.c).
 *  - environment.c has the daemon start a program that shows what UpdateActivationEnvironment has set.
 *  - draft.c lets omnibusd read the configuration and write the state of a bus without clients.
 *  - tracer.c and syscalls.c see what the daemon reads and writes; traffic.c learns from it whose connection
 *    is at which descriptor, where messages begin in each stream, and which calls wait for a reply.
 *  - sequence.c repeats that until all is known of one moment, and then lets the daemon only write (the plug,
 *    syscalls.c), so that it empties itself.
 *  - hold.c stops it before it waits with nothing half done (quiet.c); plan.c writes the state; and the
 * daemon executes omnibusd, which goes on from that as in an upgrade (docs/understanding/state.md).
 *
 * Whatever fails before the execve leaves the daemon as it was: registers are restored, and it goes on with
 * the epoll_wait that it was about to make. If this program ends, the kernel lets the daemon go.
 *
 * Rejected: to get the sockets with pidfd_getfd(2) and to start a new process, as that would have another
 * PID, other children, another cgroup, and a gap in which nothing listens; and to read the daemon's heap,
 * whose layout is another in each build.
 */

struct options {
    pid_t pid;          /* 0: found by the socket */
    const char *socket; /* path of the bus; NULL: pid is given */
    uid_t owner;        /* of that socket's bus */
    const char *program;
    bool force, dry_run;
    int patience;   /* milliseconds */
    unsigned fault; /* as in hold.h */
};

struct takeover {
    const struct options *options;
    struct process process;
    struct sockets sockets;
    struct observer observer;
    struct tracer tracer;
    struct traffic traffic;
    struct snapshot snapshot;
    struct obstacles obstacles;
    struct plan_door doors[PLAN_MAX_DOORS];
    uint32_t n_doors;
    uint8_t *draft; /* a mapping of draft_size */
    size_t draft_size;
    struct state_view draft_view;
    struct child rehearsal;
    bool rehearsed;
    char library[4096]; /* the option of omnibusd with that of the data plane; "": none */
    bool plugged;
    int signals; /* a signalfd with SIGCHLD */
    char why[512];
};

/* Milliseconds of CLOCK_MONOTONIC. */
int64_t takeover_now(void);
/* Notes why it ends here. Returns false. */
bool takeover_refuse(struct takeover *t, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* preflight.c: everything before the daemon is traced. */
bool preflight(struct takeover *t);
/*
 * environment.c: the variables of the programs that the daemon starts, NUL-terminated one after the other.
 * NULL: they can't be had.
 */
char *environment_of_services(struct takeover *t, size_t *size);
/* False: the bus takes no variables, as the system's. */
bool environment_may_change(struct takeover *t);
/* draft.c */
bool draft_make(struct takeover *t);
/* Writes the state of the new bus to a memfd and seals it. 0 or -errno. */
int takeover_write_state(const struct takeover *t, int memfd);
/* A memfd with the state as it is known, of our own and sealed; -errno. */
int draft_rehearsal_state(struct takeover *t);
/* The command line of omnibusd: the program, those before, and the options of the daemon. NULL: no memory. */
const char **draft_command(const struct takeover *t, const char *const *before);

/* pump.c */
enum pump {
    PUMP_IDLE,
    PUMP_AT_WAIT, /* plugged, and it is about to wait: it stands still until tracer_go */
    PUMP_LOST,    /* the daemon or its connection has ended */
};
/* Lets everything go on for some time, or until the observer has heard something. */
enum pump pump(struct takeover *t, int milliseconds);

/* ask.c: false: the answers can't be used, or did not come; why says that. */
bool ask_snapshot(struct takeover *t);
/* Finds the descriptors of names that are not known yet. */
bool ask_descriptors(struct takeover *t);
/* Notes obstacles: units that systemd is starting. */
bool ask_jobs(struct takeover *t);

/* quiet.c: notes as obstacles what is half done, now that it is about to wait. */
void quiet_check(struct takeover *t);
/* The same for what can be seen at any time. */
void quiet_check_clients(struct takeover *t);

/* sequence.c: the exit status. */
enum takeover_status {
    TAKEOVER_DONE = 0,
    TAKEOVER_REFUSED = 1, /* nothing has changed */
    TAKEOVER_USAGE = 2,
    TAKEOVER_LOST = 3, /* omnibusd was executed, and does not serve */
};
enum takeover_status takeover_run(struct takeover *t);

#endif
