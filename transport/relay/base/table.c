/* SPDX-License-Identifier: MIT */
#include "base/table.h"

#include <errno.h>
#include <stdlib.h>

#define TABLE_SIZE_MIN 64u
#define TABLE_SIZE_MAX (1u << 28)

int table_init(struct table *table)
{
    *table = (struct table){0};
    int error = hash_key_draw(&table->key);
    if (error < 0)
        return error;
    table->buckets = calloc(TABLE_SIZE_MIN, sizeof(*table->buckets));
    table->size = table->capacity = TABLE_SIZE_MIN;
    table->mask = TABLE_SIZE_MIN - 1;
    return table->buckets ? 0 : -ENOMEM;
}

void table_free(struct table *table)
{
    free(table->buckets);
    table->buckets = NULL;
    table->count = 0;
}

/* Nodes of buckets that do not exist yet are in the buckets that will be split for them. */
static inline uint32_t index_of(const struct table *table, struct hash hash)
{
    uint32_t i = (uint32_t)hash.bits & table->mask;
    return i < table->size ? i : i & (table->mask >> 1);
}

static struct table_node **bucket_of(const struct table *table, struct hash hash)
{
    return &table->buckets[index_of(table, hash)];
}

/* glibc moves the pages of large arrays instead of copying them. */
static bool resize(struct table *table, uint32_t capacity)
{
    struct table_node **buckets = realloc(table->buckets, capacity * sizeof(*buckets));
    if (!buckets)
        return false;
    table->buckets = buckets;
    table->capacity = capacity;
    return true;
}

/* Adds a bucket, splitting an existing one. */
static void table_grow(struct table *table)
{
    if (table->size == table->capacity &&
        (table->size == TABLE_SIZE_MAX || !resize(table, 2 * table->capacity)))
        return;
    if (table->size > table->mask)
        table->mask = 2 * table->mask + 1;
    struct table_node **to = &table->buckets[table->size];
    struct table_node **from = &table->buckets[table->size & (table->mask >> 1)];
    table->size++;
    *to = NULL;
    while (*from) {
        struct table_node *node = *from;
        if (bucket_of(table, node->hash) != to) {
            from = &node->next;
            continue;
        }
        *from = node->next;
        node->next = *to;
        *to = node;
    }
}

/* Removes the last bucket and merges its nodes into the bucket that it was split from. */
static void shrink(struct table *table)
{
    if (table->size == TABLE_SIZE_MIN)
        return;
    struct table_node *last = table->buckets[--table->size];
    if (table->size <= table->mask >> 1)
        table->mask >>= 1;
    if (last) {
        struct table_node **end = bucket_of(table, last->hash);
        while (*end)
            end = &(*end)->next;
        *end = last;
    }
    if (table->size <= table->capacity / 4)
        resize(table, table->capacity / 2);
}

void table_insert(struct table *table, struct table_node *node, struct hash hash)
{
    if (table->count >= table->size)
        table_grow(table);
    struct table_node **bucket = bucket_of(table, hash);
    node->hash = hash;
    node->next = *bucket;
    *bucket = node;
    table->count++;
}

void table_remove(struct table *table, struct table_node *node)
{
    for (struct table_node **at = bucket_of(table, node->hash); *at; at = &(*at)->next) {
        if (*at != node)
            continue;
        *at = node->next;
        node->next = NULL;
        table->count--;
        /* two buckets, as one per removal would not keep up */
        for (int i = 0; i < 2 && table->count < table->size / 2; i++)
            shrink(table);
        return;
    }
}

struct table_node *table_any(struct table *table)
{
    uint32_t last = table->size - 1;
    if (table->count == 0)
        return NULL;
    for (; !table->buckets[last]; last--) {
        if (table->size > TABLE_SIZE_MIN)
            shrink(table);
    }
    return table->buckets[last];
}

static struct table_node *same_hash(struct table_node *node, struct hash hash)
{
    while (node && node->hash.bits != hash.bits)
        node = node->next;
    return node;
}

struct table_node *table_first(const struct table *table, struct hash hash)
{
    return same_hash(*bucket_of(table, hash), hash);
}

struct table_node *table_again(const struct table_node *node)
{
    return same_hash(node->next, node->hash);
}

struct table_node *table_walk(const struct table *table, const struct table_node *node)
{
    if (node && node->next)
        return node->next;
    for (uint32_t i = node ? index_of(table, node->hash) + 1 : 0; i < table->size; i++) {
        if (table->buckets[i])
            return table->buckets[i];
    }
    return NULL;
}
