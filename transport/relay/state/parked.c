/* SPDX-License-Identifier: MIT */
#include "state/parked.h"

#include "state/peer.h"

int parking_init(struct parking *parking, struct registry *registry)
{
    parking->next = 1;
    parking->registry = registry;
    return table_init(&parking->ids);
}

void parking_free(struct parking *parking)
{
    struct table_node *node;
    while (parking->ids.buckets && (node = table_any(&parking->ids)))
        parking_remove(parking, CONTAINER_OF(node, struct parked, by_id));
    table_free(&parking->ids);
}

struct parked *parking_find(const struct parking *parking, uint64_t id)
{
    struct table_node *node = table_first(&parking->ids, hash_number(&parking->ids.key, id));
    for (; node; node = table_again(node)) {
        struct parked *parked = CONTAINER_OF(node, struct parked, by_id);
        if (parked->id == id)
            return parked;
    }
    return NULL;
}

struct parked *parking_add(struct parking *parking, struct peer *sender, struct held *held)
{
    struct parked *parked = calloc(1, sizeof(*parked));
    if (!parked || !(parked->name = registry_hand_up(parking->registry, held->m.destination))) {
        free(parked);
        held_free(held);
        return NULL;
    }
    parked->name->n_parked++;
    parked->id = parking->next++;
    parked->sender = sender;
    parked->held = held;
    list_append(&sender->calls.parked, &parked->in_sender);
    sender->calls.n_parked++;
    table_insert(&parking->ids, &parked->by_id, hash_number(&parking->ids.key, parked->id));
    return parked;
}

/* The control plane may be reading the message, so its bytes stay until the control plane answers. */
void parking_drop(struct parking *parking, struct parked *parked)
{
    if (!parked->sender)
        return;
    parked->sender->calls.n_parked--;
    parked->sender = NULL;
    list_unlink(&parked->in_sender);
    parked->name->n_parked--;
    registry_hand_back(parking->registry, parked->name);
    parked->name = NULL;
}

void parking_remove(struct parking *parking, struct parked *parked)
{
    parking_drop(parking, parked);
    table_remove(&parking->ids, &parked->by_id);
    held_free(parked->held);
    free(parked);
}
