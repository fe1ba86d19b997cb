/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_PARKED_H
#define OMNIBUS_PARKED_H

#include "base/list.h"
#include "base/table.h"
#include "state/event.h"
#include "state/held.h"
#include "state/registry.h"

struct peer;

/* A message to a name without owner, which waits for the decision of the control plane. */
struct parked {
    struct table_node by_id; /* parking.ids */
    struct handed *name;     /* NULL likewise */
    struct list in_sender;   /* peer.parked */
    uint64_t id;
    struct peer *sender; /* NULL: it is gone */
    bool shown;          /* monitors, if any, have seen it */
    bool stops;          /* its sender is stopped until the decision */
    uint32_t outcome;    /* enum policy_outcome when it was reported; 0: no memory */
    struct held *held;
    struct event event;
};

/* The cost of parking a message for a name, besides the message. */
static inline uint64_t parked_cost(struct span name)
{
    return memory_cost(sizeof(struct parked)) + memory_cost(sizeof(struct handed) + name.n);
}

struct parking {
    struct table ids;
    struct registry *registry;
    uint64_t next;
    uint32_t n_starting; /* parties that wait for services being started, as the control plane counts them */
};

int parking_init(struct parking *parking, struct registry *registry);
void parking_free(struct parking *parking);
struct parked *parking_find(const struct parking *parking, uint64_t id);
static inline bool parking_has(const struct parking *parking, struct span name)
{
    const struct handed *handed = parking->ids.count > 0 ? registry_handed(parking->registry, name) : NULL;
    return handed && handed->n_parked > 0;
}
/* Takes ownership of held. NULL: no memory, held is freed. */
struct parked *parking_add(struct parking *parking, struct peer *sender, struct held *held);
/* Detaches a parked message from its sender, which is gone. It is freed when the control plane answers. */
void parking_drop(struct parking *parking, struct parked *parked);
void parking_remove(struct parking *parking, struct parked *parked);

#endif
