/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_POOL_H
#define OMNIBUS_POOL_H

#include "base/buffer.h"

#include <stdbool.h>

#define POOL_BYTES ((size_t)8 << 20)
#define POOL_LEAST (256u * 1024) /* smaller buffers are not kept */
#define POOL_TIME 1000           /* milliseconds that an unused buffer is kept */

/* Large buffers kept for reuse: the kernel would have to clear new ones, page by page. */
struct pool {
    struct buffer *first;
    size_t bytes;
    int64_t used; /* time of the latest take or put */
};

/*
 * Takes a buffer of at least this capacity, and not so large that a message of that size could not stay in it
 * (see outgoing.c). It returns to the pool with its last reference. NULL: the pool has none.
 */
struct buffer *pool_take(struct pool *pool, size_t capacity);
/* Makes the buffer return to the pool with its last reference. */
void pool_adopt(struct pool *pool, struct buffer *buffer);
/* Frees buffers unused for POOL_TIME. Returns the milliseconds until the next call is due; -1: none is. */
int pool_tick(struct pool *pool);
void pool_free(struct pool *pool);

#endif
