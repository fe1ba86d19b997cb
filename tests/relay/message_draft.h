/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_TEST_MESSAGE_DRAFT_H
#define OMNIBUS_TEST_MESSAGE_DRAFT_H

/* Messages built byte by byte, so that they can be invalid; and the verdicts of message_parse and libdbus.
 */

#include "../../transport/relay/wire/message.h"
#include "check.h"
#include "reference.h"

#define DRAFT_SIZE 65536u

/* A string literal's bytes, including NULs */
struct bytes {
    const char *s;
    uint32_t n;
};
#define BYTES(literal)                                                                                       \
    {                                                                                                        \
        (literal), sizeof(literal) - 1                                                                       \
    }

/* A header field: the variant's signature, and its value with length and NUL */
struct draft_field {
    uint8_t code;
    const char *type; /* "s", "o", "g": text; "u": number; anything else: raw bytes */
    const char *text;
    uint32_t number;
    struct bytes raw;
};

struct draft {
    uint8_t data[DRAFT_SIZE];
    uint32_t size;
    bool big_endian;
};

static inline void draft_store(struct draft *d, uint32_t at, uint32_t value)
{
    for (uint32_t i = 0; i < 4; i++)
        d->data[at + i] = (uint8_t)(value >> (d->big_endian ? 24 - 8 * i : 8 * i));
}

static inline void draft_put(struct draft *d, const void *bytes, uint32_t n)
{
    if (n > DRAFT_SIZE - d->size)
        abort();
    if (n)
        memcpy(d->data + d->size, bytes, n);
    d->size += n;
}

static inline void draft_align(struct draft *d, uint32_t alignment)
{
    while (d->size % alignment)
        draft_put(d, "", 1);
}

static inline void draft_uint32(struct draft *d, uint32_t value)
{
    draft_align(d, 4);
    draft_put(d, "\0\0\0\0", 4);
    draft_store(d, d->size - 4, value);
}

/* 's' and 'o' */
static inline void draft_string(struct draft *d, struct bytes text)
{
    draft_uint32(d, text.n);
    draft_put(d, text.s, text.n);
    draft_put(d, "", 1);
}

static inline void draft_signature(struct draft *d, struct bytes text)
{
    const uint8_t n = (uint8_t)text.n;
    draft_put(d, &n, 1);
    draft_put(d, text.s, text.n);
    draft_put(d, "", 1);
}

static inline struct bytes draft_text(const char *text)
{
    return (struct bytes){text, (uint32_t)strlen(text)};
}

/* Everything up to the fields, with serial 1 */
static inline void draft_begin(struct draft *d, uint8_t type, bool big_endian)
{
    const uint8_t fixed[] = {big_endian ? 'B' : 'l', type, 0, 1};
    d->size = 0;
    d->big_endian = big_endian;
    draft_put(d, fixed, sizeof(fixed));
    draft_uint32(d, 0);
    draft_uint32(d, 1);
    draft_uint32(d, 0);
}

static inline void draft_field(struct draft *d, const struct draft_field *field)
{
    draft_align(d, 8);
    draft_put(d, &field->code, 1);
    draft_signature(d, draft_text(field->type));
    if (field->raw.s)
        draft_put(d, field->raw.s, field->raw.n);
    else if (strcmp(field->type, "g") == 0)
        draft_signature(d, draft_text(field->text));
    else if (strcmp(field->type, "u") == 0)
        draft_uint32(d, field->number);
    else
        draft_string(d, draft_text(field->text));
    draft_store(d, 12, d->size - MESSAGE_FIXED_SIZE);
}

static inline void draft_body(struct draft *d, struct bytes body)
{
    draft_align(d, 8);
    draft_put(d, body.s, body.n);
    draft_store(d, 4, body.n);
}

/* The error of the whole draft. It is parsed in a block of exactly its size, at an odd address too. */
static inline enum message_error draft_verdict(const struct draft *d)
{
    struct message m;
    uint8_t *exact = malloc(d->size), *odd = malloc(d->size + 1);
    if (!exact || !odd)
        abort();
    memcpy(exact, d->data, d->size);
    memcpy(odd + 1, d->data, d->size);
    const enum message_error error = message_parse(&m, exact, d->size);
    CHECK_EQUAL(message_parse(&m, odd + 1, d->size), error);
    if (reference_load() && !(error == MESSAGE_OK && m.n_fds))
        CHECK_EQUAL(reference_accepts(exact, d->size), error == MESSAGE_OK);
    free(exact);
    free(odd);
    return error;
}

#endif
