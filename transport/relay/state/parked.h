/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_PARKED_H
#define OMNIBUS_PARKED_H

#include "base/list.h"
#include "base/table.h"
#include "state/event.h"
#include "state/held.h"
#include "state/registry.h"

struct peer;

/* A message to a name that has no owner; it waits until the control plane says what becomes of it. */
struct parked {
    struct table_node by_id; /* parking.ids */
    struct handed *name;     /* NULL as well */
    struct list in_sender;   /* peer.parked */
    uint64_t id;
    struct peer *sender; /* NULL: it is gone */
    bool shown;          /* to the monitors, if there were any */
    bool stops;          /* its sender is stopped until then */
    bool starting;       /* the control plane waits for the name; counted in parking.n_starting */
    struct held *held;
    struct event event;
};

/* What parking a message for this name costs beside the message. */
static inline uint64_t parked_cost(struct span name)
{
    return memory_cost(sizeof(struct parked)) + memory_cost(sizeof(struct handed) + name.n);
}

struct parking {
    struct table ids;
    struct registry *registry;
    uint64_t next;
    uint32_t n_starting;
};

int parking_init(struct parking *parking, struct registry *registry);
void parking_free(struct parking *parking);
struct parked *parking_find(const struct parking *parking, uint64_t id);
bool parking_has(const struct parking *parking, struct span name);
/* Takes held over; NULL: no memory, held is freed. */
struct parked *parking_add(struct parking *parking, struct peer *sender, struct held *held);
/* The sender is gone: nobody waits for the message any more; it is freed when the control plane answers. */
void parking_drop(struct parking *parking, struct parked *parked);
/* Does it wait for a name that is being started? */
void parking_set_starting(struct parking *parking, struct parked *parked, bool starting);
void parking_remove(struct parking *parking, struct parked *parked);

#endif
