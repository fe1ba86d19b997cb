/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_TREE_H
#define OMNIBUS_TREE_H

#include "bpf/text.h"

/*
 * Finds the flows or rules whose texts are those of the message: one text after
 * the other, of each first the length and then the words from the last to the
 * first, by bisection. So a message is compared with the texts that differ from
 * it in one word at most, however many there are.
 */

#define TREE_KEYS 5u

struct tree_entry {
    uint32_t rank, number;       /* sort before and after all texts; compared with nothing */
    struct span keys[TREE_KEYS]; /* at most TEXT_MAX long; s NULL: any, or none */
    const void *meaning;
};

/* Writes what is to be done with n entries whose texts are the message's; goes
 * to otherwise for no answer. */
typedef void (*tree_leaf)(struct program *p, const struct tree_entry *entries, uint32_t n, uint32_t otherwise,
                          void *context);

struct tree {
    struct program *p;
    bool big_endian;
    const uint8_t *slots; /* by key: where in M the offset of the text's length
                             is; that is 0 without a text */
    uint32_t n_keys;
    tree_leaf leaf;
    void *context;
};

/* By rank, then as tree_write wants them */
void tree_sort(struct tree_entry *entries, uint32_t n);
/* Entries of one rank. A message that none answers goes to otherwise. */
void tree_write(const struct tree *tree, const struct tree_entry *entries, uint32_t n, uint32_t otherwise);

#endif
