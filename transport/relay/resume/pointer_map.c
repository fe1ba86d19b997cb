/* SPDX-License-Identifier: MIT */
#include "resume/pointer_map.h"

#include <stdlib.h>

#define POINTER_MAP_FIRST 64u /* objects; there are twice as many slots */

/* The slot of an object, or the free one where it would be. No client chooses addresses. */
static uint32_t *slot_of(const struct pointer_map *map, const void *object)
{
    uint64_t hash = (uint64_t)(uintptr_t)object * 0x9e3779b97f4a7c15u;
    uint32_t at = (uint32_t)(hash >> 32) & map->mask;
    while (map->slots[at] && map->all[map->slots[at] - 1] != object)
        at = (at + 1) & map->mask;
    return &map->slots[at];
}

static bool pointer_map_grow(struct pointer_map *map)
{
    uint32_t room = map->room ? 2 * map->room : POINTER_MAP_FIRST;
    const void **all = room > UINT32_MAX / 4 ? NULL : realloc(map->all, room * sizeof(*all));
    if (!all)
        return false;
    map->all = all;
    uint32_t *slots = calloc(2 * (size_t)room, sizeof(*slots));
    if (!slots)
        return false;
    free(map->slots);
    map->slots = slots;
    map->room = room;
    map->mask = 2 * room - 1;
    for (uint32_t i = 0; i < map->n; i++)
        *slot_of(map, map->all[i]) = i + 1;
    return true;
}

bool pointer_map_find(const struct pointer_map *map, const void *object, uint32_t *place)
{
    uint32_t found = map->n ? *slot_of(map, object) : 0;
    *place = found - 1;
    return found > 0;
}

bool pointer_map_add(struct pointer_map *map, const void *object, uint32_t *place)
{
    if (pointer_map_find(map, object, place))
        return true;
    if (map->n == map->room && !pointer_map_grow(map))
        return false;
    map->all[map->n] = object;
    *slot_of(map, object) = map->n + 1;
    *place = map->n++;
    return true;
}

void pointer_map_free(struct pointer_map *map)
{
    free(map->all);
    free(map->slots);
    *map = (struct pointer_map){0};
}
