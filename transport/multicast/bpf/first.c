/* SPDX-License-Identifier: MIT */
#include "bpf/chain.h"
#include "bpf/note.h"
#include "bpf/text.h"
#include "bpf/walk.h"

#include <string.h>

#define NEW_LABEL program_label(p)
#define FURTHEST 1016u /* the largest offset of a noted field */

/* The required, forbidden and noted fields of each message type. */
struct type_fields {
    uint8_t type;
    uint8_t required[3], forbidden[2]; /* fields; 0: no more */
    uint8_t noted[NOTE_PLACES];        /* 0: none */
};

static const struct type_fields types[] = {
    {MESSAGE_METHOD_CALL,
     {FIELD_PATH, FIELD_MEMBER},
     {FIELD_REPLY_SERIAL, FIELD_ERROR_NAME},
     {FIELD_DESTINATION, FIELD_PATH, FIELD_INTERFACE, FIELD_MEMBER}},
    {MESSAGE_METHOD_RETURN,
     {FIELD_REPLY_SERIAL},
     {FIELD_ERROR_NAME},
     {FIELD_DESTINATION, FIELD_REPLY_SERIAL, 0, 0}},
    {MESSAGE_SIGNAL,
     {FIELD_PATH, FIELD_INTERFACE, FIELD_MEMBER},
     {FIELD_REPLY_SERIAL, FIELD_ERROR_NAME},
     {FIELD_DESTINATION, FIELD_PATH, FIELD_INTERFACE, FIELD_MEMBER}},
    {MESSAGE_ERROR,
     {FIELD_ERROR_NAME, FIELD_REPLY_SERIAL},
     {0},
     {FIELD_DESTINATION, FIELD_REPLY_SERIAL, FIELD_ERROR_NAME, 0}},
};
#define N_TYPES (sizeof(types) / sizeof(*types))

uint8_t noted_field(uint8_t type, enum note_place place)
{
    for (unsigned i = 0; i < N_TYPES; i++) {
        if (types[i].type == type)
            return types[i].noted[place];
    }
    return 0;
}

static void check_presence(struct program *p, const struct type_fields *type, uint32_t wrong)
{
    for (unsigned i = 0; i < sizeof(type->required) && type->required[i]; i++) {
        program_recall(p, type->required[i]);
        program_if(p, BPF_JEQ, 0, wrong, PROGRAM_NEXT);
    }
    for (unsigned i = 0; i < sizeof(type->forbidden) && type->forbidden[i]; i++) {
        program_recall(p, type->forbidden[i]);
        program_if(p, BPF_JEQ, 0, PROGRAM_NEXT, wrong);
    }
}

/* Checks that there is a body if and only if there is a signature for it. */
static void check_signature(struct program *p, uint32_t wrong)
{
    const uint32_t none = NEW_LABEL, right = NEW_LABEL;
    program_recall_x(p, FIELD_SIGNATURE);
    program_add(p, BPF_MISC | BPF_TXA, 0);
    program_if(p, BPF_JEQ, 0, none, PROGRAM_NEXT);
    program_load_at(p, BPF_B, 4);
    program_if(p, BPF_JEQ, 0, none, PROGRAM_NEXT);
    program_recall(p, SLOT_BODY);
    program_if(p, BPF_JEQ, 0, wrong, right);
    program_bind(p, none);
    program_recall(p, SLOT_BODY);
    program_if(p, BPF_JEQ, 0, right, wrong);
    program_bind(p, right);
}

/* Rejects the prefixes that libdbus reserves for messages that it synthesizes. */
static void check_reserved(struct program *p, uint8_t field, struct span reserved, uint32_t wrong)
{
    const uint32_t right = NEW_LABEL;
    program_recall_x(p, field);
    program_add(p, BPF_MISC | BPF_TXA, 0);
    program_if(p, BPF_JEQ, 0, right, PROGRAM_NEXT);
    if (field == FIELD_PATH) {
        program_load_at(p, BPF_B, 8);
        program_if(p, BPF_JEQ, '/', PROGRAM_NEXT, wrong);
    }
    text_compare(p, reserved, 8, right);
    program_go(p, wrong);
    program_bind(p, right);
}

/* Adds the offset of a field to the note. */
static void first_note(struct program *p, uint8_t field, enum note_place place, uint32_t wrong)
{
    program_recall(p, field);
    program_if(p, BPF_JGT, FURTHEST, wrong, PROGRAM_NEXT);
    program_compute(p, BPF_LSH, NOTE_SHIFT(place));
    program_compute(p, BPF_RSH, NOTE_UNIT);
    program_recall_x(p, SLOT_VERDICT);
    program_compute(p, BPF_OR | BPF_X, 0);
    program_keep(p, SLOT_VERDICT);
}

/* Answers with the note. In that of a broadcast SIGNATURE takes the place of DESTINATION. */
static void answer(struct program *p, const struct type_fields *type, uint32_t wrong)
{
    const uint32_t broadcast = NEW_LABEL, noted = NEW_LABEL;
    program_recall(p, FIELD_DESTINATION);
    program_if(p, BPF_JEQ, 0, type->type == MESSAGE_SIGNAL ? broadcast : wrong, PROGRAM_NEXT);
    program_set(p, NOTE_ADDRESSED);
    program_keep(p, SLOT_VERDICT);
    first_note(p, FIELD_DESTINATION, NOTE_DESTINATION, wrong);
    if (type->type == MESSAGE_SIGNAL) {
        program_go(p, noted);
        program_bind(p, broadcast);
        program_set(p, NOTE_BROADCAST);
        program_keep(p, SLOT_VERDICT);
        first_note(p, FIELD_SIGNATURE, NOTE_DESTINATION, wrong);
        program_bind(p, noted);
    }
    for (enum note_place i = NOTE_DESTINATION + 1; i < NOTE_PLACES; i++) {
        if (type->noted[i])
            first_note(p, type->noted[i], i, wrong);
    }
    program_recall(p, SLOT_VERDICT);
    program_add(p, BPF_RET | BPF_A, 0);
}

static void write_order(struct program *p, bool big_endian, uint32_t wrong)
{
    walk_check(p, big_endian, FILTER_MAX_MESSAGE, wrong);
    check_signature(p, wrong);
    check_reserved(p, FIELD_PATH, SPAN("/org/freedesktop/DBus/Local"), wrong);
    check_reserved(p, FIELD_INTERFACE, SPAN("org.freedesktop.DBus.Local"), wrong);
    for (unsigned i = 0; i < N_TYPES; i++) {
        const uint32_t other = NEW_LABEL;
        program_load(p, BPF_B, WALK_TYPE);
        program_if(p, BPF_JEQ, types[i].type, PROGRAM_NEXT, other);
        check_presence(p, &types[i], wrong);
        answer(p, &types[i], wrong);
        program_bind(p, other);
    }
    program_go(p, wrong);
}

static void first_write_part(struct program *p, const struct tree_entry *entries, uint32_t n, bool is_last,
                             const void *context)
{
    const uint32_t big = NEW_LABEL, wrong = NEW_LABEL;
    (void)entries, (void)n, (void)is_last, (void)context;
    program_load(p, BPF_B, 0);
    program_if(p, BPF_JEQ, 'B', big, PROGRAM_NEXT);
    write_order(p, false, wrong);
    program_bind(p, big);
    write_order(p, true, wrong);
    program_bind(p, wrong);
    program_answer(p, UMC_ASK);
}

int filter_compile_first(struct filter *out)
{
    static const struct tree_entry none;
    return chain_compile(out, &none, 0, first_write_part, NULL);
}
