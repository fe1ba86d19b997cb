/* SPDX-License-Identifier: MIT */

/* The shared heap, used as malloc is used; and what a forked process has of it. */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "check.h"
#include "emulated.h"

#include "../../transport/relay/base/shared_heap.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#define NARROW (sizeof(void *) < 8)
#define OBJECTS 2000
#define STEPS 50000

struct object {
    uint8_t *bytes;
    size_t size;
    uint8_t filling;
};

static uint32_t state_of_random;

static uint32_t draw(void)
{
    state_of_random = state_of_random * 1664525u + 1013904223u;
    return state_of_random >> 8;
}

/* Mostly small, sometimes several spans. */
static size_t draw_size(void)
{
    switch (draw() % 16) {
    case 0:
        return draw() % 2000000;
    case 1:
    case 2:
        return draw() % 70000;
    case 3:
        return 0;
    default:
        return draw() % 3000;
    }
}

static void fill(struct object *o, size_t from)
{
    if (o->size > from)
        memset(o->bytes + from, o->filling, o->size - from);
}

static bool is_whole(const struct object *o, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (o->bytes[i] != o->filling)
            return false;
    }
    return true;
}

static void renew(struct object *o)
{
    shared_heap_free(o->bytes);
    o->size = draw_size();
    o->filling = (uint8_t)draw();
    o->bytes = shared_heap_new(o->size);
    CHECK(o->bytes && (uintptr_t)o->bytes % 16 == 0 && shared_heap_owns(o->bytes));
    fill(o, 0);
}

static void change(struct object *o)
{
    size_t old = o->size;
    o->size = draw_size();
    o->bytes = shared_heap_resize(o->bytes, o->size);
    CHECK(o->bytes != NULL);
    CHECK(is_whole(o, old < o->size ? old : o->size));
    fill(o, old);
}

static long resident(void)
{
    long pages = 0, all = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (!file || fscanf(file, "%ld %ld", &all, &pages) != 2)
        pages = -1;
    if (file)
        fclose(file);
    return pages * sysconf(_SC_PAGESIZE);
}

static void objects_keep_their_bytes(void)
{
    static struct object objects[OBJECTS];
    if (NARROW || is_emulated())
        SKIP("an emulator does not pass on advice about memory");
    state_of_random = 1;
    REQUIRE(CHECK_EQUAL(shared_heap_begin(), 0));
    long before = resident();
    for (int i = 0; i < STEPS && check_failures == 0; i++) {
        struct object *o = &objects[draw() % OBJECTS];
        if (o->bytes && draw() % 3 == 0)
            change(o);
        else
            renew(o);
    }
    for (int i = 0; i < OBJECTS; i++) {
        CHECK(!objects[i].bytes || is_whole(&objects[i], objects[i].size));
        shared_heap_free(objects[i].bytes);
    }
    /* what is free goes back to the kernel, but for some megabytes */
    CHECK(resident() - before < 16 << 20);
    shared_heap_end();
}

static void every_size(void)
{
    if (NARROW)
        SKIP("machines of 32 bits have no shared heap");
    REQUIRE(CHECK_EQUAL(shared_heap_begin(), 0));
    uint8_t *before = NULL;
    for (size_t size = 0; size < 70000; size += size < 1100 ? 1 : 97) {
        struct object o = {shared_heap_new(size), size, (uint8_t)size};
        struct object next = {shared_heap_new(size), size, (uint8_t)~size};
        fill(&o, 0);
        fill(&next, 0);
        CHECK(is_whole(&o, size) && is_whole(&next, size) && o.bytes != next.bytes);
        shared_heap_free(before);
        before = next.bytes;
        shared_heap_free(o.bytes);
    }
    shared_heap_free(before);
    shared_heap_free(NULL);
    shared_heap_end();
}

static void too_much(void)
{
    if (NARROW)
        SKIP("machines of 32 bits have no shared heap");
    REQUIRE(CHECK_EQUAL(shared_heap_begin(), 0));
    CHECK(shared_heap_new(SIZE_MAX >> 2) == NULL);
    CHECK(shared_heap_new(SIZE_MAX >> 28) == NULL);
    void *object = shared_heap_new(100000);
    CHECK(shared_heap_resize(object, SIZE_MAX >> 2) == NULL);
    shared_heap_free(object);
    shared_heap_end();
}

/* Runs a function in a child. Returns its wait status. */
static int in_child(void (*run)(uint8_t *), uint8_t *object)
{
    int status = -1;
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        signal(SIGSEGV, SIG_DFL);
        run(object);
        _exit(0);
    }
    CHECK_EQUAL(waitpid(pid, &status, 0), pid);
    return status;
}

static void write_to(uint8_t *object)
{
    object[0] = 2;
}

/* A standby sees what the bus writes; another child must not write to what the bus has. */
static void only_a_standby_has_it(void)
{
    if (NARROW || is_emulated())
        SKIP("an emulator does not pass on advice about memory");
    REQUIRE(CHECK_EQUAL(shared_heap_begin(), 0));
    uint8_t *object = shared_heap_new(1);
    object[0] = 1;
    CHECK(in_child(write_to, object) != 0);
    CHECK_EQUAL(object[0], 1);
    shared_heap_inherit(true);
    CHECK_EQUAL(in_child(write_to, object), 0);
    CHECK_EQUAL(object[0], 2);
    shared_heap_inherit(false);
    CHECK(in_child(write_to, object) != 0);
    shared_heap_free(object);
    shared_heap_end();
}

static void salvage_from(uint8_t *object)
{
    uint8_t *small = shared_heap_new(10), *large = shared_heap_new(300000);
    memset(large, 7, 300000);
    memset(small, 5, 10);
    small = shared_heap_resize(small, 200000);
    object = shared_heap_resize(object, 100);
    bool right = small[9] == 5 && object[0] == 1 && large[299999] == 7;
    shared_heap_free(large);
    shared_heap_free(small);
    shared_heap_free(object);
    _exit(right ? 0 : 1);
}

static void salvage_in_child(uint8_t *object)
{
    shared_heap_salvage();
    salvage_from(object);
}

/* The heap of a dead process is read, and not used. */
static void salvage(void)
{
    if (NARROW)
        SKIP("machines of 32 bits have no shared heap");
    REQUIRE(CHECK_EQUAL(shared_heap_begin(), 0));
    uint8_t *object = shared_heap_new(50);
    memset(object, 1, 50);
    shared_heap_inherit(true);
    CHECK_EQUAL(in_child(salvage_in_child, object), 0);
    CHECK_EQUAL(object[49], 1);
    shared_heap_free(object);
    shared_heap_end();
}

static const struct check_test tests[] = {
    TEST(objects_keep_their_bytes), TEST(every_size), TEST(too_much),
    TEST(only_a_standby_has_it),    TEST(salvage),
};
CHECK_MAIN(tests)
