/* SPDX-License-Identifier: MIT */
#include "state/parked.h"

#include "state/peer.h"

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

static struct parked_name *name_find(const struct parking *parking, struct span text)
{
    struct table_node *node = table_first(&parking->names, hash_text(&parking->names.key, text));
    for (; node; node = table_again(node)) {
        struct parked_name *name = CONTAINER_OF(node, struct parked_name, node);
        if (span_equal((struct span){name->text, name->size}, text))
            return name;
    }
    return NULL;
}

bool parking_has(const struct parking *parking, struct span name)
{
    return parking->names.count > 0 && name_find(parking, name);
}

/* NULL: no memory */
static struct parked_name *name_take(struct parking *parking, struct span text)
{
    struct parked_name *name = name_find(parking, text);
    if (!name && (name = calloc(1, sizeof(*name) + text.n))) {
        name->size = text.n;
        memcpy(name->text, text.s, text.n);
        table_insert(&parking->names, &name->node, hash_text(&parking->names.key, text));
    }
    if (name)
        name->count++;
    return name;
}

static void name_release(struct parking *parking, struct parked_name *name)
{
    if (--name->count > 0)
        return;
    table_remove(&parking->names, &name->node);
    free(name);
}

struct parked *parking_add(struct parking *parking, struct peer *sender, struct held *held)
{
    struct parked *parked = calloc(1, sizeof(*parked));
    if (!parked || !(parked->name = name_take(parking, held->m.destination))) {
        free(parked);
        held_free(held);
        return NULL;
    }
    parked->id = parking->next++;
    parked->sender = sender;
    parked->held = held;
    list_append(&sender->calls.parked, &parked->in_sender);
    sender->calls.n_parked++;
    table_insert(&parking->ids, &parked->by_id, hash_number(&parking->ids.key, parked->id));
    return parked;
}

/* The control plane may still be reading the message, so its bytes stay until it answers. */
void parking_drop(struct parking *parking, struct parked *parked)
{
    if (!parked->sender)
        return;
    parked->sender->calls.n_parked--;
    parked->sender = NULL;
    list_unlink(&parked->in_sender);
    name_release(parking, parked->name);
    parked->name = NULL;
}

void parking_set_starting(struct parking *parking, struct parked *parked, bool starting)
{
    parking->n_starting += (uint32_t)starting - (uint32_t)parked->starting;
    parked->starting = starting;
}

void parking_remove(struct parking *parking, struct parked *parked)
{
    parking_set_starting(parking, parked, false);
    parking_drop(parking, parked);
    table_remove(&parking->ids, &parked->by_id);
    held_free(parked->held);
    free(parked);
}
