/* SPDX-License-Identifier: MIT */
#include "wire/marshal.h"

#include "wire/wire.h"

#include <stdlib.h>

enum {
    OFFSET_BODY_LENGTH = 4,
    OFFSET_FIELDS_SIZE = 12,
    FIRST_CAPACITY = 256,
};

/* Grows the buffer for n more bytes. False: failed. */
static bool marshal_grow(struct marshal *w, size_t n)
{
    if (w->failed || n > MESSAGE_MAX_SIZE - w->size) {
        w->failed = true;
        return false;
    }
    size_t capacity = w->capacity ? w->capacity : FIRST_CAPACITY;
    while (capacity < w->size + n)
        capacity *= 2;
    uint8_t *data = realloc(w->data, capacity);
    if (!data) {
        w->failed = true;
        return false;
    }
    w->data = data;
    w->capacity = capacity;
    return true;
}

/* Appends padding and n bytes to be filled. NULL: failed, now or before. */
static inline uint8_t *marshal_reserve(struct marshal *w, unsigned alignment, size_t n)
{
    size_t padding = -w->size & (alignment - 1);
    if ((w->failed || n + padding > w->capacity - w->size) && !marshal_grow(w, n + padding))
        return NULL;
    uint8_t *at = w->data + w->size;
    w->size += padding + n;
    for (; padding > 0; padding--)
        *at++ = 0;
    return at;
}

static void store32(uint8_t *at, uint32_t value)
{
    at[0] = (uint8_t)value;
    at[1] = (uint8_t)(value >> 8);
    at[2] = (uint8_t)(value >> 16);
    at[3] = (uint8_t)(value >> 24);
}

/* Stores a text and its terminating NUL. */
static void store_text(uint8_t *at, struct span text)
{
    if (text.n)
        memcpy(at, text.s, text.n);
    at[text.n] = 0;
}

void marshal_raw(struct marshal *w, const void *bytes, size_t n)
{
    uint8_t *at = marshal_reserve(w, 1, n);
    if (at && n)
        memcpy(at, bytes, n);
}

void marshal_align(struct marshal *w, unsigned alignment)
{
    marshal_reserve(w, alignment, 0);
}

void marshal_byte(struct marshal *w, uint8_t value)
{
    uint8_t *at = marshal_reserve(w, 1, 1);
    if (at)
        *at = value;
}

void marshal_uint32(struct marshal *w, uint32_t value)
{
    uint8_t *at = marshal_reserve(w, 4, 4);
    if (at)
        store32(at, value);
}

void marshal_uint64(struct marshal *w, uint64_t value)
{
    uint8_t *at = marshal_reserve(w, 8, 8);
    if (at) {
        store32(at, (uint32_t)value);
        store32(at + 4, (uint32_t)(value >> 32));
    }
}

void marshal_boolean(struct marshal *w, bool value)
{
    marshal_uint32(w, value);
}

void marshal_string(struct marshal *w, struct span text)
{
    uint8_t *at = marshal_reserve(w, 4, (size_t)text.n + 5);
    if (at) {
        store32(at, text.n);
        store_text(at + 4, text);
    }
}

void marshal_signature(struct marshal *w, struct span signature)
{
    if (signature.n > MESSAGE_MAX_SIGNATURE) {
        w->failed = true;
        return;
    }
    uint8_t *at = marshal_reserve(w, 1, (size_t)signature.n + 2);
    if (at) {
        *at = (uint8_t)signature.n;
        store_text(at + 1, signature);
    }
}

size_t marshal_array_begin(struct marshal *w, unsigned alignment)
{
    marshal_uint32(w, 0);
    size_t mark = w->size;
    marshal_align(w, alignment);
    return mark;
}

void marshal_array_end(struct marshal *w, size_t mark, unsigned alignment)
{
    if (w->failed)
        return;
    size_t first = (mark + alignment - 1) & ~(size_t)(alignment - 1);
    if (w->size - first > MESSAGE_MAX_ARRAY)
        w->failed = true;
    else
        store32(w->data + mark - 4, (uint32_t)(w->size - first));
}

void marshal_string_array(struct marshal *w, const struct span *texts, size_t n)
{
    size_t mark = marshal_array_begin(w, 4);
    for (size_t i = 0; i < n; i++)
        marshal_string(w, texts[i]);
    marshal_array_end(w, mark, 4);
}

static void put_field(struct marshal *w, enum message_field field, char type)
{
    const uint8_t begin[4] = {(uint8_t)field, 1, (uint8_t)type, 0};
    uint8_t *at = marshal_reserve(w, 8, sizeof(begin));
    if (at)
        memcpy(at, begin, sizeof(begin));
}

static void marshal_put_text_field(struct marshal *w, enum message_field field, char type, struct span text)
{
    if (!text.s)
        return;
    put_field(w, field, type);
    if (type == 'g')
        marshal_signature(w, text);
    else
        marshal_string(w, text);
}

static void marshal_put_number_field(struct marshal *w, enum message_field field, uint32_t number)
{
    if (number == 0)
        return;
    put_field(w, field, 'u');
    marshal_uint32(w, number);
}

void marshal_begin(struct marshal *w, const struct marshal_header *header)
{
    w->size = 0;
    w->body = 0;
    w->failed = false;
    w->header = *header;

    const uint8_t fixed[4] = {'l', header->type, header->flags, 1};
    marshal_raw(w, fixed, sizeof(fixed));
    marshal_uint32(w, 0);
    marshal_uint32(w, header->serial);
    size_t mark = marshal_array_begin(w, 8);
    marshal_put_text_field(w, FIELD_PATH, 'o', header->path);
    marshal_put_text_field(w, FIELD_INTERFACE, 's', header->interface);
    marshal_put_text_field(w, FIELD_MEMBER, 's', header->member);
    marshal_put_text_field(w, FIELD_ERROR_NAME, 's', header->error_name);
    marshal_put_number_field(w, FIELD_REPLY_SERIAL, header->reply_serial);
    marshal_put_text_field(w, FIELD_DESTINATION, 's', header->destination);
    marshal_put_text_field(w, FIELD_SENDER, 's', header->sender);
    if (header->signature.n)
        marshal_put_text_field(w, FIELD_SIGNATURE, 'g', header->signature);
    marshal_put_number_field(w, FIELD_UNIX_FDS, header->n_fds);
    marshal_array_end(w, mark, 8);
    marshal_align(w, 8);
    w->body = w->size;
}

bool marshal_end(struct marshal *w)
{
    if (w->failed)
        return false;
    store32(w->data + OFFSET_BODY_LENGTH, (uint32_t)(w->size - w->body));
    return true;
}

void marshal_message(const struct marshal *w, struct message *m)
{
    const struct marshal_header *header = &w->header;
    *m = (struct message){.data = w->data,
                          .size = (uint32_t)w->size,
                          .fields_size = wire_load32(w->data + OFFSET_FIELDS_SIZE, WIRE_HOST_BIG_ENDIAN),
                          .body_offset = (uint32_t)w->body,
                          .body_size = (uint32_t)(w->size - w->body),
                          .serial = header->serial,
                          .reply_serial = header->reply_serial,
                          .n_fds = header->n_fds,
                          .type = header->type,
                          .flags = header->flags,
                          .rewrite = header->sender.s != NULL,
                          .path = header->path,
                          .interface = header->interface,
                          .member = header->member,
                          .error_name = header->error_name,
                          .destination = header->destination,
                          .sender = header->sender,
                          .signature = header->signature};
}

void marshal_free(struct marshal *w)
{
    free(w->data);
    *w = (struct marshal){0};
}
