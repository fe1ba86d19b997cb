/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_FUZZ_WORLD_H
#define OMNIBUS_FUZZ_WORLD_H

/*
 * A fake of the C library while an input runs, by the linker's --wrap: a clock that moves only
 * when the input says so, constant randomness, calls and allocations that fail; and the kernel's credentials
 * of a peer. Large blocks are kept from one input to the next, because mapping them again
 * costs more than the rest of an input.
 */

#include "fuzz_blocks.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#define ASSERT(condition)                                                                                    \
    do {                                                                                                     \
        if (!(condition))                                                                                    \
            abort();                                                                                         \
    } while (0)

/* A long quarantine makes each allocation touch memory that is in no cache. */
const char *__asan_default_options(void);

const char *__asan_default_options(void)
{
#ifdef FUZZ_OWN_RUN /* a process that ends leaves its memory */
    return "quarantine_size_mb=4:malloc_context_size=8:detect_leaks=0";
#endif
    return "quarantine_size_mb=4:malloc_context_size=8";
}

#define WORLD_LARGE (16u * 1024) /* blocks of this size or more are kept */
#define WORLD_BLOCKS 24
#define WORLD_FILL 0xbe
#define WORLD_FILLED 4096u /* of larger blocks the contents are left */

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif
#ifndef SO_PEERGROUPS
#define SO_PEERGROUPS 59
#endif

enum world_call {
    WORLD_ACCEPT,
    WORLD_RECEIVE,
    WORLD_SEND,
    WORLD_SEND_FDS,
    WORLD_WATCH,
    WORLD_COUNTER,
    WORLD_PIPE,
    WORLD_LINK,   /* readlink */
    WORLD_SYSTEM, /* statfs */
    WORLD_NOTIFY,
    WORLD_EVENTS, /* a read of inotify's queue */
    WORLD_CALLS
};

struct world_block {
    void *memory;
    size_t size;
    bool used;
};

static struct world {
    bool running; /* the relay is running, not the fuzzer */
    int64_t now;  /* microseconds; 0: the real time */
    int64_t step; /* by which each reading advances the clock */
    struct ucred user;
    int n_groups; /* negative: SO_PEERGROUPS is unsupported */
    gid_t groups[4];
    const char *label;        /* NULL: there is no security module */
    int failing[WORLD_CALLS]; /* the error of the next call; 0: it succeeds */
    bool allocations_fail;    /* after this many calls */
    uint32_t allocations;
    bool cut;             /* the next control data does not fit */
    void (*moment)(void); /* called around each allocation, read and write of the relay; NULL: not */
    bool dead;            /* the relay is a standby's, which frees nothing */
    void *(*thread)(void *);
    void *thread_context;
    struct world_block blocks[WORLD_BLOCKS];
} world;

static inline void world_begin(void)
{
    struct world_block blocks[WORLD_BLOCKS];
    memcpy(blocks, world.blocks, sizeof(blocks));
    world = (struct world){.now = 1000000000, .user = {.pid = 0, .uid = 1000, .gid = 1000}};
    memcpy(world.blocks, blocks, sizeof(blocks));
}

/* Ends all failures. */
static inline void world_settle(void)
{
    memset(world.failing, 0, sizeof(world.failing));
    world.allocations_fail = false;
    world.cut = false;
    world.step = 0;
}

static inline void world_end(void)
{
    world.now = 0;
    for (size_t i = 0; i < WORLD_BLOCKS; i++)
        ASSERT(!world.blocks[i].used);
    blocks_end();
}

/* True: the call fails, with errno set. */
static inline bool world_fails(enum world_call call)
{
    int error = world.running ? world.failing[call] : 0;
    if (!error)
        return false;
    world.failing[call] = 0;
    errno = error;
    return true;
}

static inline void world_moment(void)
{
    if (world.running && world.moment)
        world.moment();
}

static inline bool world_allocates(void)
{
    world_moment();
    if (!world.running || !world.allocations_fail)
        return true;
    if (world.allocations == 0)
        return false;
    world.allocations--;
    return true;
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *old, size_t size);
void __real_free(void *memory);

/* NULL: no block of this size is or can be kept. */
static inline void *world_large(size_t size)
{
    for (struct world_block *block = world.blocks; block < world.blocks + WORLD_BLOCKS; block++) {
        if (block->memory && (block->used || block->size != size))
            continue;
        if (!block->memory)
            *block = (struct world_block){__real_malloc(size), size, false};
        block->used = true;
        __asan_unpoison_memory_region(block->memory, size);
        return block->memory;
    }
    return NULL;
}

static inline struct world_block *world_block(const void *memory)
{
    for (struct world_block *block = world.blocks; block < world.blocks + WORLD_BLOCKS; block++) {
        if (block->memory == memory && block->used)
            return block;
    }
    return NULL;
}

/* fill: the byte that it contains. NULL: the relay is not running, or has more than is simulated. */
static inline void *world_memory(size_t size, int fill)
{
    if (!world.running)
        return NULL;
    void *memory = size >= WORLD_LARGE ? world_large(size) : block_new(size);
    if (memory && (fill == 0 || size <= WORLD_FILLED))
        memset(memory, fill, size);
    return memory;
}

void *__wrap_malloc(size_t size)
{
    if (!world_allocates())
        return NULL;
    void *memory = world_memory(size, WORLD_FILL);
    return memory ? memory : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
    size_t all;
    if (!world_allocates())
        return NULL;
    void *memory = __builtin_mul_overflow(n, size, &all) ? NULL : world_memory(all, 0);
    return memory ? memory : __real_calloc(n, size);
}

void __wrap_free(void *memory)
{
    if (world.dead)
        return;
    if (is_block(memory)) {
        block_free(memory);
        return;
    }
    struct world_block *block = memory ? world_block(memory) : NULL;
    if (!block) {
        __real_free(memory);
        return;
    }
    block->used = false;
    __asan_poison_memory_region(block->memory, block->size);
}

void *__wrap_realloc(void *old, size_t size)
{
    if (!old)
        return __wrap_malloc(size);
    if (!world_allocates())
        return NULL;
    const struct world_block *block = world_block(old);
    if (!block && !is_block(old))
        return __real_realloc(old, size);
    size_t before = block ? block->size : block_size(old);
    void *memory = world_memory(size, WORLD_FILL);
    memory = memory ? memory : __real_malloc(size);
    ASSERT(memory);
    memcpy(memory, old, size < before ? size : before);
    __wrap_free(old);
    return memory;
}

int __real_clock_gettime(clockid_t clock, struct timespec *now);

int __wrap_clock_gettime(clockid_t clock, struct timespec *now)
{
    if (!world.now || clock != CLOCK_MONOTONIC)
        return __real_clock_gettime(clock, now);
    world.now += world.step;
    *now = (struct timespec){.tv_sec = world.now / 1000000, .tv_nsec = world.now % 1000000 * 1000};
    return 0;
}

ssize_t __wrap_getrandom(void *bytes, size_t size, unsigned flags)
{
    (void)flags;
    memset(bytes, 0x5a, size);
    return (ssize_t)size;
}

/* The thread runs in pthread_join, when all its work is there. */
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
                          void *context)
{
    (void)thread, (void)attributes;
    world.thread = run;
    world.thread_context = context;
    return 0;
}

int __wrap_pthread_join(pthread_t thread, void **result)
{
    (void)thread, (void)result;
    world.thread(world.thread_context);
    return 0;
}

#endif
