/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_BUFFER_H
#define OMNIBUS_BUFFER_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

/* Bytes that a connection owns until messages on their way out need them too. */
struct buffer {
    uint32_t references;
    size_t capacity;
    uint8_t data[];
};

/* Room for capacity bytes; what buffer holds stays. Only for a buffer that nobody shares. NULL: no memory. */
static inline struct buffer *buffer_grow(struct buffer *buffer, size_t capacity)
{
    if (capacity > SIZE_MAX - sizeof(*buffer))
        return NULL;
    struct buffer *grown = realloc(buffer, sizeof(*buffer) + capacity);
    if (!grown)
        return NULL;
    grown->references = 1;
    grown->capacity = capacity;
    return grown;
}

static inline struct buffer *buffer_ref(struct buffer *buffer)
{
    if (buffer)
        buffer->references++;
    return buffer;
}

static inline void buffer_unref(struct buffer *buffer)
{
    if (buffer && --buffer->references == 0)
        free(buffer);
}

#endif
