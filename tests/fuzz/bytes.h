/* SPDX-License-Identifier: MIT */
#ifndef FUZZ_BYTES_H
#define FUZZ_BYTES_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* A queue of bytes. A failed allocation ends the program. */
struct bytes {
    uint8_t *data;
    size_t size, capacity;
};

static inline uint8_t *bytes_room(struct bytes *b, size_t n)
{
    if (b->capacity - b->size < n) {
        size_t capacity = 2 * b->capacity + n + 256;
        uint8_t *data = realloc(b->data, capacity);
        if (!data)
            abort();
        b->data = data;
        b->capacity = capacity;
    }
    return b->data + b->size;
}

static inline void bytes_add(struct bytes *b, const void *from, size_t n)
{
    if (n > 0)
        memcpy(bytes_room(b, n), from, n);
    b->size += n;
}

static inline void bytes_zero(struct bytes *b, size_t n)
{
    memset(bytes_room(b, n ? n : 1), 0, n);
    b->size += n;
}

static inline void bytes_align(struct bytes *b, size_t to)
{
    bytes_zero(b, -b->size & (to - 1));
}

static inline void bytes_drop(struct bytes *b, size_t n)
{
    b->size -= n;
    if (n > 0 && b->size > 0)
        memmove(b->data, b->data + n, b->size);
}

static inline void bytes_free(struct bytes *b)
{
    free(b->data);
    *b = (struct bytes){0};
}

#endif
