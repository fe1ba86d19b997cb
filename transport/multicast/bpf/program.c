/* SPDX-License-Identifier: MIT */
#include "bpf/program.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NEAR 255u     /* the longest conditional jump */
#define NOWHERE ~0u   /* a label that is not bound yet, or has no jump to it yet */
#define LONGEST_OP 3u /* a conditional jump, and an unconditional one for each branch */

struct program_op {
    uint16_t code;
    uint32_t k;
    uint32_t then, otherwise; /* labels of a jump */
};

void program_begin(struct program *p)
{
    memset(p, 0, sizeof(*p));
    program_label(p); /* PROGRAM_NEXT */
}

void program_free(struct program *p)
{
    free(p->ops);
    free(p->labels);
    memset(p, 0, sizeof(*p));
}

/* Grows an array for one more element. Without memory it sets failed and returns the first element. */
static void *program_grow(struct program *p, void *array, uint32_t n, uint32_t *room, size_t size)
{
    if (n < *room)
        return array;
    uint32_t wanted = *room ? *room * 2 : 512;
    void *larger = wanted > *room ? realloc(array, wanted * size) : NULL;
    if (!larger) {
        p->failed = true;
        return array;
    }
    *room = wanted;
    return larger;
}

uint32_t program_label(struct program *p)
{
    p->labels = program_grow(p, p->labels, p->n_labels, &p->labels_room, sizeof(*p->labels));
    if (p->failed)
        return PROGRAM_NEXT;
    p->labels[p->n_labels] = NOWHERE;
    return p->n_labels++;
}

void program_bind(struct program *p, uint32_t label)
{
    if (!p->failed)
        p->labels[label] = p->n_ops;
}

static void add_op(struct program *p, struct program_op op)
{
    p->ops = program_grow(p, p->ops, p->n_ops, &p->ops_room, sizeof(*p->ops));
    if (!p->failed)
        p->ops[p->n_ops++] = op;
}

void program_add(struct program *p, uint16_t code, uint32_t k)
{
    add_op(p, (struct program_op){.code = code, .k = k});
}

void program_go(struct program *p, uint32_t label)
{
    add_op(p, (struct program_op){.code = BPF_JMP | BPF_JA, .then = label});
}

void program_if(struct program *p, uint16_t code, uint32_t k, uint32_t then, uint32_t otherwise)
{
    add_op(p, (struct program_op){.code = BPF_JMP | code, .k = k, .then = then, .otherwise = otherwise});
}

void program_load(struct program *p, uint16_t size, uint32_t offset)
{
    program_add(p, BPF_LD | BPF_ABS | size, offset);
}

void program_load_at(struct program *p, uint16_t size, uint32_t offset)
{
    program_add(p, BPF_LD | BPF_IND | size, offset);
}

void program_compute(struct program *p, uint16_t operation, uint32_t k)
{
    program_add(p, BPF_ALU | operation, k);
}

void program_set(struct program *p, uint32_t k)
{
    program_add(p, BPF_LD | BPF_IMM, k);
}

void program_recall(struct program *p, uint32_t slot)
{
    program_add(p, BPF_LD | BPF_MEM, slot);
}

void program_recall_x(struct program *p, uint32_t slot)
{
    program_add(p, BPF_LDX | BPF_MEM, slot);
}

void program_keep(struct program *p, uint32_t slot)
{
    program_add(p, BPF_ST, slot);
}

void program_answer(struct program *p, uint32_t verdict)
{
    program_add(p, BPF_RET | BPF_K, verdict);
}

/*
 * Instructions are emitted from the last to the first, so the distance to every target is known. Places count
 * from the end: the last instruction is 1.
 */
struct layout {
    const struct program *p;
    struct sock_filter *out; /* filled from the end */
    uint32_t room, n;
    uint32_t *places; /* by op */
    uint32_t *ways;   /* by label: the latest unconditional jump emitted to it, or NOWHERE */
};

static uint32_t lay(struct layout *l, struct sock_filter instruction)
{
    l->n++;
    l->out[l->room - l->n] = instruction;
    return l->n;
}

/* The op that a jump to the label ends at, behind unconditional jumps. */
static uint32_t program_op_of(const struct program *p, uint32_t label)
{
    uint32_t bound = p->labels[label];
    while (bound < p->n_ops && p->ops[bound].code == (BPF_JMP | BPF_JA))
        bound = p->labels[p->ops[bound].then];
    return bound;
}

/* A place equivalent to the label: its own, or a nearer jump to it. */
static uint32_t program_place_of(const struct layout *l, uint32_t label)
{
    if (label == PROGRAM_NEXT)
        return l->n;
    uint32_t bound = program_op_of(l->p, label);
    uint32_t place = bound < l->p->n_ops ? l->places[bound] : 0;
    bool is_near = l->n - place < NEAR - LONGEST_OP;
    return is_near || l->ways[label] == NOWHERE ? place : l->ways[label];
}

/* The number of instructions that the next emitted jump would skip. */
static uint32_t distance(const struct layout *l, uint32_t place)
{
    return l->n - place;
}

static void lay_jump(struct layout *l, uint32_t label)
{
    uint32_t bound = program_op_of(l->p, label);
    uint32_t place = bound < l->p->n_ops ? l->places[bound] : 0;
    if (distance(l, place))
        l->ways[label] = lay(l, (struct sock_filter)BPF_STMT(BPF_JMP | BPF_JA, distance(l, place)));
}

static void lay_branch(struct layout *l, const struct program_op *op)
{
    uint32_t next = l->n;
    uint32_t then = op->then == PROGRAM_NEXT ? next : program_place_of(l, op->then);
    uint32_t otherwise = op->otherwise == PROGRAM_NEXT ? next : program_place_of(l, op->otherwise);
    if (distance(l, then) >= NEAR - LONGEST_OP) {
        lay_jump(l, op->then);
        then = l->n;
    }
    if (distance(l, otherwise) >= NEAR - LONGEST_OP) {
        lay_jump(l, op->otherwise);
        otherwise = l->n;
    }
    lay(l, (struct sock_filter)BPF_JUMP(op->code, op->k, (uint8_t)distance(l, then),
                                        (uint8_t)distance(l, otherwise)));
}

static void lay_op(struct layout *l, const struct program_op *op)
{
    if (BPF_CLASS(op->code) != BPF_JMP)
        lay(l, (struct sock_filter)BPF_STMT(op->code, op->k));
    else if (BPF_OP(op->code) == BPF_JA)
        lay_jump(l, op->then);
    else
        lay_branch(l, op);
}

static int lay_all(struct layout *l)
{
    const struct program *p = l->p;
    l->room = p->n_ops * LONGEST_OP;
    l->out = malloc(l->room * sizeof(*l->out));
    l->places = malloc(p->n_ops * sizeof(*l->places));
    l->ways = malloc(p->n_labels * sizeof(*l->ways));
    if (!l->out || !l->places || !l->ways)
        return -ENOMEM;
    memset(l->ways, 0xff, p->n_labels * sizeof(*l->ways));
    for (uint32_t i = p->n_ops; i-- > 0;) {
        lay_op(l, &p->ops[i]);
        l->places[i] = l->n;
    }
    return 0;
}

int program_resolve(struct program *p, struct sock_filter **out, uint32_t *n)
{
    struct layout l = {.p = p};
    *out = NULL;
    *n = 0;
    if (p->failed)
        return -ENOMEM;
    int error = lay_all(&l);
    if (!error) {
        memmove(l.out, l.out + l.room - l.n, l.n * sizeof(*l.out));
        *out = l.out;
        *n = l.n;
    } else {
        free(l.out);
    }
    free(l.places);
    free(l.ways);
    return error;
}
