/* SPDX-License-Identifier: MIT */
#include "wire/wire.h"

/* Adding SENDER to a forwarded message. D-Bus specification, "Message Bus Message Routing" */

enum {
    OFFSET_FIELDS_SIZE = 12,
};

/* A writer of header fields; if out is NULL it only counts. */
struct field_writer {
    uint8_t *out;
    uint32_t at;  /* where the next field begins */
    uint32_t end; /* where the last field ends, without padding */
    bool swap;
};

static void stamp_put(struct field_writer *w, const void *bytes, uint32_t n)
{
    if (w->out)
        memcpy(w->out + w->at, bytes, n);
    w->at += n;
}

static void put_zeros(struct field_writer *w, uint32_t n)
{
    if (w->out)
        memset(w->out + w->at, 0, n);
    w->at += n;
}

static void put_uint32(struct field_writer *w, uint32_t value)
{
    uint8_t bytes[4];
    wire_store32(bytes, value, w->swap);
    stamp_put(w, bytes, sizeof(bytes));
}

/* Pads to a multiple of eight, where the next field or the body begins. */
static void end_field(struct field_writer *w)
{
    w->end = w->at;
    put_zeros(w, wire_align(w->at, 8) - w->at);
}

static void stamp_put_text_field(struct field_writer *w, uint8_t field, char type, struct span text)
{
    if (!text.s)
        return;
    stamp_put(w, (const uint8_t[]){field, 1, (uint8_t)type, 0}, 4);
    if (type == 'g')
        stamp_put(w, &(uint8_t){(uint8_t)text.n}, 1);
    else
        put_uint32(w, text.n);
    stamp_put(w, text.s, text.n);
    put_zeros(w, 1);
    end_field(w);
}

static void stamp_put_number_field(struct field_writer *w, uint8_t field, uint32_t number)
{
    if (number == 0)
        return;
    stamp_put(w, (const uint8_t[]){field, 1, 'u', 0}, 4);
    put_uint32(w, number);
    end_field(w);
}

static struct field_writer stamp_begin(const struct message *m, uint8_t *out)
{
    struct field_writer w = {.out = out, .swap = m->big_endian != WIRE_HOST_BIG_ENDIAN};
    stamp_put(&w, m->data, MESSAGE_FIXED_SIZE);
    w.end = w.at;
    return w;
}

/* The known fields, after SENDER. */
static void put_known_fields(struct field_writer *w, const struct message *m)
{
    stamp_put_text_field(w, FIELD_PATH, 'o', m->path);
    stamp_put_text_field(w, FIELD_INTERFACE, 's', m->interface);
    stamp_put_text_field(w, FIELD_MEMBER, 's', m->member);
    stamp_put_text_field(w, FIELD_ERROR_NAME, 's', m->error_name);
    stamp_put_number_field(w, FIELD_REPLY_SERIAL, m->reply_serial);
    stamp_put_text_field(w, FIELD_DESTINATION, 's', m->destination);
    stamp_put_text_field(w, FIELD_SIGNATURE, 'g', m->signature);
    stamp_put_number_field(w, FIELD_UNIX_FDS, m->n_fds);
}

uint32_t message_stamp_prefix(const struct message *m, struct span sender, uint8_t *out)
{
    const bool swap = m->big_endian != WIRE_HOST_BIG_ENDIAN;
    const uint32_t end = MESSAGE_FIXED_SIZE + 8 + sender.n + 1;
    const uint32_t padded = wire_align(end, 8);
    uint8_t *field = out + MESSAGE_FIXED_SIZE;
    memcpy(out, m->data, MESSAGE_FIXED_SIZE);
    memcpy(field, (const uint8_t[]){FIELD_SENDER, 1, 's', 0}, 4);
    wire_store32(field + 4, sender.n, swap);
    memset(out + padded - 8, 0, 8);
    memcpy(field + 8, sender.s, sender.n);
    /* the padding belongs to the array only if another field follows */
    const uint32_t fields_end = m->fields_size ? padded + m->fields_size : end;
    wire_store32(out + OFFSET_FIELDS_SIZE, fields_end - MESSAGE_FIXED_SIZE, swap);
    return padded;
}

uint32_t message_stamp_instance(const struct message *m, struct span sender, struct span instance,
                                uint8_t *out)
{
    struct field_writer w = stamp_begin(m, out);
    stamp_put_text_field(&w, FIELD_SENDER, 's', sender);
    put_known_fields(&w, m);
    stamp_put_text_field(&w, FIELD_CONTAINER_INSTANCE, 'o', instance);
    if (out)
        wire_store32(out + OFFSET_FIELDS_SIZE, w.end - MESSAGE_FIXED_SIZE, w.swap);
    return w.at;
}

/* Rewrites the header; if out is NULL it only counts. */
static uint32_t stamp_rewrite(const struct message *m, struct span sender, uint8_t *out)
{
    return message_stamp_instance(m, sender, (struct span){0}, out);
}

uint32_t message_stamped_header_size(const struct message *m, struct span sender)
{
    if (m->rewrite)
        return stamp_rewrite(m, sender, NULL);
    return wire_align(8 + sender.n + 1, 8) + m->body_offset;
}

uint32_t message_stamp(const struct message *m, struct span sender, uint8_t *out)
{
    if (m->rewrite)
        return stamp_rewrite(m, sender, out);
    const uint32_t prefix = message_stamp_prefix(m, sender, out);
    const uint32_t fields = m->body_offset - MESSAGE_FIXED_SIZE;
    memcpy(out + prefix, m->data + MESSAGE_FIXED_SIZE, fields);
    return prefix + fields;
}
