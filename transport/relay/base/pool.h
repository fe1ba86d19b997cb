/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_POOL_H
#define OMNIBUS_POOL_H

#include "base/buffer.h"

#include <stdbool.h>

#define POOL_BYTES ((size_t)8 << 20)
#define POOL_LEAST (256u * 1024) /* smaller buffers are not worth it */
#define POOL_TIME 1000           /* milliseconds that they are kept unused */

/* Large buffers that were in use: what the kernel gives anew it has to clear, page by page. */
struct pool {
    struct buffer *first;
    size_t bytes;
    int64_t used; /* when one was taken or put back */
};

/*
 * One of at least this capacity, and not so large that a message of that size could not stay in it (see
 * outgoing.c); it comes back with its last reference. NULL: there is none.
 */
struct buffer *pool_take(struct pool *pool, size_t capacity);
/* From now on its last reference puts this buffer into the pool. */
void pool_adopt(struct pool *pool, struct buffer *buffer);
/* Milliseconds until the next look; -1: none is needed. */
int pool_tick(struct pool *pool);
void pool_free(struct pool *pool);

#endif
