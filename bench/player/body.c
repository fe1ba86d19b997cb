/* SPDX-License-Identifier: MIT */
#include "body.h"

#include "../client/process.h"
#include "state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_SIGNATURE 32
#define VARIABLE 21u /* bytes of an array with one variable, without the value */

void body_expand(char out[MOST_TEXT], const char *text, size_t size)
{
    size_t n = 0;
    for (size_t i = 0; i < size && n < MOST_TEXT - NAME_SIZE; i++) {
        if (text[i] != '{') {
            out[n++] = text[i];
            continue;
        }
        char *end;
        unsigned long number = strtoul(text + i + 1, &end, 10);
        if (*end != '}' || number >= plan.n_connections)
            die("%.*s: no such connection", (int)size, text);
        const char *name = state->names[number].text;
        n += (size_t)snprintf(out + n, NAME_SIZE, "%s", *name ? name : ":9.0");
        i = (size_t)(end - text);
    }
    out[n] = 0;
}

static const uint8_t zeros[4096];

static void put_zeros(struct buffer *buffer, size_t n)
{
    while (n) {
        size_t part = n < sizeof(zeros) ? n : sizeof(zeros);
        buffer_put(buffer, zeros, part);
        n -= part;
    }
}

/* An array of bytes, of which as many as fill the message. */
static void pad(struct buffer *body, size_t room)
{
    size_t begin = body->size + (0u - body->size) % 4 + 4;
    uint32_t n = room > begin ? (uint32_t)(room - begin) : 0;
    buffer_u32(body, n);
    put_zeros(body, n);
}

/* One variable of an environment, with a value that fills the message. */
static void pad_variable(struct buffer *body, size_t room)
{
    uint32_t n = room > VARIABLE ? (uint32_t)(room - VARIABLE) : 0;
    buffer_u32(body, VARIABLE - 8 + n);
    buffer_u32(body, 0);
    buffer_string(body, "A");
    buffer_u32(body, n);
    for (uint32_t i = 0; i < n; i++)
        buffer_put(body, "v", 1);
    put_zeros(body, 1);
}

static void put_arguments(struct buffer *body, const struct op *op, const char *signature)
{
    const char *at = strchr(op->body, '|');
    char expanded[MOST_TEXT];
    for (; *signature == 's' || *signature == 'u'; signature++) {
        if (!at)
            die("line %u: a value is missing in %s", op->line, op->body);
        size_t size = strcspn(++at, "|");
        body_expand(expanded, at, size);
        at = at[size] ? at + size : NULL;
        if (*signature == 's')
            buffer_string(body, expanded);
        else
            buffer_u32(body, (uint32_t)strtoul(expanded, NULL, 10));
    }
}

static size_t header_size(struct buffer *buffer, const struct header *header, const char *sender)
{
    struct header received = *header;
    received.sender = sender;
    header_write(buffer, &received);
    return buffer->size;
}

const struct buffer *body_message(const struct op *op, const char *sender)
{
    static struct buffer message, body;
    static const enum message_type types[] = {
        ['H'] = CALL, ['c'] = CALL, ['r'] = RETURN, ['e'] = ERROR, ['s'] = SIGNAL};
    char destination[MOST_TEXT], signature[MOST_SIGNATURE + 8];
    size_t n = strcspn(op->body, "|");
    if (n > MOST_SIGNATURE)
        die("line %u: a long signature", op->line);
    snprintf(signature, sizeof(signature), "%.*s", (int)n, op->body);
    char last = n ? signature[n - 1] : 0;
    if (last == 'P' || last == 'E')
        strcpy(signature + n - 1, last == 'P' ? "ay" : "a{ss}");
    struct header header = {types[(unsigned char)op->kind],
                            op->flags,
                            op->reply_serial,
                            op->fds,
                            0,
                            op->path,
                            op->interface,
                            op->member,
                            op->error,
                            NULL,
                            NULL,
                            *signature ? signature : NULL};
    if (op->dest) {
        body_expand(destination, op->dest, strlen(op->dest));
        header.destination = destination;
    }
    body.size = 0;
    put_arguments(&body, op, signature);
    size_t head = header_size(&message, &header, sender);
    size_t room = op->size > head ? op->size - head : 0;
    if (last == 'P' && n == 1 && room < 4)
        header.signature = NULL;
    else if (last == 'P')
        pad(&body, room);
    else if (last == 'E')
        pad_variable(&body, room);
    header.body_size = (uint32_t)body.size;
    header_write(&message, &header);
    write_u32(message.data + SERIAL_AT, op->serial);
    buffer_put(&message, body.data, body.size);
    return &message;
}
