/* SPDX-License-Identifier: MIT */
#include "table.h"

#include <errno.h>
#include <stdlib.h>

#define TABLE_FIRST_SIZE 64u

int table_init(struct table *table)
{
    table->buckets = calloc(TABLE_FIRST_SIZE, sizeof(*table->buckets));
    table->size = TABLE_FIRST_SIZE;
    table->count = 0;
    return table->buckets ? 0 : -ENOMEM;
}

void table_free(struct table *table)
{
    free(table->buckets);
    table->buckets = NULL;
    table->count = 0;
}

static struct table_node **bucket_of(const struct table *table, uint64_t hash)
{
    return &table->buckets[hash & (table->size - 1)];
}

static void table_grow(struct table *table)
{
    if (table->size > UINT32_MAX / 4)
        return;
    uint32_t size = table->size * 2;
    struct table_node **buckets = calloc(size, sizeof(*buckets));
    if (!buckets)
        return;
    for (uint32_t i = 0; i < table->size; i++) {
        struct table_node *node = table->buckets[i];
        while (node) {
            struct table_node *next = node->next;
            struct table_node **bucket = &buckets[node->hash & (size - 1)];
            node->next = *bucket;
            *bucket = node;
            node = next;
        }
    }
    free(table->buckets);
    table->buckets = buckets;
    table->size = size;
}

void table_insert(struct table *table, struct table_node *node, uint64_t hash)
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
        if (*at == node) {
            *at = node->next;
            node->next = NULL;
            table->count--;
            return;
        }
    }
}

static struct table_node *same_hash(struct table_node *node, uint64_t hash)
{
    while (node && node->hash != hash)
        node = node->next;
    return node;
}

struct table_node *table_first(const struct table *table, uint64_t hash)
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
    uint32_t i = node ? (uint32_t)(node->hash & (table->size - 1)) + 1 : 0;
    for (; i < table->size; i++) {
        if (table->buckets[i])
            return table->buckets[i];
    }
    return NULL;
}
