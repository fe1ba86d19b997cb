/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_WIRE_H
#define OMNIBUS_WIRE_H

/* Bytes and type codes, for the files that read and write messages. D-Bus specification, "Marshaling". */

#include "wire/message.h"

#define WIRE_HOST_BIG_ENDIAN (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__)
#define WIRE_MAX_TYPE_DEPTH 32u /* arrays, and structs, within one signature */

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

/* Eight bytes, the first one in the lowest bits */
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

/* Whether the bytes from..to are zero; at most seven, and at least eight lie before data + to. */
static inline bool wire_is_padding(const uint8_t *data, uint32_t from, uint32_t to)
{
    /* in two steps, because a shift by 64 is undefined */
    return (wire_load64_le(data + to - 8) >> 1) >> (63 - 8 * (to - from)) == 0;
}

/* What is known of a type code; all zero for what isn't one. */
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
 * The number of complete types in a signature; -1 if it isn't valid. Fills ends, for every 'a' in it, with
 * the index behind the array's element type; other places of ends are left alone.
 */
int wire_read_signature(struct span signature, uint8_t ends[MESSAGE_MAX_SIGNATURE + 1]);

/* Where values are read: from at, never from end on. Offsets count from the beginning of the message. */
struct wire_reader {
    const uint8_t *data;
    uint32_t at;
    uint32_t end;
    bool swap;
};

/* Values of all types of a signature that wire_read_signature accepted. MESSAGE_BAD_BODY_LENGTH: they pass
 * the end. */
enum message_error wire_read_values(struct wire_reader *r, struct span signature, const uint8_t *ends);
/* One variant that lies within depth containers. */
enum message_error wire_read_variant(struct wire_reader *r, unsigned depth);

#endif
