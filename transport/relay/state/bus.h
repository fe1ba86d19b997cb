/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_BUS_H
#define OMNIBUS_BUS_H

#include "base/list.h"
#include "base/pool.h"
#include "match/match.h"
#include "policy/policy.h"
#include "state/catalog.h"
#include "state/crash.h"
#include "state/event.h"
#include "state/outgoing.h"
#include "state/parked.h"
#include "state/peer.h"
#include "state/prepared.h"
#include "state/registry.h"
#include "state/reply.h"
#include "state/under_way.h"
#include "state/users.h"
#include "wire/marshal.h"

#include <stdatomic.h>

struct group;
struct group_ops;
struct mediation;

#define BUS_NAME SPAN("org.freedesktop.DBus")
#define BUS_PATH SPAN("/org/freedesktop/DBus")

/*
 * A bus that was taken over from another daemon does not know which calls were delivered before that: until
 * then peers with smaller ids may reply to one another without a pending reply, if they have one uid, or the
 * replier is root or the bus's user. Another could answer in the place of the callee: clients match replies
 * by serial only.
 */
struct amnesty {
    uint64_t below;
    int64_t until; /* monotonic milliseconds; 0: there is none */
};

/*
 * The state layer: all that the data plane knows between two wake-ups. The layers above act on it; this one
 * keeps it consistent.
 *
 * - struct bus is the root. One thread alone accesses it; the few atomic fields are read by the control
 *   plane, which otherwise sends commands and takes events (event.h, report.h).
 * - A connection is a struct peer from its handshake until it is forgotten (peer.h says who writes which
 *   field). Losing it is one call, bus_lose, which may come at any time; every layer drops what it has of the
 *   peer, and the peer stays allocated until the end of the wake-up.
 * - catalog.h has the names of services that can be started.
 * - registry.h has the well-known names and says which plane decides about each; reply.h the pending replies;
 *   parked.h the messages that wait for the start of a service; quota.h what each uid may keep in memory;
 *   inbox.h what was received and not routed yet; outgoing.h and batch.h the messages on their way out.
 * - under_way.h has what is between a system call and its record.
 * - prepared.h has replies of the control plane that hold for all equal calls.
 * - Everything that a client can make grow is charged to it or counted against a limit.
 *
 * Locks with several threads were rejected: nearly every message touches two peers, the names and the policy,
 * and the order of messages is a promise to clients.
 */

/* Units of bus.work, about 20 ns each. */
#define BUS_WORK_DELIVERY 4u /* a copy of a broadcast, including its policy check */
#define BUS_WORK_DRIVER 64u  /* a reply of the driver, which may list whole tables */

struct bus_totals {
    uint64_t messages_in, messages_out, bytes_in, bytes_out;
    uint64_t broadcasts, refused, denied, wakeups, sends, receives;
    uint64_t missed; /* by monitors that did not read in time */
    uint32_t peak_matches, peak_matches_of_one;
};

/*
 * The connections that have not sent Hello, subject to max_incomplete_connections and auth_timeout. Some are
 * with the control plane, which enforces their timeout.
 */
struct incompletes {
    struct list all; /* list of incomplete.in_all, the oldest first */
    uint32_t n, n_above;
    _Atomic uint32_t count; /* both kinds, for the control plane to read */
};

/* The monitors: see monitor.h. */
struct monitors {
    struct match_index *rules;
    uint32_t count; /* 0: nothing is captured */
    uint64_t mark;
    struct account *account; /* charged for messages queued for them, as long as they read */
    struct marshal
        marshal;          /* an error for monitors only; bus.marshal may hold the message that it is about */
    struct marshal stamp; /* of the message being captured */
};

/* The state of the data plane, for its thread alone. */
struct bus {
    int epoll;
    void (*lose)(struct bus *bus, struct peer *peer, enum relay_gone reason); /* bus_lose */
    const struct group_ops *group_ops; /* see group_ops.h; NULL: all messages are relayed */
    struct group *group;               /* state of the group layer */
    struct mediation *mediation;       /* security modules that are asked, too; NULL: none */
    struct source mediating;           /* target for epoll events of mediation */
    bool stop;
    bool frozen;            /* see resume/resume.h; asked once per wake-up */
    struct event *freezing; /* to be pushed when the output of the freeze is written; NULL: none */
    int commanded;          /* readable when commands have come; not owned. All that a frozen bus waits for */
    char guid[33];
    struct relay_limits limits;
    struct table peers; /* by id; includes peers that are gone but not forgotten */
    struct registry registry;
    struct match_index *matches;
    struct monitors monitors;
    struct list observers; /* peer.in_observers: learn who listens to them, see listeners.h */
    struct replies replies;
    struct parking parking;
    struct prepared prepared;
    struct catalog *catalog; /* NULL: the control plane has not read it yet */
    struct policy *policy;   /* never NULL: the initial one allows nothing */
    struct events *events;
    struct batch batch;
    struct pool pool;      /* buffers for long messages */
    struct buffer *parsed; /* holds the messages being routed; NULL: they are in the batch */
    struct list touched, ready, paused;
    struct list leaving;     /* peer.in_leaving: to be forgotten at the end of the wake-up */
    struct list unsettled;   /* peer.in_leaving: has calls to be settled: see leave_settle */
    _Atomic uint32_t n_left; /* peers that are kept until the control plane has taken LEFT */
    uint32_t n_lost;         /* peers that are gone and not forgotten yet */
    struct list doors;       /* door.in_doors */
    struct incompletes incompletes;
    bool accepting;                                      /* epoll watches the doors */
    bool shut;                                           /* doors_shut was called */
    int64_t accept_again;                                /* when descriptors may be available again; 0: now */
    int64_t accept_failed, memory_failed, login_expired; /* see log_recurs */
    uint64_t n_ids; /* of connections, authenticated or handed up; an id is the number in the unique name */
    uint32_t owner; /* the user of the bus itself */
    struct amnesty amnesty;
    struct list backlogs; /* peer.in_backlogs */
    struct list fd_waits; /* peer.in_fd_waits */
    struct table users;   /* see users.h */
    int64_t next_tick;
    int tick;               /* milliseconds until the next check of quotas; -1: none is needed */
    struct marshal marshal; /* the message of the bus itself being written */
    uint32_t serial;        /* of the latest message of the bus */
    uint32_t n_active;
    bool commands_wait; /* for the next wake-up */
    bool sweeping;      /* match_index_sweep has rules left to remove */
    uint64_t log_lost;
    uint32_t n_log;    /* log events not taken by the control plane yet */
    struct peer *turn; /* the peer whose input is being handled, to which log lines are attributed */
    int64_t noted;     /* clock_coarse() of the first call in this wake-up; 0: there was none */
    struct under_way under_way;
    struct crashes crashes;
    struct crash_note crash_note;
    uint64_t mark;
    uint64_t work; /* cost of routing since the turn read the clock */
    struct bus_totals totals;
};

struct peer *bus_peer(const struct bus *bus, uint64_t id);      /* NULL: unknown or forgotten */
struct peer *bus_find(const struct bus *bus, struct span name); /* the owner, which may be gone; NULL: none */
bool bus_is_hello(const struct message *m); /* the only call that an inactive peer may make */
/* Registers a descriptor with epoll as the peer's. False: no memory. */
bool bus_watch(struct bus *bus, struct peer *peer, int fd);
/* Adds an authenticated connection. watched: bus_watch was called. */
void bus_attach(struct bus *bus, struct peer *peer, bool watched);
void bus_count_matches(struct bus *bus, struct peer *peer); /* updates peaks after a rule was added */
uint32_t bus_matches(const struct bus *bus);                /* rules of all connections, including monitors */

/* Loses a connection: every layer drops what it has of it. Later calls do nothing. */
static inline void bus_lose(struct bus *bus, struct peer *peer, enum relay_gone reason)
{
    bus->lose(bus, peer, reason);
}

#endif
