/* SPDX-License-Identifier: MIT */
#include "stream.h"

#include "wire/wire.h"

#include <stdlib.h>

static void stream_drop(struct stream *s, size_t n)
{
    if (n == 0)
        return;
    memmove(s->bytes, s->bytes + n, s->size - n);
    s->size -= n;
    s->begin += n;
}

static bool stream_reserve(struct stream *s, size_t n)
{
    if (n <= s->room - s->size)
        return true;
    if (n > STREAM_MAX || s->size > STREAM_MAX - n)
        return false;
    size_t room = 2 * (s->size + n);
    uint8_t *bytes = realloc(s->bytes, room);
    if (!bytes)
        return false;
    s->bytes = bytes;
    s->room = room;
    return true;
}

/* Parses the message at a place, if all of it is there. */
static bool stream_message_at(const struct stream *s, size_t at, struct message *m)
{
    uint32_t size;
    return message_frame(s->bytes + at, s->size - at, MESSAGE_MAX_SIZE, &size) == MESSAGE_OK &&
           size <= s->size - at && message_parse(m, s->bytes + at, size) == MESSAGE_OK;
}

/* Visits all whole messages, and drops them. */
static void stream_take(struct stream *s, stream_visit visit, void *context)
{
    size_t at = 0;
    while (!s->broken && at < s->size) {
        struct message m;
        uint32_t size;
        enum message_error error = message_frame(s->bytes + at, s->size - at, MESSAGE_MAX_SIZE, &size);
        if (error == MESSAGE_INCOMPLETE || (error == MESSAGE_OK && size > s->size - at))
            break;
        if (error != MESSAGE_OK || message_parse(&m, s->bytes + at, size) != MESSAGE_OK) {
            s->broken = true;
            break;
        }
        visit(context, &m);
        at += size;
    }
    stream_drop(s, at);
}

/* True if the bytes could be the beginning of one message. */
static bool stream_may_begin(const struct stream *s)
{
    uint32_t size;
    enum message_error error = message_frame(s->bytes, s->size, MESSAGE_MAX_SIZE, &size);
    return error == MESSAGE_INCOMPLETE || (error == MESSAGE_OK && size > s->size);
}

static void stream_synchronise(struct stream *s)
{
    struct message m;
    if (s->begin == 0 && stream_message_at(s, 0, &m))
        s->in_step = true;
    else if (s->size > STREAM_WINDOW && !(s->begin == 0 && stream_may_begin(s)))
        stream_drop(s, s->size - STREAM_WINDOW);
}

void stream_add(struct stream *s, const uint8_t *bytes, size_t n, stream_visit visit, void *context)
{
    if (n == 0 || s->failed || s->broken)
        return;
    if (!stream_reserve(s, n)) {
        s->failed = true;
        return;
    }
    memcpy(s->bytes + s->size, bytes, n);
    s->size += n;
    if (!s->in_step)
        stream_synchronise(s);
    if (s->in_step)
        stream_take(s, visit, context);
}

void stream_enter(struct stream *s, size_t n, stream_visit visit, void *context)
{
    s->in_step = true;
    stream_drop(s, n);
    stream_take(s, visit, context);
}

/* Cheaply, as it is asked for each byte. */
static bool stream_may_be(const uint8_t *at, const struct stream_sought *sought)
{
    if ((at[0] != 'l' && at[0] != 'B') || at[1] != sought->type || at[3] != 1)
        return false;
    return wire_load32(at + 8, (at[0] == 'B') != WIRE_HOST_BIG_ENDIAN) == sought->serial;
}

static bool stream_is(const struct message *m, const struct stream_sought *sought)
{
    return (!sought->member.s || span_equal(m->member, sought->member)) &&
           (!sought->destination.s || span_equal(m->destination, sought->destination));
}

bool stream_find(struct stream *s, const struct stream_sought *sought, stream_visit visit, void *context)
{
    if (s->in_step || s->failed)
        return s->in_step;
    for (size_t at = s->size; at-- > 0;) {
        struct message m;
        if (s->size - at < MESSAGE_FIXED_SIZE || !stream_may_be(s->bytes + at, sought) ||
            !stream_message_at(s, at, &m) || !stream_is(&m, sought))
            continue;
        stream_enter(s, at, visit, context);
        return true;
    }
    return false;
}

void stream_reset(struct stream *s)
{
    s->size = 0;
    s->begin = 0;
    s->in_step = s->broken = false;
}

void stream_free(struct stream *s)
{
    free(s->bytes);
    *s = (struct stream){0};
}
