/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_POINTER_MAP_H
#define OMNIBUS_POINTER_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Objects, each once, in the order in which they were added; its place there stands for an object in a state.
 */
struct pointer_map {
    const void **all;
    uint32_t n, room;
    uint32_t *slots; /* places plus one, by hash; 0: free */
    uint32_t mask;
};

/* Adds an object unless it is there. False: no memory. */
bool pointer_map_add(struct pointer_map *map, const void *object, uint32_t *place);
bool pointer_map_find(const struct pointer_map *map, const void *object, uint32_t *place);
void pointer_map_free(struct pointer_map *map);

#endif
