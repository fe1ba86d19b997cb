/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_REGISTRY_H
#define OMNIBUS_REGISTRY_H

#include "base/list.h"
#include "base/span.h"
#include "base/table.h"

struct peer;

/*
 * The registry: well-known names, their queues, and which plane decides about each name.
 *
 * Both planes have a table of names and their queues: this one routes messages, daemon/names.py also knows
 * the flags of each request. Events and commands take time, so either table may be behind the other. They
 * never contradict each other, because at any moment only one plane may change a name.
 *
 * The control plane may change a name while it is handed up (struct handed), that is, while
 * - a call of the driver about it, by its first argument, is with the control plane: from before the event
 *   until after relay_resume or relay_forget,
 * - a message is parked for it, until that is delivered, rejected or dropped with its sender,
 * - it is awaited: a service that will own it is being started (relay_await_name).
 *
 * At any other time the data plane may, and it makes three changes only (route/names_fast.c): a name without
 * a queue goes to the peer that requests it, the only peer in a queue requests it again with other flags, and
 * it leaves the queue on request. A name with several peers in its queue allows none of them. Nor does a name
 * whose owner is lost or has asked to become a monitor, since such a peer makes no requests; the control
 * plane may therefore take these out of their queues without a call.
 *
 * This suffices because both directions between the planes keep their order. NAMED and RELEASED are pushed at
 * the moment of the change, and nothing overtakes them; when the control plane handles a call, it knows all
 * changes made here before that call was handed up, and none is made here after that. The command with the
 * queue that it decides on precedes the end of the call, which hands the name back. The command brings its
 * memory along (name_new), so it cannot fail here. A NAMED for a name that has another owner in
 * daemon/names.py, or a RELEASED by a peer that is not its only claimant, would be a bug: daemon/bus.py and
 * fuzz_relay assert that there is none, and tests/activation/test_deciders.py compares both tables to one
 * model.
 *
 * The number of entries is bounded: a connection has one call with the control plane; parked messages are
 * reports, or counted in max_pending_service_starts, as starts are. If the control plane does not take the
 * NAMED and RELEASED of a uid in time, the requests of that uid are handed up (state/report.h).
 *
 * Rejected: one flag for all names, by which a single slow call or start made every RequestName wait for
 * Python. A protocol that settles contradictions, with a change to undo in each plane. A table in the control
 * plane alone, which makes each client wait for Python once more at its start. A version number for each
 * name, which tells that a decision came too late, when clients have seen the other one.
 */

/* A well-known name and its queue; the first in the queue is the primary owner. */
struct name {
    struct table_node node; /* in registry.names */
    struct list queue;      /* of entry.in_name */
    uint32_t size;
    char text[];
};

/* An entry in the queue of a name. */
struct queue_entry {
    struct list in_name;
    struct list in_peer; /* peer.names */
    struct name *name;
    struct peer *peer;
    uint32_t flags; /* of the request that still count: for the control plane after a crash */
    uint32_t place; /* among the requests of its peer; set and read by a dump */
};

/* A name that is handed up. It may have no queue. */
struct handed {
    struct table_node node; /* in registry.handed */
    uint32_t reasons;       /* number of calls, parked messages and starts */
    uint32_t n_parked;
    bool awaited;
    uint32_t size;
    char text[];
};

/* The well-known names of the bus. A unique name is kept in its peer only. */
struct registry {
    struct policy *const *policy; /* in force */
    struct table names, handed;
    /* of all connections: their unique names, and their entries in the queues of well-known names */
    uint32_t n_claims, peak_claims;
    uint32_t peak_claims_of_one;
};

/* policy: where the policy in force is; NULL there: none is yet. */
int registry_init(struct registry *registry, struct policy *const *policy);
void registry_free(struct registry *registry);
/* Count the unique name as a claim; it is given up once. */
void registry_enter(struct registry *registry, struct peer *peer);
void registry_give_up(struct registry *registry, struct peer *peer);
struct name *registry_find(const struct registry *registry, struct span text);
struct peer *name_owner(const struct name *name); /* NULL: none */
struct peer *
name_only_claimant(const struct name *name);            /* NULL: the queue is empty, or has several entries */
void name_set_flags(struct name *name, uint32_t flags); /* of the first in the queue */
struct peer *name_second(const struct name *name);      /* the owner when the present one leaves */
struct span name_span(const struct name *name);
/* A name in no registry, with a queue of entries that have no peer yet. NULL: no memory. */
struct name *name_new(struct span text, uint32_t places);
void name_free(struct name *name);
/* Replaces the name with its queue, and takes ownership. A name with an empty queue is removed. */
void registry_state(struct registry *registry, struct name *name);
/* The same from an array, without flags. 0, or -ENOMEM with nothing changed. */
int registry_set_queue(struct registry *registry, struct span text, struct peer *const *peers, uint32_t n);
/* Removes the peer from a queue, if it is in it. A name with an empty queue is removed. */
void registry_leave_queue(struct registry *registry, struct name *name, struct peer *peer);
/* Removes the peer from all queues. Names with an empty queue are removed. */
void registry_leave(struct registry *registry, struct peer *peer);

/* Hands a name up for one more reason. NULL: no memory. */
struct handed *registry_hand_up(struct registry *registry, struct span text);
/* Ends a reason. The last one hands the name back. */
void registry_hand_back(struct registry *registry, struct handed *handed);
struct handed *registry_handed(const struct registry *registry, struct span text); /* NULL: not handed up */

/* The names by which match rules know the peer: its unique name, then the names that it owns. */
const struct span *registry_names(struct peer *peer, uint32_t *n);

#endif
