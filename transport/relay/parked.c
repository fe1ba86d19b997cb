/* SPDX-License-Identifier: MIT */
#include "parked.h"

#include "peer.h"

int parking_init(struct parking *parking)
{
    parking->next = 1;
    if (table_init(&parking->ids) < 0)
        return -1;
    return table_init(&parking->names);
}

void parking_free(struct parking *parking)
{
    struct table_node *node;
    while (parking->ids.buckets && (node = table_any(&parking->ids)))
        parking_remove(parking, CONTAINER_OF(node, struct parked, by_id));
    table_free(&parking->ids);
    table_free(&parking->names);
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

bool parking_has(const struct parking *parking, struct span name)
{
    if (parking->names.count == 0)
        return false;
    struct table_node *node = table_first(&parking->names, hash_text(&parking->names.key, name));
    for (; node; node = table_again(node)) {
        if (span_equal(CONTAINER_OF(node, struct parked, by_name)->held->m.destination, name))
            return true;
    }
    return false;
}

struct parked *parking_add(struct parking *parking, struct peer *sender, struct held *held)
{
    struct parked *parked = calloc(1, sizeof(*parked));
    if (!parked) {
        held_free(held);
        return NULL;
    }
    parked->id = parking->next++;
    parked->sender = sender;
    parked->held = held;
    list_append(&sender->parked, &parked->in_sender);
    sender->n_parked++;
    table_insert(&parking->ids, &parked->by_id, hash_number(&parking->ids.key, parked->id));
    table_insert(&parking->names, &parked->by_name, hash_text(&parking->names.key, held->m.destination));
    return parked;
}

/* The control plane may still be reading the message, so its bytes stay until it answers. */
void parking_drop(struct parking *parking, struct parked *parked)
{
    if (!parked->sender)
        return;
    parked->sender->n_parked--;
    parked->sender = NULL;
    list_unlink(&parked->in_sender);
    table_remove(&parking->names, &parked->by_name);
}

void parking_remove(struct parking *parking, struct parked *parked)
{
    parking_drop(parking, parked);
    table_remove(&parking->ids, &parked->by_id);
    held_free(parked->held);
    free(parked);
}
