/* SPDX-License-Identifier: MIT */
#include "base/pool.h"

#include "base/clock.h"

struct buffer *pool_take(struct pool *pool, size_t capacity)
{
    struct buffer **at = &pool->first;
    while (*at && ((*at)->capacity < capacity || (*at)->capacity - capacity > capacity / 2))
        at = &(*at)->next;
    struct buffer *buffer = *at;
    if (!buffer)
        return NULL;
    *at = buffer->next;
    pool->bytes -= buffer->capacity;
    buffer->next = NULL;
    buffer->references = 1;
    return buffer;
}

void pool_adopt(struct pool *pool, struct buffer *buffer)
{
    if (buffer->capacity >= POOL_LEAST && buffer->capacity <= POOL_BYTES)
        buffer->pool = pool;
}

/* The latest buffer is the likeliest to be needed again, so older ones make room for it. */
void pool_put(struct pool *pool, struct buffer *buffer)
{
    if (buffer->capacity > POOL_BYTES) {
        free(buffer);
        return;
    }
    if (buffer->capacity > POOL_BYTES - pool->bytes)
        pool_free(pool);
    pool->bytes += buffer->capacity;
    buffer->next = pool->first;
    pool->first = buffer;
    pool->used = clock_now();
}

int pool_tick(struct pool *pool)
{
    if (!pool->first)
        return -1;
    int64_t idle = clock_now() - pool->used;
    if (idle < POOL_TIME)
        return (int)(POOL_TIME - idle);
    pool_free(pool);
    return -1;
}

void pool_free(struct pool *pool)
{
    while (pool->first) {
        struct buffer *buffer = pool->first;
        pool->first = buffer->next;
        free(buffer);
    }
    pool->bytes = 0;
}
