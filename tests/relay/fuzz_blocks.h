/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_FUZZ_BLOCKS_H
#define OMNIBUS_FUZZ_BLOCKS_H

/*
 * The relay's small blocks of memory while an input runs. Each is new memory in an area that is emptied after
 * the input; all of the area but the blocks in use is poisoned. So a freed block is not used again within an
 * input, which AddressSanitizer's quarantine does not promise, and an allocation takes a tenth of the time.
 *
 * Reports do not tell where a block was allocated and freed: FUZZ_STACKS=1 leaves blocks to AddressSanitizer.
 */

#include <sanitizer/asan_interface.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define BLOCKS_AREA (8u << 20)
#define BLOCKS_GAP 16u /* before each block, and after the last */

struct area {
    bool off;
    size_t used; /* of the area */
    uint32_t n;  /* blocks in use */
};

static struct area area;
static uint8_t blocks_area[BLOCKS_AREA] __attribute__((aligned(16)));

#define UNCHECKED __attribute__((no_sanitize("address")))

/* The size of a block and one stands in the gap before it; 0: it is freed. */
UNCHECKED static inline size_t *block_head(void *memory)
{
    return (size_t *)(void *)((uint8_t *)memory - BLOCKS_GAP);
}

UNCHECKED static inline size_t block_size(void *memory)
{
    size_t head = (uintptr_t)memory % BLOCKS_GAP ? 0 : *block_head(memory);
    if (head == 0 || head > BLOCKS_AREA)
        abort(); /* freed before, or no block */
    return head - 1;
}

static inline void blocks_initialize(void)
{
    area.off = getenv("FUZZ_STACKS") != NULL;
    __asan_poison_memory_region(blocks_area, sizeof(blocks_area));
}

static inline bool is_block(const void *memory)
{
    uintptr_t at = (uintptr_t)memory, first = (uintptr_t)blocks_area;
    return at >= first && at < first + sizeof(blocks_area);
}

/* NULL: there is no room. */
UNCHECKED static inline void *block_new(size_t size)
{
    size_t room = (size + 15) & ~(size_t)15;
    if (area.off || size >= BLOCKS_AREA || BLOCKS_AREA - area.used < room + 2 * BLOCKS_GAP)
        return NULL;
    uint8_t *memory = blocks_area + area.used + BLOCKS_GAP;
    *block_head(memory) = size + 1;
    area.used += BLOCKS_GAP + room;
    area.n++;
    __asan_unpoison_memory_region(memory, size);
    return memory;
}

UNCHECKED static inline void block_free(void *memory)
{
    __asan_poison_memory_region(memory, block_size(memory));
    *block_head(memory) = 0;
    area.n--;
}

static inline void blocks_end(void)
{
    if (area.n > 0)
        abort(); /* a leak */
    area.used = 0;
}

#endif
