/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_BUFFER_H
#define OMNIBUS_BUFFER_H

#include "base/account.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

struct pool;

/* Received bytes. The connection owns them; messages on their way out may share them. */
struct buffer {
    uint32_t references;
    size_t capacity;
    struct pool *pool;   /* receives the buffer with its last reference; NULL: it is freed */
    struct buffer *next; /* in the pool */
    uint8_t data[];
};

/*
 * Resizes a buffer, or allocates one, with its contents kept. The buffer must not be shared. NULL: no memory.
 */
static inline struct buffer *buffer_grow(struct buffer *buffer, size_t capacity)
{
    if (capacity > SIZE_MAX - sizeof(*buffer))
        return NULL;
    struct buffer *grown = realloc(buffer, sizeof(*buffer) + capacity);
    if (!grown)
        return NULL;
    if (!buffer)
        grown->pool = NULL;
    grown->references = 1;
    grown->capacity = capacity;
    return grown;
}

/* The memory that the buffer uses, filled or not. */
static inline uint64_t buffer_cost(const struct buffer *buffer)
{
    return buffer ? memory_cost(sizeof(*buffer) + buffer->capacity) : 0;
}

static inline struct buffer *buffer_ref(struct buffer *buffer)
{
    if (buffer)
        buffer->references++;
    return buffer;
}

void pool_put(struct pool *pool, struct buffer *buffer);

static inline void buffer_unref(struct buffer *buffer)
{
    if (!buffer || --buffer->references > 0)
        return;
    if (buffer->pool)
        pool_put(buffer->pool, buffer);
    else
        free(buffer);
}

#endif
