/* SPDX-License-Identifier: MIT */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* MAP_ANONYMOUS, MADV_REMOVE */
#endif
#include "base/shared_heap.h"

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#define SPAN_SHIFT 16
#define SPAN_SIZE ((size_t)1 << SPAN_SHIFT)
#define SPACE_MOST ((size_t)64 << 30) /* address space; memory is used where it is written */
#define SPACE_LEAST ((size_t)1 << 30) /* where less address space is allowed */
#define HEAP_KEPT (1u << 20)          /* bytes of free runs that may stay in memory */
#define SMALL_MAX ((size_t)32 * 1024)
/* Up to here there is a class every 16 bytes, then four for each doubling. */
#define FINE_MAX ((size_t)1024)
#define CLASSES (FINE_MAX / 16 + 4 * 5)
#define TRIES 16 /* runs that are looked at in one bin, however many are too short */
#define BINS 21  /* free runs by the logarithm of their length; the last has all of 2^20 spans */
#define NONE 0u  /* the first span is never used */

enum span_kind { SPAN_FREE, SPAN_SMALL, SPAN_LARGE };

/* Describes a span; of a run, its first and its last one. */
struct span_info {
    uint32_t run;   /* spans */
    uint32_t dirty; /* of a free run: its spans that have memory, at most */
    uint32_t next, previous;
    uint16_t used;  /* objects */
    uint16_t fresh; /* objects that were never used begin with this one */
    uint16_t free;  /* the first free object, plus 1 */
    uint8_t kind, class;
};

/* One for the process. All but base, space and salvaging are used with the lock held. */
static struct {
    uint8_t *base;
    size_t space; /* bytes; the descriptions of the spans follow */
    bool salvaging;
    pthread_mutex_t lock;
    struct span_info *spans;
    uint32_t top;             /* the first span that was never used */
    uint32_t bins[BINS];      /* lists of free runs */
    uint32_t partly[CLASSES]; /* lists of spans that have room */
    size_t dirty;             /* in free runs */
} heap = {.lock = PTHREAD_MUTEX_INITIALIZER};

static size_t whole_size(size_t space)
{
    return space + space / SPAN_SIZE * sizeof(struct span_info);
}

static void *reserve(size_t space)
{
    void *base = mmap(NULL, whole_size(space), PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return base == MAP_FAILED ? NULL : base;
}

int shared_heap_begin(void)
{
    if (heap.base)
        return 0;
    if (sizeof(void *) < 8)
        return -EOPNOTSUPP;
    size_t space = SPACE_MOST;
    void *base = reserve(space);
    while (!base && space > SPACE_LEAST)
        base = reserve(space /= 4);
    if (!base)
        return -errno;
    heap.space = space;
    heap.base = base;
    heap.spans = (struct span_info *)(void *)(heap.base + space);
    heap.top = 1;
    shared_heap_inherit(false);
    return 0;
}

void shared_heap_end(void)
{
    if (heap.base)
        munmap(heap.base, whole_size(heap.space));
    heap.base = NULL;
    heap.spans = NULL;
    heap.salvaging = false;
    heap.dirty = 0;
    memset(heap.bins, 0, sizeof(heap.bins));
    memset(heap.partly, 0, sizeof(heap.partly));
}

bool shared_heap_begun(void)
{
    return heap.base != NULL;
}

void shared_heap_inherit(bool inherit)
{
    if (heap.base)
        madvise(heap.base, whole_size(heap.space), inherit ? MADV_DOFORK : MADV_DONTFORK);
}

static bool is_shared(const void *object)
{
    return heap.base && (uintptr_t)object - (uintptr_t)heap.base < heap.space;
}

bool shared_heap_owns(const void *object)
{
    return is_shared(object) || heap.salvaging;
}

static void list_put(uint32_t *head, uint32_t span)
{
    struct span_info *info = &heap.spans[span];
    info->previous = NONE;
    info->next = *head;
    if (*head)
        heap.spans[*head].previous = span;
    *head = span;
}

static void list_cut(uint32_t *head, uint32_t span)
{
    const struct span_info *info = &heap.spans[span];
    if (info->previous)
        heap.spans[info->previous].next = info->next;
    else
        *head = info->next;
    if (info->next)
        heap.spans[info->next].previous = info->previous;
}

static unsigned bin_of(uint32_t run)
{
    return 31u - (unsigned)__builtin_clz(run);
}

/* Runs: of free spans, merged with their neighbours. */

static void run_set(uint32_t first, uint32_t run, enum span_kind kind)
{
    struct span_info *ends[2] = {&heap.spans[first], &heap.spans[first + run - 1]};
    for (int i = 0; i < 2; i++) {
        ends[i]->run = run;
        ends[i]->kind = (uint8_t)kind;
    }
}

static void run_put(uint32_t first, uint32_t run, uint32_t dirty)
{
    run_set(first, run, SPAN_FREE);
    heap.spans[first].dirty = dirty;
    list_put(&heap.bins[bin_of(run)], first);
}

static void run_cut(uint32_t first)
{
    list_cut(&heap.bins[bin_of(heap.spans[first].run)], first);
}

/* A run that is long enough; NONE: none was found. Only in the lowest bin can a run be too short. */
static uint32_t run_find(uint32_t run)
{
    for (unsigned bin = bin_of(run); bin < BINS; bin++) {
        uint32_t at = heap.bins[bin];
        for (int i = 0; at && i < TRIES; i++, at = heap.spans[at].next) {
            if (heap.spans[at].run >= run)
                return at;
        }
    }
    return NONE;
}

/* A run of spans in use, as long as wanted. NONE: no memory. */
static uint32_t run_take(uint32_t run, enum span_kind kind)
{
    uint32_t first = run_find(run);
    if (first == NONE) {
        if (run > heap.space / SPAN_SIZE - heap.top)
            return NONE;
        first = heap.top;
        heap.top += run;
    } else {
        const struct span_info info = heap.spans[first];
        uint32_t dirty = info.dirty < run ? info.dirty : run;
        run_cut(first);
        heap.dirty -= (size_t)dirty * SPAN_SIZE;
        if (info.run > run)
            run_put(first + run, info.run - run, info.dirty - dirty);
    }
    run_set(first, run, kind);
    return first;
}

/* Memory that the free runs have beyond HEAP_KEPT goes back to the kernel. */
static void run_give(uint32_t first, uint32_t run)
{
    uint32_t dirty = run;
    heap.dirty += (size_t)run * SPAN_SIZE;
    if (heap.dirty > HEAP_KEPT &&
        madvise(heap.base + ((size_t)first << SPAN_SHIFT), (size_t)run << SPAN_SHIFT, MADV_REMOVE) == 0) {
        heap.dirty -= (size_t)run * SPAN_SIZE;
        dirty = 0;
    }
    const struct span_info *before = &heap.spans[first - 1], *after = &heap.spans[first + run];
    if (first > 1 && before->kind == SPAN_FREE) {
        first -= before->run;
        run += before->run;
        dirty += heap.spans[first].dirty;
        run_cut(first);
    }
    if (first + run < heap.top && after->kind == SPAN_FREE) {
        uint32_t more = after->run;
        dirty += after->dirty;
        run_cut(first + run);
        run += more;
    }
    run_put(first, run, dirty);
}

/* Small objects. */

static unsigned class_of(size_t size)
{
    if (size <= FINE_MAX)
        return size == 0 ? 0 : (unsigned)((size - 1) / 16);
    unsigned doubling = 63u - (unsigned)__builtin_clzll(size - 1); /* 2^doubling < size <= twice that */
    size_t quarter = (size_t)1 << (doubling - 2);
    return (unsigned)(FINE_MAX / 16 + 4 * (doubling - 10u) + (size - 1 - 4 * quarter) / quarter);
}

static size_t size_of_class(unsigned class)
{
    if (class < FINE_MAX / 16)
        return 16 * ((size_t) class + 1);
    unsigned more = class - (unsigned)(FINE_MAX / 16);
    return ((size_t)5 + more % 4) << (8 + more / 4);
}

static uint8_t *object_at(uint32_t span, size_t size, uint32_t place)
{
    return heap.base + ((size_t)span << SPAN_SHIFT) + place * size;
}

static void *small_new(size_t wanted)
{
    unsigned class = class_of(wanted);
    size_t size = size_of_class(class);
    uint32_t span = heap.partly[class];
    if (!span) {
        span = run_take(1, SPAN_SMALL);
        if (!span)
            return NULL;
        struct span_info *new = &heap.spans[span];
        new->used = new->fresh = new->free = 0;
        new->class = (uint8_t) class;
        list_put(&heap.partly[class], span);
    }
    struct span_info *info = &heap.spans[span];
    uint8_t *object;
    if (info->free) {
        object = object_at(span, size, info->free - 1u);
        memcpy(&info->free, object, sizeof(info->free));
    } else {
        object = object_at(span, size, info->fresh++);
    }
    if (++info->used == SPAN_SIZE / size)
        list_cut(&heap.partly[class], span);
    return object;
}

static void small_free(uint32_t span, uint8_t *object)
{
    struct span_info *info = &heap.spans[span];
    size_t size = size_of_class(info->class);
    size_t place = (size_t)(object - object_at(span, size, 0)) / size;
    if (info->used == SPAN_SIZE / size)
        list_put(&heap.partly[info->class], span);
    memcpy(object, &info->free, sizeof(info->free));
    info->free = (uint16_t)(place + 1);
    if (--info->used > 0)
        return;
    /* the last span of a class stays, as the next object would take one again */
    if (heap.partly[info->class] == span && info->next == NONE)
        return;
    list_cut(&heap.partly[info->class], span);
    run_give(span, 1);
}

/* The size that an object may have without being moved. */
static size_t room_of(const void *object)
{
    const struct span_info *info = &heap.spans[((uintptr_t)object - (uintptr_t)heap.base) >> SPAN_SHIFT];
    return info->kind == SPAN_SMALL ? size_of_class(info->class) : (size_t)info->run << SPAN_SHIFT;
}

/* Objects of a standby that salvages: in memory of its own, with their size in front. */
struct salvaged {
    _Alignas(16) size_t size;
};

static void *salvage_new(size_t size)
{
    static uint8_t *at, *end;
    if (size > SIZE_MAX / 2)
        return NULL;
    size_t whole = sizeof(struct salvaged) + ((size + 15) & ~(size_t)15);
    if (!at || whole > (size_t)(end - at)) {
        size_t more = whole > SPAN_SIZE ? whole : SPAN_SIZE;
        void *new = mmap(NULL, more, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (new == MAP_FAILED)
            return NULL;
        at = new;
        end = at + more;
    }
    struct salvaged *object = (struct salvaged *)(void *)at;
    at += whole;
    object->size = size;
    return object + 1;
}

static void *salvage_resize(void *object, size_t size)
{
    void *new = salvage_new(size);
    if (!new || !object)
        return new;
    size_t old = is_shared(object) ? room_of(object) : ((struct salvaged *)object)[-1].size;
    return memcpy(new, object, old < size ? old : size);
}

void shared_heap_salvage(void)
{
    heap.salvaging = true;
}

void *shared_heap_new(size_t size)
{
    if (heap.salvaging)
        return salvage_new(size);
    if (size > heap.space)
        return NULL;
    pthread_mutex_lock(&heap.lock);
    void *object = NULL;
    if (size <= SMALL_MAX) {
        object = small_new(size);
    } else {
        uint32_t span = run_take((uint32_t)((size + SPAN_SIZE - 1) >> SPAN_SHIFT), SPAN_LARGE);
        if (span)
            object = heap.base + ((size_t)span << SPAN_SHIFT);
    }
    pthread_mutex_unlock(&heap.lock);
    return object;
}

void shared_heap_free(void *object)
{
    if (!object || heap.salvaging)
        return;
    uint32_t span = (uint32_t)(((uintptr_t)object - (uintptr_t)heap.base) >> SPAN_SHIFT);
    pthread_mutex_lock(&heap.lock);
    if (heap.spans[span].kind == SPAN_SMALL)
        small_free(span, object);
    else
        run_give(span, heap.spans[span].run);
    pthread_mutex_unlock(&heap.lock);
}

/* Lengthens or shortens a run where it is. False: what follows is in use. */
static bool run_resize(uint32_t first, uint32_t run)
{
    uint32_t old = heap.spans[first].run, next = first + old;
    if (run < old) {
        run_set(first, run, SPAN_LARGE);
        run_give(first + run, old - run);
        return true;
    }
    if (run == old)
        return true;
    if (next == heap.top && run - old <= heap.space / SPAN_SIZE - heap.top) {
        heap.top += run - old;
        run_set(first, run, SPAN_LARGE);
        return true;
    }
    const struct span_info info = heap.spans[next];
    if (next >= heap.top || info.kind != SPAN_FREE || info.run < run - old)
        return false;
    uint32_t more = run - old, dirty = info.dirty < more ? info.dirty : more;
    run_cut(next);
    heap.dirty -= (size_t)dirty * SPAN_SIZE;
    if (info.run > more)
        run_put(next + more, info.run - more, info.dirty - dirty);
    run_set(first, run, SPAN_LARGE);
    return true;
}

static bool resize_in_place(void *object, size_t size)
{
    uint32_t span = (uint32_t)(((uintptr_t)object - (uintptr_t)heap.base) >> SPAN_SHIFT);
    const struct span_info *info = &heap.spans[span];
    if (info->kind == SPAN_SMALL)
        return size <= SMALL_MAX && class_of(size) == info->class;
    if (size <= SMALL_MAX || size > heap.space)
        return false;
    return run_resize(span, (uint32_t)((size + SPAN_SIZE - 1) >> SPAN_SHIFT));
}

void *shared_heap_resize(void *object, size_t size)
{
    if (heap.salvaging)
        return salvage_resize(object, size);
    if (!object)
        return shared_heap_new(size);
    pthread_mutex_lock(&heap.lock);
    size_t old = room_of(object);
    bool done = resize_in_place(object, size);
    pthread_mutex_unlock(&heap.lock);
    if (done)
        return object;
    void *new = shared_heap_new(size);
    if (!new)
        return NULL;
    memcpy(new, object, old < size ? old : size);
    shared_heap_free(object);
    return new;
}
