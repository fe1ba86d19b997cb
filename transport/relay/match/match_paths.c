/* SPDX-License-Identifier: MIT */
#include "match/match_paths.h"

#include <errno.h>
#include <stdlib.h>

void match_paths_init(struct match_paths *paths)
{
    *paths = (struct match_paths){0};
    list_init(&paths->order);
}

static void spare_put(struct match_paths *paths, struct match_path *path)
{
    path->after = paths->spare;
    paths->spare = path;
    paths->n_spare++;
}

static struct match_path *spare_take(struct match_paths *paths)
{
    struct match_path *path = paths->spare;
    paths->spare = path->after;
    paths->n_spare--;
    return path;
}

void match_paths_free(struct match_paths *paths)
{
    while (paths->spare)
        free(spare_take(paths));
}

int match_paths_reserve(struct match_paths *paths, uint32_t more)
{
    while (paths->n_spare < more) {
        struct match_path *path = malloc(sizeof(*path));
        if (!path)
            return -ENOMEM;
        spare_put(paths, path);
    }
    return 0;
}

/* Orders by bytes; a prefix comes first. */
static bool is_before(const struct match_path *path, struct span text)
{
    const struct symbol *value = path->value;
    uint32_t n = value->size < text.n ? value->size : text.n;
    int order = n ? memcmp(value->text, text.s, n) : 0;
    return order < 0 || (order == 0 && value->size < text.n);
}

/*
 * The hash, mixed once more. For texts that end in big-endian digits, one step of the hash maps consecutive
 * numbers to steps of one length around the circle, and a heap by those may be a deep tree.
 */
static uint64_t weight(const struct match_path *path)
{
    uint64_t bits = path->value->node.hash.bits;
    bits = (bits ^ bits >> 32) * 0x9e3779b97f4a7c15u;
    return (bits ^ bits >> 29) * 0xbf58476d1ce4e5b9u;
}

static bool is_above(const struct match_path *a, const struct match_path *b)
{
    return weight(a) > weight(b);
}

/* The first path that is not before text; NULL: there is none. */
static struct match_path *lower_bound(const struct match_paths *paths, struct span text)
{
    struct match_path *found = NULL, *at = paths->root;
    while (at) {
        bool before = is_before(at, text);
        found = before ? found : at;
        at = before ? at->after : at->before;
    }
    return found;
}

/* Splits a tree into the paths before a text and the others. */
static void match_paths_split(struct match_path *tree, struct span text, struct match_path **before,
                              struct match_path **after)
{
    while (tree) {
        if (is_before(tree, text)) {
            *before = tree;
            before = &tree->after;
            tree = tree->after;
        } else {
            *after = tree;
            after = &tree->before;
            tree = tree->before;
        }
    }
    *before = *after = NULL;
}

/* Joins two trees, all of the first being before the second. */
static void match_paths_join(struct match_path **tree, struct match_path *before, struct match_path *after)
{
    while (before && after) {
        if (is_above(before, after)) {
            *tree = before;
            tree = &before->after;
            before = before->after;
        } else {
            *tree = after;
            tree = &after->before;
            after = after->before;
        }
    }
    *tree = before ? before : after;
}

/* The link that points to path, or, if it is not in the tree, the link on the way down where it belongs. */
static struct match_path **match_paths_place_of(struct match_paths *paths, const struct match_path *path,
                                                bool linked)
{
    const struct span text = symbol_span(path->value);
    struct match_path **at = &paths->root;
    while (*at && *at != path && (linked || !is_above(path, *at)))
        at = is_before(*at, text) ? &(*at)->after : &(*at)->before;
    return at;
}

void match_paths_add(struct match_paths *paths, struct symbol *value)
{
    if (value->path) {
        value->path->uses++;
        return;
    }
    struct match_path *path = value->path = spare_take(paths);
    *path = (struct match_path){.value = value, .uses = 1};
    struct match_path *next = lower_bound(paths, symbol_span(value));
    list_append(next ? &next->in_order : &paths->order, &path->in_order); /* before the next */
    struct match_path **at = match_paths_place_of(paths, path, false);
    match_paths_split(*at, symbol_span(value), &path->before, &path->after);
    *at = path;
}

void match_paths_remove(struct match_paths *paths, struct symbol *value)
{
    struct match_path *path = value->path;
    if (--path->uses > 0)
        return;
    match_paths_join(match_paths_place_of(paths, path, true), path->before, path->after);
    list_unlink(&path->in_order);
    value->path = NULL;
    free(path);
}

static struct match_path *if_it_begins(struct match_path *path, struct span prefix)
{
    return path && span_starts(symbol_span(path->value), prefix) ? path : NULL;
}

struct match_path *match_paths_first(const struct match_paths *paths, struct span prefix)
{
    return if_it_begins(lower_bound(paths, prefix), prefix);
}

struct match_path *match_paths_next(const struct match_paths *paths, const struct match_path *path,
                                    struct span prefix)
{
    struct list *next = path->in_order.next;
    return next == &paths->order ? NULL
                                 : if_it_begins(CONTAINER_OF(next, struct match_path, in_order), prefix);
}
