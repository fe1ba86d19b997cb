/* SPDX-License-Identifier: MIT */
#include "match_paths.h"

#include <errno.h>
#include <stdlib.h>

void match_paths_free(struct match_paths *paths)
{
    free(paths->paths);
    *paths = (struct match_paths){0};
}

int match_paths_reserve(struct match_paths *paths, uint32_t more)
{
    if (paths->capacity - paths->n >= more)
        return 0;
    if (paths->n > UINT32_MAX / 2 - more)
        return -ENOMEM;
    uint32_t capacity = 2 * (paths->n + more);
    struct match_path *grown = reallocarray(paths->paths, capacity, sizeof(*grown));
    if (!grown)
        return -ENOMEM;
    paths->paths = grown;
    paths->capacity = capacity;
    return 0;
}

/* As memory is, a beginning before what it begins. */
static int compare(struct span a, struct span b)
{
    uint32_t n = a.n < b.n ? a.n : b.n;
    int order = n ? memcmp(a.s, b.s, n) : 0;
    return order ? order : (a.n > b.n) - (a.n < b.n);
}

/* The first from which on all are text or after it. */
static uint32_t lower_bound(const struct match_paths *paths, struct span text)
{
    uint32_t low = 0, high = paths->n;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (compare(symbol_span(paths->paths[middle].symbol), text) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void match_paths_add(struct match_paths *paths, struct symbol *symbol)
{
    uint32_t i = lower_bound(paths, symbol_span(symbol));
    struct match_path *at = &paths->paths[i];
    if (i == paths->n || at->symbol != symbol) {
        memmove(at + 1, at, (paths->n - i) * sizeof(*at));
        *at = (struct match_path){symbol, 0};
        paths->n++;
    }
    at->uses++;
}

void match_paths_remove(struct match_paths *paths, const struct symbol *symbol)
{
    uint32_t i = lower_bound(paths, symbol_span(symbol));
    struct match_path *at = &paths->paths[i];
    if (--at->uses > 0)
        return;
    paths->n--;
    memmove(at, at + 1, (paths->n - i) * sizeof(*at));
}

uint32_t match_paths_below(const struct match_paths *paths, struct span prefix, uint32_t *first)
{
    uint32_t low = *first = lower_bound(paths, prefix), high = paths->n;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (span_starts(symbol_span(paths->paths[middle].symbol), prefix))
            low = middle + 1;
        else
            high = middle;
    }
    return low - *first;
}
