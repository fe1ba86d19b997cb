/* SPDX-License-Identifier: MIT */
#ifndef BUSBENCH_WIRE_H
#define BUSBENCH_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* The wire format as far as the benchmark needs it, little endian. */

enum message_type { CALL = 1, RETURN = 2, ERROR = 3, SIGNAL = 4 };

#define NO_REPLY 1
#define SERIAL_AT 8        /* offset of the serial in a written header */
#define REPLY_SERIAL_AT 20 /* and of the reply serial, if present */

struct buffer {
    uint8_t *data;
    size_t size, capacity;
};

void buffer_need(struct buffer *buffer, size_t size);
void buffer_put(struct buffer *buffer, const void *data, size_t size);
void buffer_u32(struct buffer *buffer, uint32_t value);
void buffer_string(struct buffer *buffer, const char *text);

struct header { /* NULL, 0: absent */
    enum message_type type;
    uint8_t flags;
    uint32_t reply_serial, unix_fds, body_size;
    const char *path, *interface, *member, *error, *destination, *sender, *signature;
};

void header_write(struct buffer *buffer, const struct header *header); /* replaces the buffer's content */

struct message {
    uint8_t type, flags;
    uint32_t serial, reply_serial, body_size;
    const char *path, *interface, *member, *error, *destination, *sender, *signature;
    const uint8_t *body;
    size_t size;
};

/* False if the message is incomplete; *want is the number of bytes known to be needed. Dies if malformed. */
bool message_parse(struct message *message, const uint8_t *data, size_t size, size_t *want);

static inline uint32_t read_u32(const uint8_t *data)
{
    uint32_t value;
    memcpy(&value, data, sizeof(value));
    return value;
}

static inline void write_u32(uint8_t *data, uint32_t value)
{
    memcpy(data, &value, sizeof(value));
}

static inline bool same(const char *a, const char *b)
{
    return a && b && !strcmp(a, b);
}

static inline const char *shown(const char *text)
{
    return text ? text : "-";
}

/* The text of an error's body. */
static inline const char *message_text(const struct message *message)
{
    return message->body_size > 4 ? (const char *)message->body + 4 : "";
}

#endif
