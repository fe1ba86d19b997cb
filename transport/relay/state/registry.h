/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_REGISTRY_H
#define OMNIBUS_REGISTRY_H

#include "base/list.h"
#include "base/span.h"
#include "base/table.h"

struct peer;

/*
 * Well-known names, and which plane decides about each.
 *
 * Both planes have a table of names and their queues: this one says where messages go, daemon/names.py also
 * knows the flags of each request. Events and commands take their time, so either table may be behind the
 * other. That they never contradict each other follows from this: at any moment one plane alone may change a
 * name.
 *
 * The control plane may while the name is handed up (struct handed), that is while
 *   - a call of the driver about it, by its first argument, is with the control plane: from before the event
 *     until after relay_resume or relay_forget,
 *   - a message is parked for it, until that is delivered, rejected or dropped with its sender,
 *   - it is awaited: a service that will own it is being started (relay_await_name).
 * Otherwise the data plane may, and makes two changes only (route/claim.c): a name without a queue goes to
 * the peer that requests it, and the only peer in a queue leaves it on request. A name that others wait for
 * allows neither. Nor does one whose owner is lost or has asked to become a monitor, for such a peer makes no
 * requests; so the control plane may take these out of their queues without a call.
 *
 * Why that is enough: both ways between the planes keep their order. NAMED and RELEASED are events at the
 * moment of the change, and nothing overtakes them; so when the control plane handles a call it knows of all
 * that was changed here before that call was handed up, and nothing is changed here after that. The queue on
 * which it decides is commanded before the end of the call, which hands the name back. That command brings
 * its memory along (name_new), so it cannot fail here. A NAMED for a name that has an owner in
 * daemon/names.py, or a RELEASED by another than its only claimant, would be a bug: daemon/bus.py asserts
 * that there is none, fuzz_relay does, and tests/activation/test_deciders.py compares both tables to one
 * model.
 *
 * What bounds the entries: a connection has one call with the control plane; parked messages are reports, or
 * counted in max_pending_service_starts, as starts are. A uid whose NAMED and RELEASED the control plane does
 * not take in time has its requests handed up (state/report.h).
 *
 * Rejected: one flag for all names, by which a single slow call or start made every RequestName wait for
 * Python. A protocol that settles contradictions, with a change to undo in each plane. A table in the control
 * plane alone: a client that starts would wait for Python once more. Numbers of version for each name: they
 * say that a decision came too late, but clients have seen the other one by then.
 */

/* A well-known name and its queue; the first in the queue is the primary owner. */
struct name {
    struct table_node node; /* in registry.names */
    struct list queue;      /* of membership.in_name */
    uint32_t size;
    char text[];
};

/* One place in the queue of a name. */
struct membership {
    struct list in_name;
    struct list in_peer; /* peer.names */
    struct name *name;
    struct peer *peer;
};

/* A name that is handed up. It may have no queue. */
struct handed {
    struct table_node node; /* in registry.handed */
    uint32_t reasons;       /* calls, messages that are parked, and a start */
    uint32_t n_parked;
    bool awaited;
    uint32_t size;
    char text[];
};

/* Well-known names. Unique names are not in it: a peer has its own. */
struct registry {
    struct table names, handed;
    /* of all connections together: their unique names, and their places in the queues of others */
    uint32_t n_claims, peak_claims;
    uint32_t peak_claims_of_one;
};

int registry_init(struct registry *registry);
void registry_free(struct registry *registry);
/* The unique name counts as well; it is given up only once. */
void registry_enter(struct registry *registry, struct peer *peer);
void registry_give_up(struct registry *registry, struct peer *peer);
struct name *registry_find(const struct registry *registry, struct span text);
struct peer *name_owner(const struct name *name);         /* NULL: nobody */
struct peer *name_only_claimant(const struct name *name); /* NULL: nobody is in its queue, or several are */
struct peer *name_second(const struct name *name);        /* that is the owner when the owner leaves */
struct span name_span(const struct name *name);
/* A name of no registry, with so many places in its queue that no peer has yet; NULL: no memory. */
struct name *name_new(struct span text, uint32_t places);
void name_free(struct name *name);
/* The name's queue from now on; takes it over. Without a queue the name is dropped. */
void registry_state(struct registry *registry, struct name *name);
/* The same from an array. 0 or -ENOMEM: then all is as before. */
int registry_set_queue(struct registry *registry, struct span text, struct peer *const *peers, uint32_t n);
/* Takes the peer out of the queue, if it is in it; a name without queue is dropped. */
void registry_leave_queue(struct registry *registry, struct name *name, struct peer *peer);
/* Leaves all queues that it is in; names without queue are dropped. */
void registry_leave(struct registry *registry, struct peer *peer);

/* Hands a name up for one reason more; NULL: no memory. */
struct handed *registry_hand_up(struct registry *registry, struct span text);
/* Ends one reason, the last of which hands the name back. */
void registry_hand_back(struct registry *registry, struct handed *handed);
struct handed *registry_handed(const struct registry *registry, struct span text); /* NULL: it is not */

/* The unique name, then the names that the peer owns: what match rules know it by. */
const struct span *registry_names(struct peer *peer, uint32_t *n);

#endif
