/* SPDX-License-Identifier: MIT */
#include "wire.h"

#include "process.h"

#include <stdlib.h>

enum field {
    PATH = 1,
    INTERFACE,
    MEMBER,
    ERROR_NAME,
    REPLY_SERIAL,
    DESTINATION,
    SENDER,
    SIGNATURE,
    UNIX_FDS
};

#define FIXED_SIZE 16u
#define MAX_FIELDS (1u << 20)
#define MAX_BODY (1u << 27)

void buffer_need(struct buffer *buffer, size_t size)
{
    if (buffer->size + size <= buffer->capacity)
        return;
    buffer->capacity = (buffer->size + size) * 2;
    buffer->data = realloc(buffer->data, buffer->capacity);
    if (!buffer->data)
        die("out of memory");
}

void buffer_put(struct buffer *buffer, const void *data, size_t size)
{
    buffer_need(buffer, size);
    memcpy(buffer->data + buffer->size, data, size);
    buffer->size += size;
}

static void align(struct buffer *buffer, size_t to)
{
    static const uint8_t zeros[8];
    buffer_put(buffer, zeros, -buffer->size % to);
}

static void put_byte(struct buffer *buffer, uint8_t value)
{
    buffer_put(buffer, &value, 1);
}

void buffer_u32(struct buffer *buffer, uint32_t value)
{
    align(buffer, 4);
    buffer_put(buffer, &value, sizeof(value));
}

void buffer_string(struct buffer *buffer, const char *text)
{
    buffer_u32(buffer, (uint32_t)strlen(text));
    buffer_put(buffer, text, strlen(text) + 1);
}

static void put_signature(struct buffer *buffer, const char *signature)
{
    put_byte(buffer, (uint8_t)strlen(signature));
    buffer_put(buffer, signature, strlen(signature) + 1);
}

static void put_field(struct buffer *buffer, enum field field, const char *type, const char *value)
{
    if (!value)
        return;
    align(buffer, 8);
    put_byte(buffer, (uint8_t)field);
    put_signature(buffer, type);
    if (*type == 'g')
        put_signature(buffer, value);
    else
        buffer_string(buffer, value);
}

static void put_number(struct buffer *buffer, enum field field, uint32_t value)
{
    if (!value)
        return;
    align(buffer, 8);
    put_byte(buffer, (uint8_t)field);
    put_signature(buffer, "u");
    buffer_u32(buffer, value);
}

void header_write(struct buffer *buffer, const struct header *header)
{
    buffer->size = 0;
    put_byte(buffer, 'l');
    put_byte(buffer, (uint8_t)header->type);
    put_byte(buffer, header->flags);
    put_byte(buffer, 1);
    buffer_u32(buffer, header->body_size);
    buffer_u32(buffer, 1);
    buffer_u32(buffer, 0);
    put_number(buffer, REPLY_SERIAL, header->reply_serial);
    put_field(buffer, PATH, "o", header->path);
    put_field(buffer, INTERFACE, "s", header->interface);
    put_field(buffer, MEMBER, "s", header->member);
    put_field(buffer, ERROR_NAME, "s", header->error);
    put_field(buffer, DESTINATION, "s", header->destination);
    put_field(buffer, SENDER, "s", header->sender);
    put_field(buffer, SIGNATURE, "g", header->signature);
    put_number(buffer, UNIX_FDS, header->unix_fds);
    write_u32(buffer->data + 12, (uint32_t)(buffer->size - FIXED_SIZE));
    align(buffer, 8);
}

static const char **slot(struct message *m, uint8_t field)
{
    static const char *other;
    switch (field) {
    case PATH:
        return &m->path;
    case INTERFACE:
        return &m->interface;
    case MEMBER:
        return &m->member;
    case ERROR_NAME:
        return &m->error;
    case DESTINATION:
        return &m->destination;
    case SENDER:
        return &m->sender;
    case SIGNATURE:
        return &m->signature;
    default:
        return &other;
    }
}

/* Parses the field at `at`, and returns the offset behind it. */
static size_t parse_field(struct message *m, const uint8_t *data, size_t at, size_t end)
{
    if (at + 5 > end)
        die("truncated header field");
    uint8_t field = data[at];
    char type = (char)data[at + 2];
    if (data[at + 1] != 1 || data[at + 3])
        die("header field %u: odd signature", field);
    at += 4;
    if (type != 'g' && at + 4 > end)
        die("truncated header field");
    if (type == 'u') {
        if (field == REPLY_SERIAL)
            m->reply_serial = read_u32(data + at);
        return at + 4;
    }
    if (type != 'g' && type != 's' && type != 'o')
        die("header field %u: type %c", field, type);
    size_t size = type == 'g' ? data[at] : read_u32(data + at);
    at += type == 'g' ? 1 : 4;
    if (size >= end || at + size + 1 > end || data[at + size])
        die("header field %u: bad string", field);
    *slot(m, field) = (const char *)data + at;
    return at + size + 1;
}

bool message_parse(struct message *message, const uint8_t *data, size_t size, size_t *want)
{
    *want = FIXED_SIZE;
    if (size < FIXED_SIZE)
        return false;
    if (data[0] != 'l' || data[3] != 1)
        die("bad header (endian 0x%02x version %u)", data[0], data[3]);
    uint32_t body = read_u32(data + 4), fields = read_u32(data + 12);
    if (fields > MAX_FIELDS || body > MAX_BODY)
        die("implausible message length (%u fields, %u body)", fields, body);
    size_t header = (FIXED_SIZE + (size_t)fields + 7) & ~(size_t)7;
    *want = header + body;
    if (size < *want)
        return false;
    *message = (struct message){.type = data[1],
                                .flags = data[2],
                                .serial = read_u32(data + SERIAL_AT),
                                .body_size = body,
                                .body = data + header,
                                .size = header + body};
    if (!message->serial)
        die("message with serial 0");
    size_t at = FIXED_SIZE;
    while (at < FIXED_SIZE + fields)
        at = parse_field(message, data, (at + 7) & ~(size_t)7, FIXED_SIZE + fields);
    return true;
}
