/* SPDX-License-Identifier: MIT */
#include "payload.h"

#include "process.h"

#include <stdlib.h>

#define PREFIX 12u /* the array's length and the number */

static uint8_t *pattern;

void payload_init(size_t size)
{
    free(pattern);
    pattern = malloc(size + 256);
    if (!pattern)
        die("out of memory");
    for (size_t i = 0; i < size + 256; i++)
        pattern[i] = (uint8_t)(i * 7 + (i >> 8) * 13);
}

void payload_put(struct buffer *buffer, size_t size, uint64_t number)
{
    buffer_need(buffer, size);
    uint8_t *at = buffer->data + buffer->size;
    write_u32(at, (uint32_t)size - 4);
    memcpy(at + 4, &number, sizeof(number));
    memcpy(at + PREFIX, pattern + (number & 255), size - PREFIX);
    buffer->size += size;
}

uint64_t payload_number(const struct message *m)
{
    uint64_t number;
    if (m->body_size < PREFIX)
        die("body of %u bytes", m->body_size);
    memcpy(&number, m->body + 4, sizeof(number));
    return number;
}

void payload_check(const struct message *m, size_t size, uint64_t number)
{
    if (m->body_size != size || read_u32(m->body) != size - 4)
        die("body of %u bytes, want %zu", m->body_size, size);
    if (payload_number(m) != number)
        die("LOST OR REORDERED: got number %llu, want %llu", (unsigned long long)payload_number(m),
            (unsigned long long)number);
    if (memcmp(m->body + PREFIX, pattern + (number & 255), size - PREFIX))
        die("body of number %llu altered", (unsigned long long)number);
}
