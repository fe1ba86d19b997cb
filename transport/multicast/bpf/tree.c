/* SPDX-License-Identifier: MIT */
#include "bpf/tree.h"

#include "bpf/note.h"

#include <stdlib.h>

#define TEXT_OFFSET 8u /* offset of a text in its field, after its length */

static int tree_compare_numbers(uint32_t a, uint32_t b)
{
    return (a > b) - (a < b);
}

static int compare_texts(struct span a, struct span b)
{
    if (!a.s || !b.s)
        return !a.s - !b.s;
    int difference = tree_compare_numbers(a.n, b.n);
    for (uint32_t i = text_words(a.n); !difference && i-- > 0;)
        difference = tree_compare_numbers(text_word(a, i), text_word(b, i));
    return difference;
}

static int tree_compare_entries(const void *left, const void *right)
{
    const struct tree_entry *a = left, *b = right;
    int difference = tree_compare_numbers(a->rank, b->rank);
    for (uint32_t i = 0; !difference && i < TREE_KEYS; i++)
        difference = compare_texts(a->keys[i], b->keys[i]);
    return difference ? difference : tree_compare_numbers(a->number, b->number);
}

void tree_sort(struct tree_entry *entries, uint32_t n)
{
    if (n)
        qsort(entries, n, sizeof(*entries), tree_compare_entries);
}

/* What is compared: the length of the text of a key, or one of its words. */
struct place {
    uint32_t key;
    uint32_t word;
    bool length;
};

static uint32_t value_of(const struct tree_entry *entry, struct place place)
{
    struct span text = entry->keys[place.key];
    return place.length ? text.n : text_word(text, place.word);
}

static void write_key(const struct tree *tree, const struct tree_entry *entries, uint32_t n, uint32_t key,
                      uint32_t otherwise);

static void write_values(const struct tree *tree, const struct tree_entry *entries, uint32_t n,
                         struct place place, uint32_t otherwise);

/* All entries and the message have the same value at this place: continues with the next place. */
static void write_rest(const struct tree *tree, const struct tree_entry *entries, uint32_t n,
                       struct place place, uint32_t otherwise)
{
    uint32_t words = place.length ? text_words(entries->keys[place.key].n) : place.word;
    if (words == 0) {
        write_key(tree, entries, n, place.key + 1, otherwise);
        return;
    }
    place = (struct place){.key = place.key, .word = words - 1};
    program_load_at(tree->p, BPF_W, TEXT_OFFSET + 4 * place.word);
    write_values(tree, entries, n, place, otherwise);
}

/* The first entry from the middle on whose value differs from its predecessor's; n: there is none. */
static uint32_t tree_split(const struct tree_entry *entries, uint32_t n, struct place place)
{
    for (uint32_t i = n / 2; i < n && i > 0; i++) {
        if (value_of(&entries[i], place) != value_of(&entries[i - 1], place))
            return i;
    }
    for (uint32_t i = n / 2; i-- > 1;) {
        if (value_of(&entries[i], place) != value_of(&entries[i - 1], place))
            return i;
    }
    return n;
}

/* Bisects by the value of the message, in A. Lengths are below 256, so both byte orders sort them alike. */
static void write_values(const struct tree *tree, const struct tree_entry *entries, uint32_t n,
                         struct place place, uint32_t otherwise)
{
    uint32_t middle = tree_split(entries, n, place);
    uint32_t value = value_of(&entries[middle % n], place);
    if (place.length)
        value = text_length(value, tree->big_endian);
    if (middle == n) {
        program_if(tree->p, BPF_JEQ, value, PROGRAM_NEXT, otherwise);
        write_rest(tree, entries, n, place, otherwise);
        return;
    }
    uint32_t upper = program_label(tree->p);
    program_if(tree->p, BPF_JGE, value, upper, PROGRAM_NEXT);
    write_values(tree, entries, middle, place, otherwise);
    program_bind(tree->p, upper);
    write_values(tree, entries + middle, n - middle, place, otherwise);
}

/* X = the offset of the field that is the key; there may be none. */
static void tree_find_key(const struct tree *tree, uint32_t key, uint32_t none)
{
    if (tree->places) {
        note_offset(tree->p, tree->places[key]);
        program_add(tree->p, BPF_MISC | BPF_TAX, 0);
        return;
    }
    program_recall_x(tree->p, tree->slots[key]);
    program_add(tree->p, BPF_MISC | BPF_TXA, 0);
    program_if(tree->p, BPF_JEQ, 0, none, PROGRAM_NEXT);
}

/* Writes the entries with a certain text, then, also if none of them answers, those that accept any. */
static void write_key(const struct tree *tree, const struct tree_entry *entries, uint32_t n, uint32_t key,
                      uint32_t otherwise)
{
    if (key == tree->n_keys) {
        tree->leaf(tree->p, entries, n, otherwise, tree->context);
        return;
    }
    uint32_t certain = 0;
    while (certain < n && entries[certain].keys[key].s)
        certain++;
    uint32_t any = certain < n ? program_label(tree->p) : otherwise;
    if (certain) {
        tree_find_key(tree, key, any);
        program_load_at(tree->p, BPF_W, 4);
        write_values(tree, entries, certain, (struct place){.key = key, .length = true}, any);
    }
    if (certain < n) {
        program_bind(tree->p, any);
        write_key(tree, entries + certain, n - certain, key + 1, otherwise);
    }
}

void tree_write(const struct tree *tree, const struct tree_entry *entries, uint32_t n, uint32_t otherwise)
{
    if (n)
        write_key(tree, entries, n, 0, otherwise);
    else
        program_go(tree->p, otherwise);
}
