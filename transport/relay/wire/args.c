/* SPDX-License-Identifier: MIT */
#include "wire/wire.h"

/*
 * Iterates over a body that message_parse has accepted: nothing is checked again, arrays are skipped whole.
 */

static void skip_value(struct wire_reader *r, const char **type);

static inline uint32_t take_uint32(struct wire_reader *r)
{
    r->at = wire_align(r->at, 4) + 4;
    return wire_load32(r->data + r->at - 4, r->swap);
}

/* Takes the text of an 's', 'o' or 'g'. */
static struct span take_text(struct wire_reader *r, char code)
{
    const uint32_t n = code == 'g' ? r->data[r->at++] : take_uint32(r);
    const struct span text = {(const char *)r->data + r->at, n};
    r->at += n + 1;
    return text;
}

/* The position after one complete type. */
static const char *skip_type(const char *type)
{
    while (*type == 'a')
        type++;
    unsigned open = 0;
    do {
        open += *type == '(' || *type == '{';
        open -= *type == ')' || *type == '}';
        type++;
    } while (open);
    return type;
}

static void skip_array(struct wire_reader *r, const char **type)
{
    const uint32_t n = take_uint32(r);
    r->at = wire_align(r->at, wire_type((*type)[1]).alignment) + n;
    *type = skip_type(*type);
}

static void skip_struct(struct wire_reader *r, const char **type)
{
    r->at = wire_align(r->at, 8);
    ++*type;
    while (**type != ')' && **type != '}')
        skip_value(r, type);
    ++*type;
}

static void skip_variant(struct wire_reader *r)
{
    const char *type = take_text(r, 'g').s;
    skip_value(r, &type);
}

static void skip_value(struct wire_reader *r, const char **type)
{
    const char code = **type;
    if (code == 'a') {
        skip_array(r, type);
        return;
    }
    if (code == '(' || code == '{') {
        skip_struct(r, type);
        return;
    }
    ++*type;
    const uint32_t fixed = wire_type(code).fixed;
    if (fixed)
        r->at = wire_align(r->at, fixed) + fixed;
    else if (code == 'v')
        skip_variant(r);
    else
        take_text(r, code);
}

static uint32_t take_number(struct wire_reader *r, char code)
{
    const uint32_t size = wire_type(code).fixed;
    r->at = wire_align(r->at, size) + size;
    const uint8_t *value = r->data + r->at - size;
    uint16_t half;
    switch (size) {
    case 1:
        return *value;
    case 2:
        memcpy(&half, value, sizeof(half));
        return r->swap ? __builtin_bswap16(half) : half;
    case 4:
        return wire_load32(value, r->swap);
    default:
        return 0;
    }
}

void message_args_begin(struct message_args *args, const struct message *m)
{
    *args = (struct message_args){.m = m};
}

bool message_args_next(struct message_args *args, struct message_arg *arg)
{
    const struct message *m = args->m;
    if (args->signature >= m->signature.n)
        return false;
    struct wire_reader r = {
        .data = m->data,
        .at = m->body_offset + args->offset,
        .end = m->size,
        .swap = m->big_endian != WIRE_HOST_BIG_ENDIAN,
    };
    const char *type = m->signature.s + args->signature;
    *arg = (struct message_arg){.type = *type};
    if (*type == 's' || *type == 'o' || *type == 'g')
        arg->text = take_text(&r, *type++);
    else if (wire_type(*type).fixed)
        arg->number = take_number(&r, *type++);
    else
        skip_value(&r, &type);
    args->offset = r.at - m->body_offset;
    args->signature = (uint32_t)(type - m->signature.s);
    return true;
}
