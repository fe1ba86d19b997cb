/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_BUS_H
#define OMNIBUS_BUS_H

#include "base/list.h"
#include "base/pool.h"
#include "match/match.h"
#include "policy/policy.h"
#include "state/batch.h"
#include "state/event.h"
#include "state/parked.h"
#include "state/peer.h"
#include "state/registry.h"
#include "state/reply.h"
#include "state/users.h"
#include "wire/marshal.h"

#include <stdatomic.h>

struct direct;
struct group;

#define BUS_NAME SPAN("org.freedesktop.DBus")
#define BUS_PATH SPAN("/org/freedesktop/DBus")

/* Steps of bus.work, about 20 ns each. */
#define BUS_WORK_DELIVERY 4u /* a copy of a broadcast, its policy included */
#define BUS_WORK_DRIVER 64u  /* an answer of the driver, which may list whole tables */

struct bus_totals {
    uint64_t messages_in, messages_out, bytes_in, bytes_out;
    uint64_t broadcasts, refused, denied, wakeups, sends, receives;
    uint64_t missed; /* by monitors that did not read */
    uint32_t peak_matches, peak_matches_of_one;
};

/*
 * The connections that have not said Hello: what max_incomplete_connections and auth_timeout are about. Some
 * are with the control plane, which minds their time.
 */
struct incompletes {
    struct list all; /* of incomplete.in_all, the oldest first */
    uint32_t n, n_above;
    _Atomic uint32_t count; /* both, for the control plane to read */
};

/* Who watches: see monitor.h. */
struct monitors {
    struct match_index *rules;
    uint32_t count; /* 0: nothing is captured */
    uint64_t mark;
    struct account *account; /* what waits for them, as long as they do read */
    struct marshal marshal;  /* an error that nobody else sees; bus.marshal may hold what it is about */
};

/* All that the data plane knows; its thread alone touches it. */
struct bus {
    int epoll;
    void (*lose)(struct bus *bus, struct peer *peer, enum relay_gone reason); /* bus_lose */
    const struct group *group; /* see group.h; NULL: everything is relayed */
    struct direct *direct;     /* the group's own */
    bool stop;
    char guid[33];
    struct relay_limits limits;
    struct table peers; /* by id, the ones that are gone but not forgotten too */
    struct registry registry;
    struct match_index *matches;
    struct monitors monitors;
    struct replies replies;
    struct parking parking;
    struct policy *policy; /* never NULL: at first one that allows nothing */
    struct events *events;
    struct batch batch;
    struct pool pool;      /* of buffers for long messages */
    struct buffer *parsed; /* that the messages being routed stand in; NULL: in the batch */
    struct list touched, ready, paused;
    struct list leaving;     /* peer.in_leaving: to be forgotten at the end of the wake-up */
    struct list unsettled;   /* peer.in_leaving: has calls that are to be settled: see leave_settle */
    _Atomic uint32_t n_left; /* who have left and are kept until the control plane has taken that */
    uint32_t n_lost;         /* who are gone and have yet to be forgotten */
    struct list doors;       /* door.in_doors */
    struct incompletes incompletes;
    bool accepting;                                      /* the doors are watched */
    bool shut;                                           /* they never will be again */
    int64_t accept_again;                                /* when descriptors may be there again; 0: now */
    int64_t accept_failed, memory_failed, login_expired; /* see log_recurs */
    uint64_t n_ids;       /* that the data plane gave, the even ones; relay.n_ids: the odd ones */
    uint32_t owner;       /* the bus's own user */
    struct list backlogs; /* peer.in_backlogs */
    struct list fd_waits; /* peer.in_fd_waits */
    struct table uids;    /* quota_uid */
    struct table users;   /* of all connections: see users.h */
    int64_t next_tick;
    int tick;               /* milliseconds until the next look at the quotas; -1: none is needed */
    struct marshal marshal; /* the message of the bus itself that is being written */
    uint32_t serial;        /* of the latest of those */
    uint32_t n_active;
    bool commands_wait; /* for the next turn */
    bool sweeping;      /* rules of those that have left are still to be removed */
    uint64_t log_lost;
    uint32_t n_log;    /* log events that the control plane has not taken yet */
    struct peer *turn; /* whose bytes are being handled: what is written to the log now is its doing */
    uint64_t mark;
    uint64_t work; /* what routing has cost since a turn looked at the clock */
    struct bus_totals totals;
};

struct peer *bus_peer(const struct bus *bus, uint64_t id);      /* NULL: unknown or forgotten */
struct peer *bus_find(const struct bus *bus, struct span name); /* the owner, gone or not; NULL: none */
bool bus_is_hello(const struct message *m); /* the first and only call of a peer that is not active */
/* Events of this descriptor are the peer's from now on; false: no memory. */
bool bus_watch(struct bus *bus, struct peer *peer, int fd);
/* An authenticated connection is there from now on; watched: bus_watch was called. */
void bus_attach(struct bus *bus, struct peer *peer, bool watched);
void bus_count_matches(struct bus *bus, struct peer *peer); /* whose rules have become more */
uint32_t bus_matches(const struct bus *bus);                /* of all connections, monitors too */

/* The connection is lost: every layer drops what it has of it. Once; later calls do nothing. */
static inline void bus_lose(struct bus *bus, struct peer *peer, enum relay_gone reason)
{
    bus->lose(bus, peer, reason);
}

#endif
