/* SPDX-License-Identifier: MIT */
#include "bpf/chain.h"
#include "bpf/note.h"
#include "bpf/walk.h"

#include <errno.h>
#include <stdlib.h>

#define NEW_LABEL program_label(p)
#define INDEX_MASK ((1u << FILTER_SIDE_SHIFT) - 1)
#define MAX_RUNS 256 /* runs of parties with the same answer; with more of them all ask */

/* The tree compares the first three keys; the others only sort equal rules next to each other. */
enum {
    INGRESS_INTERFACE,
    INGRESS_MEMBER,
    INGRESS_PATH,
    N_KEYS,
    INGRESS_NAMESPACE = N_KEYS,
    INGRESS_ARGUMENT
};
static const uint8_t key_places[N_KEYS] = {NOTE_INTERFACE, NOTE_MEMBER, NOTE_PATH};

/* The first sort key of rules. */
enum { RANK_GUARDED = 1, RANK_UNCLEAR = 2, RANKS = 4 };

/* The outcome of a matching rule, for the rules of one rank. */
struct outcome {
    bool big_endian;
    uint32_t match, wrong;
};

static void load_mark(struct program *p)
{
    program_load(p, BPF_W, (uint32_t)(SKF_AD_OFF + SKF_AD_MARK));
}

static uint8_t side_at(const struct filter_ingress *ingress, uint32_t i)
{
    uint8_t side = i < ingress->n_sides ? ingress->sides[i] : (uint8_t)FILTER_SIDE_ASK;
    return side == FILTER_SIDE_NO || side == FILTER_SIDE_YES ? side : (uint8_t)FILTER_SIDE_ASK;
}

static uint32_t count_runs(const struct filter_ingress *ingress)
{
    uint32_t n = 1;
    for (uint32_t i = 0; i < ingress->n_sides; i++)
        n += side_at(ingress, i) != side_at(ingress, i + 1);
    return n;
}

/*
 * Answers a message that a rule matches, or that asks if wrong.  A sender from which the policy allows
 * nothing is dropped in any case.
 */
static void answer_side(struct program *p, const struct filter_ingress *ingress, uint32_t match,
                        uint32_t wrong)
{
    const uint32_t judge = NEW_LABEL, asks = NEW_LABEL;
    const bool none = count_runs(ingress) > MAX_RUNS;
    program_bind(p, match);
    program_set(p, UMC_YES);
    program_go(p, judge);
    program_bind(p, wrong);
    program_set(p, UMC_ASK_NOW);
    program_bind(p, judge);
    program_keep(p, SLOT_VERDICT);
    load_mark(p);
    program_compute(p, BPF_RSH, FILTER_SIDE_SHIFT);
    for (uint32_t i = 0; !none && i < ingress->n_sides; i++) {
        if (side_at(ingress, i) == side_at(ingress, i + 1) && i + 1 < ingress->n_sides)
            continue;
        const uint32_t other = NEW_LABEL;
        program_if(p, BPF_JGT, i, other, PROGRAM_NEXT);
        if (side_at(ingress, i) == FILTER_SIDE_ASK) {
            program_go(p, asks);
        } else if (side_at(ingress, i) == FILTER_SIDE_NO) {
            program_answer(p, UMC_NO);
        } else {
            program_recall(p, SLOT_VERDICT);
            program_add(p, BPF_RET | BPF_A, 0);
        }
        program_bind(p, other);
    }
    program_bind(p, asks);
    program_answer(p, UMC_ASK_NOW);
}

/* Fills the slots that the rest of a rule is compared with, which may be many. */
static void take_slots(struct program *p, const struct filter_ingress *ingress,
                       const struct tree_entry *entries, uint32_t n)
{
    bool by_sender = false, by_namespace = false, by_argument = false;
    for (uint32_t i = 0; i < n; i++) {
        by_sender |= entries[i].number != FILTER_NO_MEMBER;
        by_namespace |= entries[i].keys[INGRESS_NAMESPACE].s != NULL;
        by_argument |= entries[i].keys[INGRESS_ARGUMENT].s != NULL;
    }
    if (by_namespace) {
        note_offset(p, NOTE_PATH);
        program_keep(p, FIELD_PATH);
    }
    if (by_argument) {
        note_offset(p, NOTE_DESTINATION); /* of a broadcast: of its signature */
        program_keep(p, FIELD_SIGNATURE);
        walk_to_body(p, ingress->big_endian);
    }
    if (by_sender) {
        load_mark(p);
        program_compute(p, BPF_AND, INDEX_MASK);
        program_keep(p, SLOT_SENDER);
    }
}

/* X = the path.  Continues if it is not shorter than a namespace. */
static void measure_path(struct program *p, uint32_t length, uint32_t shorter)
{
    program_recall_x(p, FIELD_PATH);
    program_load_at(p, BPF_W, 4);
    program_if(p, BPF_JGE, length, PROGRAM_NEXT, shorter);
}

/* Compares for equality with the namespace, or being below it.  X is the path, which is not shorter. */
static void compare_namespace(struct program *p, struct span namespace, bool big_endian, uint32_t match,
                              uint32_t otherwise)
{
    text_compare_back(p, namespace, 8, otherwise);
    program_load_at(p, BPF_W, 4);
    program_if(p, BPF_JEQ, text_length(namespace.n, big_endian), match, PROGRAM_NEXT);
    program_load_at(p, BPF_B, 8 + namespace.n);
    program_if(p, BPF_JEQ, '/', match, otherwise);
}

/* Continues if at least n bytes follow X, where the body begins. */
static void check_room(struct program *p, uint32_t n, uint32_t wrong)
{
    program_add(p, BPF_LD | BPF_W | BPF_LEN, 0);
    program_if(p, BPF_JGE | BPF_X, 0, PROGRAM_NEXT, wrong);
    program_compute(p, BPF_SUB | BPF_X, 0);
    program_if(p, BPF_JGE, n, PROGRAM_NEXT, wrong);
}

/* Compares the first argument, a string. */
static void compare_argument(struct program *p, struct span text, const struct outcome *outcome,
                             uint32_t otherwise)
{
    program_recall_x(p, FIELD_SIGNATURE);
    program_add(p, BPF_MISC | BPF_TXA, 0);
    program_if(p, BPF_JEQ, 0, otherwise, PROGRAM_NEXT);
    program_load_at(p, BPF_B, 5); /* NUL if the signature is empty */
    program_if(p, BPF_JEQ, 's', PROGRAM_NEXT, otherwise);
    program_recall_x(p, SLOT_BODY);
    check_room(p, 4, outcome->wrong);
    program_load_at(p, BPF_W, 0);
    program_if(p, BPF_JEQ, text_length(text.n, outcome->big_endian), PROGRAM_NEXT, otherwise);
    check_room(p, 4 + text.n + 1, outcome->wrong);
    text_compare(p, text, 4, otherwise);
}

/* Compares the rest of a rule whose interface, member and path are those of the message. */
static void write_rule(struct program *p, const struct tree_entry *rule, const struct outcome *outcome,
                       bool has_sender, uint32_t otherwise)
{
    const struct span namespace = rule->keys[INGRESS_NAMESPACE];
    if (rule->number != FILTER_NO_MEMBER) {
        if (!has_sender)
            program_recall(p, SLOT_SENDER);
        program_if(p, BPF_JEQ, rule->number, PROGRAM_NEXT, otherwise);
    }
    if (namespace.s) {
        const uint32_t below = NEW_LABEL;
        measure_path(p, text_length(namespace.n, outcome->big_endian), otherwise);
        compare_namespace(p, namespace, outcome->big_endian, below, otherwise);
        program_bind(p, below);
    }
    if (rule->keys[INGRESS_ARGUMENT].s)
        compare_argument(p, rule->keys[INGRESS_ARGUMENT], outcome, otherwise);
    program_go(p, outcome->match);
}

static bool says_the_same(const struct tree_entry *a, const struct tree_entry *b)
{
    for (unsigned i = INGRESS_NAMESPACE; i <= INGRESS_ARGUMENT; i++) {
        if (!a->keys[i].s != !b->keys[i].s || !span_equal(a->keys[i], b->keys[i]))
            return false;
    }
    return a->number == b->number;
}

static bool wants_no_more(const struct tree_entry *rule)
{
    return rule->number == FILTER_NO_MEMBER && !rule->keys[INGRESS_NAMESPACE].s &&
           !rule->keys[INGRESS_ARGUMENT].s;
}

static bool wants_sender_only(const struct tree_entry *rule)
{
    return rule->number != FILTER_NO_MEMBER && !rule->keys[INGRESS_NAMESPACE].s &&
           !rule->keys[INGRESS_ARGUMENT].s;
}

/* The number of rules at the beginning that only want namespaces of the same length. */
static uint32_t count_namespaces(const struct tree_entry *entries, uint32_t n)
{
    uint32_t some = 0;
    while (some < n && entries[some].number == FILTER_NO_MEMBER && entries[some].keys[INGRESS_NAMESPACE].s &&
           !entries[some].keys[INGRESS_ARGUMENT].s &&
           entries[some].keys[INGRESS_NAMESPACE].n == entries->keys[INGRESS_NAMESPACE].n)
        some++;
    return some;
}

/* Writes these: the path is measured once. */
static void write_namespaces(struct program *p, const struct tree_entry *entries, uint32_t n,
                             const struct outcome *outcome, uint32_t otherwise)
{
    measure_path(p, text_length(entries->keys[INGRESS_NAMESPACE].n, outcome->big_endian), otherwise);
    for (uint32_t i = 0; i < n; i++) {
        if (i > 0 && says_the_same(&entries[i - 1], &entries[i]))
            continue;
        const uint32_t next = NEW_LABEL;
        compare_namespace(p, entries[i].keys[INGRESS_NAMESPACE], outcome->big_endian, outcome->match, next);
        program_bind(p, next);
    }
    program_go(p, otherwise);
}

/* Writes rules with the same interface, member and path. */
static void write_rules(struct program *p, const struct tree_entry *entries, uint32_t n, uint32_t otherwise,
                        void *context)
{
    /* a rule with nothing left to compare sorts last, and makes the others redundant */
    const uint32_t first = wants_no_more(&entries[n - 1]) ? n - 1 : 0;
    bool has_sender = false; /* A is the sender */
    for (uint32_t i = first, some; i < n; i += some) {
        const uint32_t next = NEW_LABEL, namespaces = count_namespaces(entries + i, n - i);
        some = namespaces > 0 ? namespaces : 1;
        if (namespaces > 0)
            write_namespaces(p, entries + i, namespaces, context, next);
        else if (i == first || !says_the_same(&entries[i - 1], &entries[i]))
            write_rule(p, &entries[i], context, has_sender, next);
        has_sender = namespaces == 0 && wants_sender_only(&entries[i]);
        program_bind(p, next);
    }
    program_go(p, otherwise);
}

/*
 * Writes rules with these texts that each have a sender or a namespace, which rejects foreign messages
 * soonest.
 */
static void write_guarded(struct program *p, const struct tree_entry *entries, uint32_t n,
                          const struct outcome *outcome, uint32_t otherwise)
{
    struct outcome guarded = {outcome->big_endian, NEW_LABEL, outcome->wrong};
    write_rules(p, entries, n, otherwise, &guarded);
    program_bind(p, guarded.match);
    for (unsigned key = 0; key < N_KEYS; key++) {
        const struct span text = entries->keys[key];
        if (!text.s)
            continue;
        note_offset(p, key_places[key]);
        program_add(p, BPF_MISC | BPF_TAX, 0);
        program_load_at(p, BPF_W, 4);
        program_if(p, BPF_JEQ, text_length(text.n, outcome->big_endian), PROGRAM_NEXT, otherwise);
        text_compare_back(p, text, 8, otherwise);
    }
    program_go(p, outcome->match);
}

static bool same_texts(const struct tree_entry *a, const struct tree_entry *b)
{
    for (unsigned key = 0; key < N_KEYS; key++) {
        if (!a->keys[key].s != !b->keys[key].s || !span_equal(a->keys[key], b->keys[key]))
            return false;
    }
    return true;
}

static void write_rank(struct program *p, const struct tree_entry *entries, uint32_t n,
                       const struct outcome *outcome, uint32_t otherwise)
{
    const struct tree tree = {
        .p = p,
        .big_endian = outcome->big_endian,
        .places = key_places,
        .n_keys = N_KEYS,
        .leaf = write_rules,
        .context = (void *)outcome,
    };
    if (n == 0 || !(entries->rank & RANK_GUARDED)) {
        tree_write(&tree, entries, n, otherwise);
        return;
    }
    for (uint32_t some; n > 0; entries += some, n -= some) {
        const uint32_t next = NEW_LABEL;
        some = 1;
        while (some < n && same_texts(entries, entries + some))
            some++;
        write_guarded(p, entries, some, outcome, next);
        program_bind(p, next);
    }
    program_go(p, otherwise);
}

/* Writes clear rules first: a message that one of them accepts need not ask. */
static void write_ranks(struct program *p, const struct tree_entry *entries, uint32_t n,
                        const struct outcome *clear, uint32_t otherwise)
{
    struct outcome outcome = *clear;
    for (uint32_t rank = 0; rank < RANKS; rank++) {
        const uint32_t next = NEW_LABEL;
        uint32_t some = 0;
        while (some < n && entries[some].rank == rank)
            some++;
        outcome.match = rank & RANK_UNCLEAR ? clear->wrong : clear->match;
        write_rank(p, entries, some, &outcome, next);
        program_bind(p, next);
        entries += some;
        n -= some;
    }
    program_go(p, otherwise);
}

static void ingress_write_part(struct program *p, const struct tree_entry *entries, uint32_t n, bool is_last,
                               const void *context)
{
    const struct filter_ingress *ingress = context;
    const uint32_t unwanted = NEW_LABEL;
    const struct outcome outcome = {ingress->big_endian, NEW_LABEL, NEW_LABEL};
    if (n) {
        walk_check_order(p, ingress->big_endian, outcome.wrong);
        take_slots(p, ingress, entries, n);
        write_ranks(p, entries, n, &outcome, unwanted);
        answer_side(p, ingress, outcome.match, outcome.wrong);
        program_bind(p, unwanted);
    }
    program_answer(p, is_last ? UMC_NO : UMC_ASK);
}

/* False: the rule matches no message that members send directly. */
static bool ingress_is_possible(const struct filter_rule *rule)
{
    const struct span texts[] = {rule->interface, rule->member, rule->path};
    for (unsigned i = 0; i < N_KEYS; i++) {
        if (texts[i].s && (texts[i].n == 0 || texts[i].n > TEXT_MAX))
            return false;
    }
    if (rule->path_namespace.s && rule->path_namespace.n > TEXT_MAX)
        return false;
    if (rule->arg0.s && rule->arg0.n >= FILTER_MAX_MESSAGE)
        return false;
    return !rule->by_sender || rule->sender <= INDEX_MASK;
}

static struct tree_entry entry_of(const struct filter_rule *rule)
{
    struct tree_entry entry = {
        .number = rule->by_sender ? rule->sender : FILTER_NO_MEMBER,
        .keys = {rule->interface, rule->member, rule->path, rule->path_namespace, rule->arg0},
    };
    if (rule->path_namespace.n <= 1) /* every path is below "/" */
        entry.keys[INGRESS_NAMESPACE] = (struct span){0};
    if (!entry.keys[INGRESS_ARGUMENT].s &&
        (entry.number != FILTER_NO_MEMBER || entry.keys[INGRESS_NAMESPACE].s))
        entry.rank |= RANK_GUARDED;
    entry.rank |= rule->unclear ? RANK_UNCLEAR : 0;
    return entry;
}

int filter_compile_ingress(const struct filter_ingress *ingress, struct filter *out)
{
    uint32_t n = 0;
    memset(out, 0, sizeof(*out));
    struct tree_entry *entries = calloc((size_t)ingress->n_rules + 1, sizeof(*entries));
    if (!entries)
        return -ENOMEM;
    for (uint32_t i = 0; i < ingress->n_rules; i++) {
        const struct filter_rule *rule = &ingress->rules[i];
        if (ingress_is_possible(rule))
            entries[n++] = entry_of(rule);
    }
    tree_sort(entries, n);
    int error = chain_compile(out, entries, n, ingress_write_part, ingress);
    free(entries);
    return error;
}
