/* SPDX-License-Identifier: MIT */
#include "wire.h"

static uint32_t swap_if(bool big, uint32_t value)
{
    return big ? __builtin_bswap32(value) : value;
}

uint32_t wire_u32(const uint8_t *at, bool big)
{
    uint32_t value;
    memcpy(&value, at, 4);
    return swap_if(big, value);
}

void wire_put_u32(struct bytes *b, bool big, uint32_t value)
{
    bytes_align(b, 4);
    value = swap_if(big, value);
    bytes_add(b, &value, 4);
}

void wire_put_string(struct bytes *b, bool big, const char *text)
{
    uint32_t n = (uint32_t)strlen(text);
    wire_put_u32(b, big, n);
    bytes_add(b, text, n + 1);
}

static void put_field(struct bytes *b, uint8_t code, char type)
{
    const uint8_t head[4] = {code, 1, (uint8_t)type, 0};
    bytes_align(b, 8);
    bytes_add(b, head, sizeof(head));
}

static void put_text(struct bytes *b, bool big, uint8_t code, const char *text)
{
    if (!text)
        return;
    bool path = code == WIRE_PATH || code == WIRE_CONTAINER_INSTANCE;
    put_field(b, code, path ? 'o' : code == WIRE_SIGNATURE ? 'g' : 's');
    if (code != WIRE_SIGNATURE) {
        wire_put_string(b, big, text);
        return;
    }
    uint8_t n = (uint8_t)strlen(text);
    bytes_add(b, &n, 1);
    bytes_add(b, text, (size_t)n + 1);
}

static void put_number(struct bytes *b, bool big, uint8_t code, uint32_t value)
{
    if (value == 0)
        return;
    put_field(b, code, 'u');
    wire_put_u32(b, big, value);
}

size_t wire_put_header(struct bytes *b, const struct message *message, uint32_t body_size)
{
    struct bytes h = {0};
    const uint8_t first[4] = {message->big ? 'B' : 'l', message->type, message->flags, 1};
    bytes_add(&h, first, sizeof(first));
    wire_put_u32(&h, message->big, body_size);
    wire_put_u32(&h, message->big, message->serial);
    wire_put_u32(&h, message->big, 0);
    for (uint8_t code = WIRE_PATH; code < WIRE_FIELDS; code++)
        if (code != WIRE_REPLY_SERIAL && code != WIRE_UNIX_FDS)
            put_text(&h, message->big, code, message->text[code]);
    put_number(&h, message->big, WIRE_REPLY_SERIAL, message->reply_serial);
    put_number(&h, message->big, WIRE_UNIX_FDS, message->n_fds);
    put_text(&h, message->big, 200, message->unknown);
    uint32_t n = swap_if(message->big, (uint32_t)(h.size - WIRE_FIXED));
    memcpy(h.data + 12, &n, 4);
    bytes_align(&h, 8);
    bytes_add(b, h.data, h.size);
    n = (uint32_t)h.size;
    bytes_free(&h);
    return n;
}

size_t wire_frame(const uint8_t *data, size_t have)
{
    if (have < WIRE_FIXED)
        return 0;
    bool big = data[0] == 'B';
    uint64_t body = wire_u32(data + 4, big), fields = wire_u32(data + 12, big);
    uint64_t size = WIRE_FIXED + ((fields + 7) & ~(uint64_t)7) + body;
    return (data[0] != 'l' && !big) || data[3] != 1 || size > WIRE_MAX ? SIZE_MAX : (size_t)size;
}

/* Reads the field at `at`; returns its end, or 0. */
static size_t read_field(const uint8_t *data, size_t at, size_t end, struct message *message)
{
    if (end - at < 5 || data[at + 1] != 1 || data[at + 3] != 0)
        return 0;
    uint8_t code = data[at], type = data[at + 2];
    at += 4;
    if (type == 'g') {
        size_t n = data[at];
        if (end - at < n + 2)
            return 0;
        message->text[WIRE_SIGNATURE] = (const char *)data + at + 1;
        return at + n + 2;
    }
    if (end - at < 4)
        return 0;
    uint32_t n = wire_u32(data + at, message->big);
    at += 4;
    if (type == 'u') {
        if (code == WIRE_REPLY_SERIAL)
            message->reply_serial = n;
        else if (code == WIRE_UNIX_FDS)
            message->n_fds = n;
        return at;
    }
    if (end - at <= n || data[at + n] != 0)
        return 0;
    if (code > 0 && code < WIRE_FIELDS)
        message->text[code] = (const char *)data + at;
    else
        message->unknown = (const char *)data + at;
    return at + n + 1;
}

bool wire_read(const uint8_t *data, size_t size, struct message *message)
{
    *message = (struct message){.type = data[1], .flags = data[2], .big = data[0] == 'B'};
    message->serial = wire_u32(data + 8, message->big);
    size_t end = WIRE_FIXED + wire_u32(data + 12, message->big);
    for (size_t at = WIRE_FIXED; at < end;) {
        at = (at + 7) & ~(size_t)7;
        at = at < end ? read_field(data, at, end, message) : 0;
        if (at == 0)
            return false;
    }
    message->body_size = wire_u32(data + 4, message->big);
    message->body = data + size - message->body_size;
    message->size = (uint32_t)size;
    return message->type != 0 && message->serial != 0;
}

const char *wire_string(const struct message *message)
{
    const char *signature = message->text[WIRE_SIGNATURE];
    if (!signature || signature[0] != 's' || message->body_size < 5)
        return NULL;
    uint32_t n = wire_u32(message->body, message->big);
    return n < message->body_size - 4 && message->body[4 + n] == 0 ? (const char *)message->body + 4 : NULL;
}
