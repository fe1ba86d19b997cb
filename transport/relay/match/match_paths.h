/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_MATCH_PATHS_H
#define OMNIBUS_MATCH_PATHS_H

#include "base/symbol.h"

/*
 * The values of argNpath in order, because an argument that ends in '/' matches every value below it: those
 * that begin with it stand side by side.
 *
 * They are a treap: a search tree by text and a heap by the keyed hash of the text, so its shape is that of a
 * tree of random keys whatever the clients choose, and insertion and removal take a logarithmic number of
 * comparisons. A sorted array moved all that was behind a value: 22 seconds for 120,000 that left. Sets of
 * all beginnings of a value, by hash, need no order, but 512 entries for a value of 1024 slashes; a radix
 * tree is as deep as the longest value has bits.
 */
struct match_path {
    struct symbol *value;
    struct match_path *before, *after; /* below it in the tree */
    struct list in_order;              /* paths.order */
    uint32_t uses;
};

struct match_paths {
    struct match_path *root;
    struct list order;        /* of match_path.in_order */
    struct match_path *spare; /* by after */
    uint32_t n_spare;
};

void match_paths_init(struct match_paths *paths);
void match_paths_free(struct match_paths *paths);
/* Room for so many more; 0 or -ENOMEM. */
int match_paths_reserve(struct match_paths *paths, uint32_t more);
/* One use more, which needs room, or less of a value. */
void match_paths_add(struct match_paths *paths, struct symbol *value);
void match_paths_remove(struct match_paths *paths, struct symbol *value);
/* The first value that begins with prefix, and the next one that does; NULL: there are no more. */
struct match_path *match_paths_first(const struct match_paths *paths, struct span prefix);
struct match_path *match_paths_next(const struct match_paths *paths, const struct match_path *path,
                                    struct span prefix);

#endif
