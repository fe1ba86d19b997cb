/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_MATCH_PATHS_H
#define OMNIBUS_MATCH_PATHS_H

#include "base/symbol.h"

/*
 * The values of argNpath in order. An argument that ends in '/' matches every value below it, and these are
 * neighbours in the order.
 *
 * The values form a treap: a search tree by text and a heap by the keyed hash of the text, so its shape is
 * that of a tree of random keys whatever clients choose, and insertion and removal take a logarithmic number
 * of comparisons. A sorted array was rejected, as it moves all values after the changed one: 22 seconds to
 * remove 120,000. A hash set of all prefixes of a value needs no order, but 512 entries for a value of 1024
 * slashes; a radix tree is as deep as the longest value has bits.
 */
struct match_path {
    struct symbol *value;
    struct match_path *before, *after; /* its children in the tree */
    struct list in_order;              /* paths.order */
    uint32_t uses;
};

struct match_paths {
    struct match_path *root;
    struct list order;        /* list of match_path.in_order */
    struct match_path *spare; /* unused nodes, linked by after */
    uint32_t n_spare;
};

void match_paths_init(struct match_paths *paths);
void match_paths_free(struct match_paths *paths);
/* Allocates nodes for more values. 0 or -ENOMEM. */
int match_paths_reserve(struct match_paths *paths, uint32_t more);
/* Adds a use of a value, for which room was reserved, or removes one. */
void match_paths_add(struct match_paths *paths, struct symbol *value);
void match_paths_remove(struct match_paths *paths, struct symbol *value);
/* Iterate over the values that begin with prefix; NULL: no more. */
struct match_path *match_paths_first(const struct match_paths *paths, struct span prefix);
struct match_path *match_paths_next(const struct match_paths *paths, const struct match_path *path,
                                    struct span prefix);

#endif
