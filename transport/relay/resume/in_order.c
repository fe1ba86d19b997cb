/* SPDX-License-Identifier: MIT */
#include "resume/in_order.h"

#include <stdlib.h>

static int by_id(const void *a, const void *b)
{
    const struct peer *left = *(struct peer *const *)a, *right = *(struct peer *const *)b;
    return left->id < right->id ? -1 : left->id > right->id;
}

static int by_number(const void *a, const void *b)
{
    const struct parked *left = *(struct parked *const *)a, *right = *(struct parked *const *)b;
    return left->id < right->id ? -1 : left->id > right->id;
}

static int by_text(const void *a, const void *b)
{
    const struct handed *left = *(struct handed *const *)a, *right = *(struct handed *const *)b;
    int order = memcmp(left->text, right->text, left->size < right->size ? left->size : right->size);
    return order ? order : (left->size > right->size) - (left->size < right->size);
}

struct peer **peers_in_order(const struct bus *bus, uint32_t *n)
{
    struct peer **all = calloc((size_t)bus->peers.count + 1, sizeof(struct peer *));
    *n = 0;
    if (!all)
        return NULL;
    for (struct table_node *node = NULL; (node = table_walk(&bus->peers, node));)
        all[(*n)++] = CONTAINER_OF(node, struct peer, node);
    qsort(all, *n, sizeof(struct peer *), by_id);
    return all;
}

struct parked **parked_in_order(const struct bus *bus, uint32_t *n)
{
    const struct table *ids = &bus->parking.ids;
    struct parked **all = calloc((size_t)ids->count + 1, sizeof(struct parked *));
    *n = 0;
    if (!all)
        return NULL;
    for (struct table_node *node = NULL; (node = table_walk(ids, node));) {
        struct parked *parked = CONTAINER_OF(node, struct parked, by_id);
        if (parked->sender)
            all[(*n)++] = parked;
    }
    qsort(all, *n, sizeof(struct parked *), by_number);
    return all;
}

struct handed **awaited_in_order(const struct bus *bus, uint32_t *n)
{
    const struct table *names = &bus->registry.handed;
    struct handed **all = calloc((size_t)names->count + 1, sizeof(struct handed *));
    *n = 0;
    if (!all)
        return NULL;
    for (struct table_node *node = NULL; (node = table_walk(names, node));) {
        struct handed *handed = CONTAINER_OF(node, struct handed, node);
        if (handed->awaited)
            all[(*n)++] = handed;
    }
    qsort(all, *n, sizeof(struct handed *), by_text);
    return all;
}
