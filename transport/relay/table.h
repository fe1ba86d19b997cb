/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_TABLE_H
#define OMNIBUS_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A chained hash table whose nodes live in the objects that they index; equality is the caller's. */
struct table_node {
    struct table_node *next;
    uint64_t hash;
};

struct table {
    struct table_node **buckets;
    uint32_t size; /* of buckets, a power of two */
    uint32_t count;
};

int table_init(struct table *table);  /* 0 or -ENOMEM */
void table_free(struct table *table); /* the nodes are the caller's */
/* Never fails: a table that can't grow gets longer chains. */
void table_insert(struct table *table, struct table_node *node, uint64_t hash);
void table_remove(struct table *table, struct table_node *node);
/* The nodes of one hash, one after the other; NULL: no more. */
struct table_node *table_first(const struct table *table, uint64_t hash);
struct table_node *table_again(const struct table_node *node);
/* All nodes, in no order; NULL starts and ends. The table must not change meanwhile. */
struct table_node *table_walk(const struct table *table, const struct table_node *node);

static inline uint64_t hash_u64(uint64_t x)
{
    x = (x ^ (x >> 32)) * 0x9e3779b97f4a7c15u;
    return x ^ (x >> 29);
}

#define CONTAINER_OF(pointer, type, member) ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

#endif
