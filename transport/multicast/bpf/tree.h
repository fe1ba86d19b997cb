/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_TREE_H
#define OMNIBUS_TREE_H

#include "bpf/text.h"

/*
 * A search tree for the flows or rules whose texts are those of the message. It bisects text by text: first
 * by the length, then by the words from the last to the first. A message is thus compared with texts that
 * differ from its own in one word at most, whatever their number.
 */

#define TREE_KEYS 5u

struct tree_entry {
    uint32_t rank, number;       /* sort keys before and after all texts, not compared with the message */
    struct span keys[TREE_KEYS]; /* at most TEXT_MAX long; s NULL: any, or none */
    const void *meaning;
};

/*
 * Writes the code for n entries whose texts are those of the message. If none answers it jumps to otherwise.
 */
typedef void (*tree_leaf)(struct program *p, const struct tree_entry *entries, uint32_t n, uint32_t otherwise,
                          void *context);

struct tree {
    struct program *p;
    bool big_endian;
    const uint8_t *slots; /* by key: the slot of M with the offset of the field, or 0 if there is none */
    const uint8_t
        *places; /* instead of slots, by key, where the first filter has noted a field that is there */
    uint32_t n_keys;
    tree_leaf leaf;
    void *context;
};

/* Sorts by rank, then in the order of tree_write. */
void tree_sort(struct tree_entry *entries, uint32_t n);
/* Writes entries of one rank. If none answers the message it jumps to otherwise. */
void tree_write(const struct tree *tree, const struct tree_entry *entries, uint32_t n, uint32_t otherwise);

#endif
