/* SPDX-License-Identifier: MIT */
#include "bpf/chain.h"
#include "bpf/note.h"
#include "bpf/walk.h"
#include "wire/wire.h"

#include <errno.h>
#include <stdlib.h>

#define NEW_LABEL program_label(p)
#define TYPE_BIT(type) (1u << (type))
#define KEY_AT(offset) ((uint32_t)(offset) / 4 << UMC_VERDICT_KEY_SHIFT)

/* The MEMBER field distinguishes messages better than the other fields. */
enum { EGRESS_DESTINATION, EGRESS_MEMBER, EGRESS_INTERFACE, EGRESS_PATH, EGRESS_ERROR_NAME, N_KEYS };
static const uint8_t key_slots[N_KEYS] = {
    [EGRESS_DESTINATION] = FIELD_DESTINATION, [EGRESS_MEMBER] = FIELD_MEMBER,
    [EGRESS_INTERFACE] = FIELD_INTERFACE,     [EGRESS_PATH] = FIELD_PATH,
    [EGRESS_ERROR_NAME] = FIELD_ERROR_NAME,
};

static const uint8_t types[] = {FILTER_TOPICS};
#define N_TYPES sizeof(types)

/* The properties that distinguish the flows of one program. */
struct looked_at {
    uint32_t types;  /* TYPE_BIT */
    uint32_t fields; /* 1 << field, without DESTINATION */
};

static uint32_t endian_bit(const struct filter_egress *egress)
{
    return egress->big_endian ? UMC_VERDICT_BIG_ENDIAN : 0;
}

/* A = the verdict on a message of that type, without the index. */
static void egress_judge(struct program *p, uint8_t type, uint32_t unicast)
{
    const uint32_t plain = NEW_LABEL, done = NEW_LABEL;
    if (type == MESSAGE_METHOD_RETURN || type == MESSAGE_ERROR) {
        /* the value is four bytes after the beginning of the field */
        note_offset(p, NOTE_PATH);
        program_compute(p, BPF_LSH, UMC_VERDICT_KEY_SHIFT - 2);
        program_compute(p, BPF_ADD, unicast | UMC_VERDICT_REPLY | KEY_AT(4));
        return;
    }
    if (type == MESSAGE_METHOD_CALL) {
        program_load(p, BPF_B, WALK_FLAGS);
        program_if(p, BPF_JSET, MESSAGE_NO_REPLY_EXPECTED, plain, PROGRAM_NEXT);
        program_set(p, unicast | UMC_VERDICT_CALL | KEY_AT(WALK_SERIAL));
        program_go(p, done);
        program_bind(p, plain);
    }
    program_set(p, unicast);
    program_bind(p, done);
}

static struct looked_at look_at(const struct tree_entry *entries, uint32_t n)
{
    struct looked_at looked = {0, 0};
    for (uint32_t i = 0; i < n; i++) {
        looked.types |= ((const struct filter_flow *)entries[i].meaning)->types;
        for (unsigned key = EGRESS_DESTINATION + 1; key < N_KEYS; key++)
            looked.fields |= entries[i].keys[key].s ? 1u << key_slots[key] : 0;
    }
    return looked;
}

/* Fills the slots of those fields that a message of that type may have. */
static void take_fields(struct program *p, uint8_t type, uint32_t fields)
{
    for (enum note_place place = NOTE_DESTINATION + 1; place < NOTE_PLACES; place++) {
        const uint8_t field = noted_field(type, place);
        if (field && fields & 1u << field) {
            note_offset(p, place);
            program_keep(p, field);
        }
    }
}

/* Fills the slots that flows are looked up by, SLOT_TYPE and SLOT_VERDICT. */
static void take_type(struct program *p, const struct filter_egress *egress, const struct looked_at *looked,
                      uint32_t unknown)
{
    const uint32_t known = NEW_LABEL;
    note_offset(p, NOTE_DESTINATION);
    program_keep(p, FIELD_DESTINATION);
    program_set(p, 0);
    for (unsigned key = EGRESS_DESTINATION + 1; key < N_KEYS; key++) {
        if (looked->fields & 1u << key_slots[key])
            program_keep(p, key_slots[key]);
    }
    for (unsigned i = 0; i < N_TYPES; i++) {
        const uint32_t other = NEW_LABEL;
        if (!(looked->types & TYPE_BIT(types[i])))
            continue;
        program_load(p, BPF_B, WALK_TYPE);
        program_if(p, BPF_JEQ, types[i], PROGRAM_NEXT, other);
        take_fields(p, types[i], looked->fields);
        egress_judge(p, types[i], UMC_UNICAST | endian_bit(egress));
        program_keep(p, SLOT_VERDICT);
        program_set(p, TYPE_BIT(types[i]));
        program_go(p, known);
        program_bind(p, other);
    }
    program_go(p, unknown);
    program_bind(p, known);
    program_keep(p, SLOT_TYPE);
}

/* Checks what the first filter does not know of a member: its byte order and its size limit. */
static void check_message(struct program *p, const struct filter_egress *egress, uint32_t wrong)
{
    walk_check_order(p, egress->big_endian, wrong);
    if (egress->max_size < FILTER_MAX_MESSAGE) {
        program_add(p, BPF_LD | BPF_W | BPF_LEN, 0);
        program_if(p, BPF_JGT, egress->max_size, wrong, PROGRAM_NEXT);
    }
}

/* Writes flows that differ in their types only, or not at all. */
static void write_flows(struct program *p, const struct tree_entry *entries, uint32_t n, uint32_t otherwise,
                        void *context)
{
    uint32_t answered = 0; /* bits of types */
    (void)context;
    for (uint32_t i = 0; i < n; i++) {
        const struct filter_flow *flow = entries[i].meaning;
        if (!(flow->types & ~answered))
            continue;
        const uint32_t next = NEW_LABEL;
        program_recall(p, SLOT_TYPE);
        program_if(p, BPF_JSET, flow->types & ~answered, PROGRAM_NEXT, next);
        program_recall(p, SLOT_VERDICT);
        program_compute(p, BPF_OR, flow->index);
        program_add(p, BPF_RET | BPF_A, 0);
        program_bind(p, next);
        answered |= flow->types;
    }
    program_go(p, otherwise);
}

static void egress_write_part(struct program *p, const struct tree_entry *entries, uint32_t n, bool is_last,
                              const void *context)
{
    const struct filter_egress *egress = context;
    const uint32_t wrong = NEW_LABEL, unknown = NEW_LABEL, broadcast = NEW_LABEL;
    const struct looked_at looked = look_at(entries, n);
    const struct tree tree = {
        .p = p,
        .big_endian = egress->big_endian,
        .slots = key_slots,
        .n_keys = N_KEYS,
        .leaf = write_flows,
    };
    (void)is_last; /* a destination that no program has asks */
    if (n == 0 && !egress->broadcasts) {
        program_answer(p, UMC_ASK);
        return;
    }
    check_message(p, egress, wrong);
    note_load(p);
    program_compute(p, BPF_AND, UMC_KIND_MASK);
    program_if(p, BPF_JEQ, NOTE_BROADCAST, broadcast, PROGRAM_NEXT);
    if (n > 0)
        take_type(p, egress, &looked, unknown);
    tree_write(&tree, entries, n, unknown);
    program_bind(p, unknown);
    program_answer(p, UMC_ASK);
    program_bind(p, broadcast);
    program_answer(p, egress->broadcasts ? UMC_MULTICAST | endian_bit(egress) : UMC_ASK_NOW);
    program_bind(p, wrong);
    program_answer(p, UMC_ASK_NOW);
}

static bool egress_is_possible(const struct filter_flow *flow, const struct tree_entry *entry)
{
    for (unsigned i = 0; i < N_KEYS; i++) {
        if (entry->keys[i].s && (entry->keys[i].n == 0 || entry->keys[i].n > TEXT_MAX))
            return false;
    }
    return flow->destination.s && flow->index <= UMC_VERDICT_INDEX_MASK;
}

int filter_compile_egress(const struct filter_egress *egress, struct filter *out)
{
    uint32_t n = 0;
    memset(out, 0, sizeof(*out));
    struct tree_entry *entries = calloc((size_t)egress->n_flows + 1, sizeof(*entries));
    if (!entries)
        return -ENOMEM;
    for (uint32_t i = 0; i < egress->n_flows; i++) {
        const struct filter_flow *flow = &egress->flows[i];
        entries[n] = (struct tree_entry){
            .keys = {flow->destination, flow->member, flow->interface, flow->path, flow->error_name},
            .meaning = flow};
        n += egress_is_possible(flow, &entries[n]);
    }
    tree_sort(entries, n);
    int error = chain_compile(out, entries, n, egress_write_part, egress);
    free(entries);
    return error;
}

static void shared_write_part(struct program *p, const struct tree_entry *entries, uint32_t n, bool is_last,
                              const void *context)
{
    const struct filter_egress *egress = context;
    const uint32_t wrong = NEW_LABEL, broadcast = NEW_LABEL;
    (void)entries, (void)n, (void)is_last;
    check_message(p, egress, wrong);
    note_load(p);
    program_compute(p, BPF_AND, UMC_KIND_MASK);
    program_if(p, BPF_JEQ, NOTE_BROADCAST, broadcast, PROGRAM_NEXT);
    for (unsigned i = 0; i < N_TYPES; i++) {
        const uint32_t other = NEW_LABEL;
        program_load(p, BPF_B, WALK_TYPE);
        program_if(p, BPF_JEQ, types[i], PROGRAM_NEXT, other);
        egress_judge(p, types[i], UMC_NAMED | i << UMC_VERDICT_TOPIC_SHIFT | endian_bit(egress));
        program_keep(p, SLOT_VERDICT);
        /* the length of the name is four bytes after the beginning of the field */
        note_offset(p, NOTE_DESTINATION);
        program_compute(p, BPF_ADD, 4);
        program_compute(p, BPF_RSH, 2);
        program_recall_x(p, SLOT_VERDICT);
        program_compute(p, BPF_OR | BPF_X, 0);
        program_add(p, BPF_RET | BPF_A, 0);
        program_bind(p, other);
    }
    program_bind(p, wrong);
    program_answer(p, UMC_ASK_NOW);
    program_bind(p, broadcast);
    program_answer(p, UMC_MULTICAST | endian_bit(egress));
}

int filter_compile_shared(uint32_t max_size, struct filter *out)
{
    static const struct tree_entry none;
    const struct filter_egress egress = {.big_endian = WIRE_HOST_BIG_ENDIAN, .max_size = max_size};
    memset(out, 0, sizeof(*out));
    return chain_compile(out, &none, 0, shared_write_part, &egress);
}
