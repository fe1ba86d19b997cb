/* SPDX-License-Identifier: MIT */
#include "state/catalog.h"

#include "wire/wire.h"

#include <errno.h>
#include <stdlib.h>

#define LIST_BEGIN 4u /* after the size of the array */

/* Reads a string of the list, and steps over it. False: there is none. */
static bool next_name(const struct catalog *catalog, size_t *at, struct span *name)
{
    uint32_t n;
    *at = (*at + 3) & ~(size_t)3;
    if (*at > catalog->size || catalog->size - *at < sizeof(n) + 1)
        return false;
    n = wire_load32(catalog->list + *at, WIRE_HOST_BIG_ENDIAN);
    *at += sizeof(n);
    if (n >= catalog->size - *at)
        return false;
    *name = (struct span){(const char *)catalog->list + *at, n};
    *at += (size_t)n + 1;
    return true;
}

/* The first name is the bus's own, which is listed without a file. */
static int fill(struct catalog *catalog)
{
    struct span name;
    size_t at = LIST_BEGIN, n = 0;
    while (at < catalog->size) {
        if (!next_name(catalog, &at, &name))
            return -EINVAL;
        n++;
    }
    if (n == 0 || !(catalog->entries = calloc(n, sizeof(*catalog->entries))))
        return n == 0 ? -EINVAL : -ENOMEM;
    at = LIST_BEGIN;
    next_name(catalog, &at, &name);
    for (size_t i = 1; i < n; i++) {
        struct catalog_entry *entry = &catalog->entries[i];
        next_name(catalog, &at, &entry->name);
        table_insert(&catalog->names, &entry->node, hash_text(&catalog->names.key, entry->name));
    }
    return 0;
}

int catalog_new(struct catalog **out, struct follower *follower, const uint8_t *list, size_t size)
{
    if (size < LIST_BEGIN || wire_load32(list, WIRE_HOST_BIG_ENDIAN) != size - LIST_BEGIN)
        return -EINVAL;
    struct catalog *catalog = calloc(1, sizeof(*catalog) + size);
    if (!catalog)
        return -ENOMEM;
    catalog->size = size;
    memcpy(catalog->list, list, size);
    int error = table_init(&catalog->names);
    if (error == 0)
        error = fill(catalog);
    if (error < 0) {
        catalog_free(catalog);
        return error;
    }
    catalog->follower = follower;
    *out = catalog;
    return 0;
}

void catalog_free(struct catalog *catalog)
{
    if (!catalog)
        return;
    follower_free(catalog->follower);
    table_free(&catalog->names);
    free(catalog->entries);
    free(catalog);
}

bool catalog_is_current(const struct catalog *catalog)
{
    return catalog && catalog->follower && !follower_changed(catalog->follower);
}

bool catalog_has(const struct catalog *catalog, struct span name)
{
    struct table_node *node = table_first(&catalog->names, hash_text(&catalog->names.key, name));
    for (; node; node = table_again(node)) {
        if (span_equal(CONTAINER_OF(node, struct catalog_entry, node)->name, name))
            return true;
    }
    return false;
}
