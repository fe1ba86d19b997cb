/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_PROGRAM_H
#define OMNIBUS_PROGRAM_H

#include <linux/filter.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * A classic BPF program being written. Jumps go forward, to labels that are bound later; a conditional jump
 * reaches 255 instructions, so those that go farther are led over unconditional ones when all is resolved.
 * Without memory all calls do nothing, and program_resolve says so.
 */

#define PROGRAM_NEXT 0 /* the label of the next instruction */

struct program_op;

struct program {
    struct program_op *ops;
    uint32_t *labels; /* the op that each is bound to */
    uint32_t n_ops, ops_room, n_labels, labels_room;
    bool failed; /* no memory */
};

void program_begin(struct program *p);
void program_free(struct program *p);

uint32_t program_label(struct program *p);
void program_bind(struct program *p, uint32_t label);

/* code is anything but a jump. */
void program_add(struct program *p, uint16_t code, uint32_t k);
void program_go(struct program *p, uint32_t label);
/* code: BPF_JEQ, BPF_JGT, BPF_JGE or BPF_JSET, with BPF_X instead of k if wanted */
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

/* The instructions, to be freed, in *out, and how many in *n: any number. 0 or -ENOMEM. */
int program_resolve(struct program *p, struct sock_filter **out, uint32_t *n);

#endif
