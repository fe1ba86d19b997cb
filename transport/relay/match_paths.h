/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_MATCH_PATHS_H
#define OMNIBUS_MATCH_PATHS_H

#include "symbol.h"

/*
 * The values of argNpath in order, because an argument that ends in '/' matches every value below it: those
 * that begin with it stand side by side.
 */
struct match_paths {
    struct match_path {
        struct symbol *symbol;
        uint32_t uses;
    } * paths;
    uint32_t n, capacity;
};

void match_paths_free(struct match_paths *paths);
/* Room for so many more; 0 or -ENOMEM. */
int match_paths_reserve(struct match_paths *paths, uint32_t more);
void match_paths_add(struct match_paths *paths, struct symbol *symbol); /* needs room */
void match_paths_remove(struct match_paths *paths, const struct symbol *symbol);
/* The first that begins with prefix is paths[*first]; returns how many do. */
uint32_t match_paths_below(const struct match_paths *paths, struct span prefix, uint32_t *first);

#endif
