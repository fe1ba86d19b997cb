/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_PROGRAM_H
#define OMNIBUS_PROGRAM_H

#include <linux/filter.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * An assembler for classic BPF. Jumps go forward, to labels that are bound later; a conditional jump reaches
 * 255 instructions, so longer ones are routed over unconditional jumps when the program is resolved. Without
 * memory all calls do nothing, and program_resolve fails.
 */

#define PROGRAM_NEXT 0 /* the label of the next instruction */

struct program_op;

struct program {
    struct program_op *ops;
    uint32_t *labels; /* by label: the op that it is bound to */
    uint32_t n_ops, ops_room, n_labels, labels_room;
    bool failed; /* no memory */
};

void program_begin(struct program *p);
void program_free(struct program *p);

uint32_t program_label(struct program *p);
void program_bind(struct program *p, uint32_t label);

/* Appends an instruction that is not a jump. */
void program_add(struct program *p, uint16_t code, uint32_t k);
void program_go(struct program *p, uint32_t label);
/* code is BPF_JEQ, BPF_JGT, BPF_JGE or BPF_JSET, perhaps with BPF_X, which replaces k. */
void program_if(struct program *p, uint16_t code, uint32_t k, uint32_t then, uint32_t otherwise);

/* Shorthands: A and X are BPF's registers, M its scratch memory. */
void program_load(struct program *p, uint16_t size, uint32_t offset);    /* A = packet[offset] */
void program_load_at(struct program *p, uint16_t size, uint32_t offset); /* A = packet[X + offset] */
void program_compute(struct program *p, uint16_t operation, uint32_t k); /* A = A operation k */
void program_set(struct program *p, uint32_t k);                         /* A = k */
void program_recall(struct program *p, uint32_t slot);                   /* A = M[slot] */
void program_recall_x(struct program *p, uint32_t slot);                 /* X = M[slot] */
void program_keep(struct program *p, uint32_t slot);                     /* M[slot] = A */
void program_answer(struct program *p, uint32_t verdict);

/*
 * Sets *out to the instructions, which the caller frees, and *n to their number, without limit. 0 or -ENOMEM.
 */
int program_resolve(struct program *p, struct sock_filter **out, uint32_t *n);

#endif
