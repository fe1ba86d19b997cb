/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_TAKEOVER_PLAN_H
#define OMNIBUS_TAKEOVER_PLAN_H

#include "process.h"
#include "resume/state_read.h"
#include "snapshot.h"
#include "sockets.h"
#include "traffic.h"

#define PLAN_MAX_DOORS 12u
/* What the new program expects of the state: nothing can change it. */
#define PLAN_SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

/* A listening socket of the daemon; each has a guid of its own. */
struct plan_door {
    int fd;
    char guid[33];
};

/* All that the state of the new bus is made from. */
struct plan {
    const struct process *process;
    const struct sockets *sockets;
    const struct traffic *traffic;
    const struct snapshot *snapshot;
    const struct plan_door *doors;
    uint32_t n_doors;
    struct state_view draft; /* of a bus without clients, which omnibusd has made from the configuration */
    int64_t now;             /* milliseconds of CLOCK_MONOTONIC */
};

/*
 * Writes the state to a file. Limits, policy, catalogue and the control plane's part are those of the draft;
 * connections, names, match rules and pending replies are the daemon's. 0 or -errno.
 */
int plan_write(const struct plan *plan, int fd);

#endif
