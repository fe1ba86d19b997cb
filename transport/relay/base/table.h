/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_TABLE_H
#define OMNIBUS_TABLE_H

#include "base/hash.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * A chained hash table whose nodes live in the objects that they index; the caller tests equality. It grows
 * and shrinks by one bucket at a time (linear hashing), so no insertion or removal pays for all nodes: a
 * rehash of a million would stop the bus for 50 ms.
 */
struct table_node {
    struct table_node *next;
    struct hash hash;
};

struct table {
    struct table_node **buckets;
    struct hash_key key;
    uint32_t size; /* number of buckets in use */
    uint32_t mask; /* for the bits of a hash: the least 2^n - 1 that covers all buckets */
    uint32_t capacity;
    uint32_t count;
};

int table_init(struct table *table);  /* 0, -ENOMEM, or the negative errno of getrandom */
void table_free(struct table *table); /* the nodes remain the caller's */
/* Never fails: without memory to grow, chains become longer. */
void table_insert(struct table *table, struct table_node *node, struct hash hash);
void table_remove(struct table *table, struct table_node *node);
/* Any node; NULL: the table is empty. Removing nodes one after the other takes one pass over the buckets. */
struct table_node *table_any(struct table *table);
/* Iterate over the nodes of one hash; NULL: no more. */
struct table_node *table_first(const struct table *table, struct hash hash);
struct table_node *table_again(const struct table_node *node);
/* Iterates over all nodes, in no order; NULL starts and ends. The table must not change meanwhile. */
struct table_node *table_walk(const struct table *table, const struct table_node *node);

#define CONTAINER_OF(pointer, type, member) ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

#endif
