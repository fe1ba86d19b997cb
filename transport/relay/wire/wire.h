/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_WIRE_H
#define OMNIBUS_WIRE_H

/*
 * The wire layer: reading, validating and writing D-Bus messages. This header has the bytes and type codes
 * that its files share (D-Bus specification, "Marshaling"); message.h and marshal.h are what the other layers
 * use.
 *
 * - A message is parsed in place, once, completely and before any other layer sees it: header, required
 *   fields, grammar of names, signature and body. What a struct message says needs no second check. Whatever
 *   libdbus rejects is rejected, since one receiver that drops its connection over a message would let its
 *   sender disconnect it.
 * - A forwarded message keeps its bytes. SENDER is inserted as the first header field (stamp.c), so header
 *   fields and body are not copied. Only a header with a forged SENDER or with fields that must not be passed
 *   on is rewritten.
 * - Offsets and sizes are 32 bits and below MESSAGE_MAX_SIZE (128 MiB), so sums of two cannot overflow.
 *
 * Unmarshalling into values, as bindings do, was rejected: the bus looks at the header and, for match rules,
 * at a few string arguments. Appending SENDER at the end of the header was rejected too: the body would have
 * to move.
 */

#include "wire/message.h"

#define WIRE_HOST_BIG_ENDIAN (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__)
#define WIRE_MAX_TYPE_DEPTH 32u /* for arrays and for structs, within one signature */

static inline uint32_t wire_load32(const uint8_t *at, bool swap)
{
    uint32_t value;
    memcpy(&value, at, sizeof(value));
    return swap ? __builtin_bswap32(value) : value;
}

static inline void wire_store32(uint8_t *at, uint32_t value, bool swap)
{
    if (swap)
        value = __builtin_bswap32(value);
    memcpy(at, &value, sizeof(value));
}

/* Loads eight bytes, the first one into the lowest bits. */
static inline uint64_t wire_load64_le(const uint8_t *at)
{
    uint64_t value;
    memcpy(&value, at, sizeof(value));
    return WIRE_HOST_BIG_ENDIAN ? __builtin_bswap64(value) : value;
}

/* alignment is a power of two */
static inline uint32_t wire_align(uint32_t at, uint32_t alignment)
{
    return (at + alignment - 1) & -alignment;
}

/* True if the bytes from..to are zero. There are at most seven, and at least eight before data + to. */
static inline bool wire_is_padding(const uint8_t *data, uint32_t from, uint32_t to)
{
    /* in two steps, because a shift by 64 is undefined */
    return (wire_load64_le(data + to - 8) >> 1) >> (63 - 8 * (to - from)) == 0;
}

/* The properties of a type code; all zero for any other character. */
struct wire_type {
    uint8_t alignment;
    uint8_t fixed; /* the size of every value, or 0 */
    bool basic;
};
extern const struct wire_type wire_types[256];

static inline struct wire_type wire_type(char code)
{
    return wire_types[(uint8_t)code];
}

/*
 * The number of complete types in a signature; -1: it is invalid. For every 'a', ends gets the index after
 * the element type; its other entries are left alone.
 */
int wire_read_signature(struct span signature, uint8_t ends[MESSAGE_MAX_SIGNATURE + 1]);

/* A reader of the bytes from at to end. Offsets count from the beginning of the message. */
struct wire_reader {
    const uint8_t *data;
    uint32_t at;
    uint32_t end;
    bool swap;
};

/*
 * Reads values of all types of a signature that wire_read_signature accepted. MESSAGE_BAD_BODY_LENGTH: they
 * extend past the end.
 */
enum message_error wire_read_values(struct wire_reader *r, struct span signature, const uint8_t *ends);
/* Reads a variant that is within depth containers. */
enum message_error wire_read_variant(struct wire_reader *r, unsigned depth);

#endif
