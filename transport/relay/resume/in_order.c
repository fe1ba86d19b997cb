/* SPDX-License-Identifier: MIT */
#include "resume/in_order.h"

#include <stdlib.h>

static int by_id(const void *a, const void *b)
{
    const struct peer *left = a, *right = b;
    return left->id < right->id ? -1 : left->id > right->id;
}

static int by_number(const void *a, const void *b)
{
    const struct parked *left = a, *right = b;
    return left->id < right->id ? -1 : left->id > right->id;
}

static int by_text(const void *a, const void *b)
{
    const struct handed *left = a, *right = b;
    int order = memcmp(left->text, right->text, left->size < right->size ? left->size : right->size);
    return order ? order : (left->size > right->size) - (left->size < right->size);
}

typedef int (*compare)(const void *a, const void *b);

/* An array of pointers to objects of any kind. */
static void *get_at(const void *all, uint32_t at)
{
    void *object;
    memcpy(&object, (const uint8_t *)all + at * sizeof(object), sizeof(object));
    return object;
}

static void exchange(void *all, uint32_t a, uint32_t b)
{
    const void *first = get_at(all, a), *second = get_at(all, b);
    memcpy((uint8_t *)all + a * sizeof(second), &second, sizeof(second));
    memcpy((uint8_t *)all + b * sizeof(first), &first, sizeof(first));
}

/* Moves an object down to its place in the heap of n. */
static void sift(void *all, uint32_t at, uint32_t n, compare order)
{
    for (uint32_t child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && order(get_at(all, child), get_at(all, child + 1)) < 0)
            child++;
        if (order(get_at(all, at), get_at(all, child)) >= 0)
            return;
        exchange(all, at, child);
    }
}

/* Heapsort: qsort(3) allocates from the C library's heap, which a standby does not have. */
static void sort(void *all, uint32_t n, compare order)
{
    for (uint32_t at = n / 2; at > 0; at--)
        sift(all, at - 1, n, order);
    for (uint32_t left = n; left > 1; left--) {
        exchange(all, 0, left - 1);
        sift(all, 0, left - 1, order);
    }
}

struct peer **peers_in_order(const struct bus *bus, uint32_t *n)
{
    struct peer **all = calloc((size_t)bus->peers.count + 1, sizeof(struct peer *));
    *n = 0;
    if (!all)
        return NULL;
    for (struct table_node *node = NULL; (node = table_walk(&bus->peers, node));)
        all[(*n)++] = CONTAINER_OF(node, struct peer, node);
    sort(all, *n, by_id);
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
    sort(all, *n, by_number);
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
    sort(all, *n, by_text);
    return all;
}
