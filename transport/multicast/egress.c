/* SPDX-License-Identifier: MIT */
#include "chain.h"
#include "walk.h"

#include <errno.h>
#include <stdlib.h>

#define NEW_LABEL program_label(p)
#define TYPE_BIT(type) (1u << (type))
#define KEY_AT(offset) ((uint32_t)(offset) / 4 << UMC_VERDICT_KEY_SHIFT)

/* The member tells more about a message than the others do. */
enum { KEY_DESTINATION, KEY_MEMBER, KEY_INTERFACE, KEY_PATH, KEY_ERROR_NAME, N_KEYS };
static const uint8_t key_slots[N_KEYS] = {
    [KEY_DESTINATION] = FIELD_DESTINATION, [KEY_MEMBER] = FIELD_MEMBER,
    [KEY_INTERFACE] = FIELD_INTERFACE,     [KEY_PATH] = FIELD_PATH,
    [KEY_ERROR_NAME] = FIELD_ERROR_NAME,
};

struct type_fields {
    uint8_t type;
    uint8_t required[3], forbidden[2]; /* fields; 0: no more */
};

static const struct type_fields types[] = {
    {MESSAGE_METHOD_CALL, {FIELD_PATH, FIELD_MEMBER}, {FIELD_REPLY_SERIAL, FIELD_ERROR_NAME}},
    {MESSAGE_METHOD_RETURN, {FIELD_REPLY_SERIAL}, {FIELD_ERROR_NAME}},
    {MESSAGE_SIGNAL, {FIELD_PATH, FIELD_INTERFACE, FIELD_MEMBER}, {FIELD_REPLY_SERIAL, FIELD_ERROR_NAME}},
    {MESSAGE_ERROR, {FIELD_ERROR_NAME, FIELD_REPLY_SERIAL}, {0}},
};
#define N_TYPES (sizeof(types) / sizeof(*types))

static uint32_t endian_bit(const struct filter_egress *egress)
{
    return egress->big_endian ? UMC_VERDICT_BIG_ENDIAN : 0;
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

/* A = the verdict on a message of that type, all but the index */
static void judge(struct program *p, uint8_t type, uint32_t unicast)
{
    const uint32_t plain = NEW_LABEL, done = NEW_LABEL;
    if (type == MESSAGE_METHOD_RETURN || type == MESSAGE_ERROR) {
        /* The key is four bytes behind the field's begin; as the walk is bounded,
         * it always fits. */
        program_recall(p, FIELD_REPLY_SERIAL);
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

/* The type and the fields that it must and must not have. Fills SLOT_TYPE and
 * SLOT_VERDICT. */
static void check_type(struct program *p, const struct filter_egress *egress, uint32_t wrong)
{
    const uint32_t right = NEW_LABEL;
    for (unsigned i = 0; i < N_TYPES; i++) {
        const uint32_t other = i + 1 < N_TYPES ? NEW_LABEL : wrong;
        program_load(p, BPF_B, WALK_TYPE);
        program_if(p, BPF_JEQ, types[i].type, PROGRAM_NEXT, other);
        check_presence(p, &types[i], wrong);
        judge(p, types[i].type, UMC_UNICAST | endian_bit(egress));
        program_keep(p, SLOT_VERDICT);
        program_set(p, TYPE_BIT(types[i].type));
        program_go(p, right);
        if (other != wrong)
            program_bind(p, other);
    }
    program_bind(p, right);
    program_keep(p, SLOT_TYPE);
}

/* There is a body exactly if there is a signature for it. */
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

/* libdbus keeps all that begins so for what it makes up itself. */
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

static void check_broadcast(struct program *p, const struct filter_egress *egress, uint32_t wrong)
{
    const uint32_t addressed = NEW_LABEL;
    program_recall(p, FIELD_DESTINATION);
    program_if(p, BPF_JEQ, 0, PROGRAM_NEXT, addressed);
    program_recall(p, SLOT_TYPE);
    program_if(p, BPF_JEQ, TYPE_BIT(MESSAGE_SIGNAL), PROGRAM_NEXT, wrong);
    program_answer(p, egress->broadcasts ? UMC_MULTICAST | endian_bit(egress) : UMC_ASK_NOW);
    program_bind(p, addressed);
}

/* Flows that differ in types only, or not at all */
static void write_flows(struct program *p, const struct tree_entry *entries, uint32_t n, uint32_t otherwise,
                        void *context)
{
    uint32_t answered = 0; /* types */
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

static void write_part(struct program *p, const struct tree_entry *entries, uint32_t n, bool is_last,
                       const void *context)
{
    const struct filter_egress *egress = context;
    const uint32_t wrong = NEW_LABEL, unknown = NEW_LABEL;
    const uint32_t max_size = egress->max_size < FILTER_MAX_MESSAGE ? egress->max_size : FILTER_MAX_MESSAGE;
    const struct tree tree = {
        .p = p,
        .big_endian = egress->big_endian,
        .slots = key_slots,
        .n_keys = N_KEYS,
        .leaf = write_flows,
    };
    (void)is_last; /* whom no program knows is asked about */
    if (n == 0 && !egress->broadcasts) {
        program_answer(p, UMC_ASK);
        return;
    }
    walk_check(p, egress->big_endian, max_size, wrong);
    check_type(p, egress, wrong);
    check_signature(p, wrong);
    check_reserved(p, FIELD_PATH, SPAN("/org/freedesktop/DBus/Local"), wrong);
    check_reserved(p, FIELD_INTERFACE, SPAN("org.freedesktop.DBus.Local"), wrong);
    check_broadcast(p, egress, wrong);
    tree_write(&tree, entries, n, unknown);
    program_bind(p, unknown);
    program_answer(p, UMC_ASK);
    program_bind(p, wrong);
    program_answer(p, UMC_ASK_NOW);
}

static bool is_possible(const struct filter_flow *flow, const struct tree_entry *entry)
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
        n += is_possible(flow, &entries[n]);
    }
    tree_sort(entries, n);
    int error = chain_compile(out, entries, n, write_part, egress);
    free(entries);
    return error;
}
