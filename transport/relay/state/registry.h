/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_REGISTRY_H
#define OMNIBUS_REGISTRY_H

#include "base/list.h"
#include "base/span.h"
#include "base/table.h"

struct peer;

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

/* What the control plane last said of names. Unique names are not in it: a peer has its own. */
struct registry {
    struct table names;
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
/* Replaces the queue of a name; a name without queue is dropped. 0 or -ENOMEM: then all is as before. */
int registry_set_queue(struct registry *registry, struct span text, struct peer *const *peers, uint32_t n);
/* Takes the peer out of the queue, if it is in it; a name without queue is dropped. */
void registry_leave_queue(struct registry *registry, struct name *name, struct peer *peer);
/* Leaves all queues that it is in; names without queue are dropped. */
void registry_leave(struct registry *registry, struct peer *peer);

/* The unique name, then the names that the peer owns: what match rules know it by. */
const struct span *registry_names(struct peer *peer, uint32_t *n);

#endif
