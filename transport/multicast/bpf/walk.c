/* SPDX-License-Identifier: MIT */
#include "bpf/walk.h"

#define MAX_FIELDS 6 /* a method call has at most five */

#define FIRST_FIELD MESSAGE_FIXED_SIZE
#define NEW_LABEL program_label(p)

/* The first four bytes of a field: its code and the signature of its type. */
#define FIELD_BEGIN(field, type) ((uint32_t)(field) << 24 | 1u << 16 | (uint32_t)(type) << 8)

struct field {
    uint8_t code;
    uint32_t begin;
};

/* The most frequent fields first. */
static const struct field fields[] = {
    {FIELD_PATH, FIELD_BEGIN(FIELD_PATH, 'o')},
    {FIELD_MEMBER, FIELD_BEGIN(FIELD_MEMBER, 's')},
    {FIELD_INTERFACE, FIELD_BEGIN(FIELD_INTERFACE, 's')},
    {FIELD_DESTINATION, FIELD_BEGIN(FIELD_DESTINATION, 's')},
    {FIELD_SIGNATURE, FIELD_BEGIN(FIELD_SIGNATURE, 'g')},
    {FIELD_REPLY_SERIAL, FIELD_BEGIN(FIELD_REPLY_SERIAL, 'u')},
    {FIELD_ERROR_NAME, FIELD_BEGIN(FIELD_ERROR_NAME, 's')},
};
#define N_FIELDS (sizeof(fields) / sizeof(*fields))

static void forget_fields(struct program *p)
{
    program_set(p, 0);
    for (uint32_t i = 0; i < N_FIELDS; i++)
        program_keep(p, fields[i].code);
}

/* A = the u32 at an offset, known to be below 65536. */
static void load_below_65536(struct program *p, uint32_t offset, bool big_endian)
{
    if (big_endian) {
        program_load(p, BPF_H, offset + 2);
        return;
    }
    program_load(p, BPF_B, offset + 1);
    program_compute(p, BPF_LSH, 8);
    program_add(p, BPF_MISC | BPF_TAX, 0);
    program_load(p, BPF_B, offset);
    program_compute(p, BPF_OR | BPF_X, 0);
}

static void load_small(struct program *p, uint32_t offset, bool big_endian, uint32_t wrong)
{
    program_load(p, BPF_W, offset);
    program_if(p, BPF_JSET, big_endian ? 0xffff0000 : 0xffff, wrong, PROGRAM_NEXT);
    load_below_65536(p, offset, big_endian);
}

/* Checks the fixed part, and that the packet has the length that it claims. */
static void check_frame(struct program *p, bool big_endian, uint32_t max_size, uint32_t wrong)
{
    program_load(p, BPF_W, 0);
    program_compute(p, BPF_AND, 0xff0000ff); /* type and flags are checked later */
    program_if(p, BPF_JEQ, (uint32_t)(big_endian ? 'B' : 'l') << 24 | 1, PROGRAM_NEXT, wrong);
    program_load(p, BPF_W, WALK_SERIAL);
    program_if(p, BPF_JEQ, 0, wrong, PROGRAM_NEXT);
    load_small(p, WALK_BODY_SIZE, big_endian, wrong);
    program_keep(p, SLOT_BODY);
    load_small(p, WALK_FIELDS_SIZE, big_endian, wrong);
    program_if(p, BPF_JEQ, 0, wrong, PROGRAM_NEXT); /* no field before which SENDER could be inserted */
    program_compute(p, BPF_ADD, MESSAGE_FIXED_SIZE);
    program_keep(p, SLOT_END);
    program_compute(p, BPF_ADD, 7);
    program_compute(p, BPF_AND, ~7u);
    program_recall_x(p, SLOT_BODY);
    program_compute(p, BPF_ADD | BPF_X, 0);
    program_add(p, BPF_MISC | BPF_TAX, 0);
    program_add(p, BPF_LD | BPF_W | BPF_LEN, 0);
    program_if(p, BPF_JGT, max_size, wrong, PROGRAM_NEXT);
    program_if(p, BPF_JEQ | BPF_X, 0, PROGRAM_NEXT, wrong);
}

/*
 * A and X are the offset of the NUL of a text. All bytes from there to the next multiple of eight must be
 * zero.
 */
static void check_padding_from(struct program *p, uint32_t remainder, uint32_t right, uint32_t wrong)
{
    uint32_t last_bytes = remainder <= 4 ? ~0u : ~0u >> 8 * (remainder - 4);
    if (remainder < 4) {
        program_load_at(p, BPF_W, 0);
        program_if(p, BPF_JEQ, 0, PROGRAM_NEXT, wrong);
    }
    program_load_at(p, BPF_W, 4 - remainder);
    program_if(p, BPF_JSET, last_bytes, wrong, right);
}

static void check_padding(struct program *p, uint32_t bits, uint32_t known, uint32_t right, uint32_t wrong)
{
    if (bits == 0) {
        check_padding_from(p, known, right, wrong);
        return;
    }
    uint32_t set = NEW_LABEL;
    program_if(p, BPF_JSET, bits, set, PROGRAM_NEXT);
    check_padding(p, bits / 2, known, right, wrong);
    program_bind(p, set);
    check_padding(p, bits / 2, known | bits, right, wrong);
}

/* Stores the offset of a field, X, if it is the first of its kind. */
static void note_field(struct program *p, const struct field *field, uint32_t then, uint32_t wrong)
{
    program_recall(p, field->code);
    program_if(p, BPF_JEQ, 0, PROGRAM_NEXT, wrong);
    program_add(p, BPF_STX, field->code);
    program_go(p, then);
}

/* X is the offset of a text with a 32-bit length. A = the offset of its NUL. */
static void measure_text(struct program *p, bool big_endian, uint32_t wrong)
{
    program_load_at(p, BPF_W, 4);
    program_if(p, big_endian ? BPF_JGT : BPF_JSET, big_endian ? 0xff : 0x00ffffff, wrong, PROGRAM_NEXT);
    if (!big_endian)
        program_compute(p, BPF_RSH, 24);
    program_if(p, BPF_JEQ, 0, wrong, PROGRAM_NEXT);
    program_compute(p, BPF_ADD | BPF_X, 0);
    program_compute(p, BPF_ADD, 8);
}

/* X is the offset of a signature. A = the offset of its NUL. */
static void measure_signature(struct program *p)
{
    program_load_at(p, BPF_B, 4);
    program_compute(p, BPF_ADD | BPF_X, 0);
    program_compute(p, BPF_ADD, 5);
}

/* X is the offset of a number. A = its end. */
static void measure_number(struct program *p, uint32_t wrong)
{
    program_load_at(p, BPF_W, 4);
    program_if(p, BPF_JEQ, 0, wrong, PROGRAM_NEXT);
    program_add(p, BPF_MISC | BPF_TXA, 0);
    program_compute(p, BPF_ADD, 8);
}

/* A is the end of a field, which is the end of the array for the last one. X = the next field. */
static void step(struct program *p, uint32_t end, uint32_t wrong)
{
    program_recall_x(p, SLOT_END);
    program_if(p, BPF_JEQ | BPF_X, 0, end, PROGRAM_NEXT);
    program_compute(p, BPF_ADD, 7);
    program_compute(p, BPF_AND, ~7u);
    program_if(p, BPF_JGE | BPF_X, 0, wrong, PROGRAM_NEXT);
    program_add(p, BPF_MISC | BPF_TAX, 0);
}

/* Checks the field at X. */
static void check_field(struct program *p, bool big_endian, uint32_t end, uint32_t wrong)
{
    const uint32_t text = NEW_LABEL, signature = NEW_LABEL, number = NEW_LABEL;
    const uint32_t measured = NEW_LABEL, padded = NEW_LABEL, ended = NEW_LABEL;
    uint32_t notes[N_FIELDS];

    program_load_at(p, BPF_W, 0);
    for (uint32_t i = 0; i < N_FIELDS; i++) {
        notes[i] = NEW_LABEL;
        program_if(p, BPF_JEQ, fields[i].begin, notes[i], i + 1 < N_FIELDS ? PROGRAM_NEXT : wrong);
    }
    for (uint32_t i = 0; i < N_FIELDS; i++) {
        const uint8_t code = fields[i].code;
        program_bind(p, notes[i]);
        note_field(p, &fields[i],
                   code == FIELD_SIGNATURE      ? signature
                   : code == FIELD_REPLY_SERIAL ? number
                                                : text,
                   wrong);
    }
    program_bind(p, number);
    measure_number(p, wrong);
    program_go(p, ended);
    program_bind(p, signature);
    measure_signature(p);
    program_go(p, measured);
    program_bind(p, text);
    measure_text(p, big_endian, wrong);
    program_bind(p, measured);
    program_add(p, BPF_MISC | BPF_TAX, 0);
    check_padding(p, 4, 0, padded, wrong);
    program_bind(p, padded);
    program_add(p, BPF_MISC | BPF_TXA, 0);
    program_compute(p, BPF_ADD, 1);
    program_bind(p, ended);
    step(p, end, wrong);
}

void walk_check(struct program *p, bool big_endian, uint32_t max_size, uint32_t wrong)
{
    const uint32_t end = NEW_LABEL;
    check_frame(p, big_endian, max_size, wrong);
    forget_fields(p);
    program_add(p, BPF_LDX | BPF_IMM, FIRST_FIELD);
    for (unsigned i = 0; i < MAX_FIELDS; i++)
        check_field(p, big_endian, end, wrong);
    program_go(p, wrong);
    program_bind(p, end);
}

void walk_to_body(struct program *p, bool big_endian)
{
    load_below_65536(p, WALK_FIELDS_SIZE, big_endian);
    program_compute(p, BPF_ADD, MESSAGE_FIXED_SIZE + 7);
    program_compute(p, BPF_AND, ~7u);
    program_keep(p, SLOT_BODY);
}

void walk_check_order(struct program *p, bool big_endian, uint32_t wrong)
{
    program_load(p, BPF_B, 0);
    program_if(p, BPF_JEQ, big_endian ? 'B' : 'l', PROGRAM_NEXT, wrong);
}
