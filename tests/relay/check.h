/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_TEST_CHECK_H
#define OMNIBUS_TEST_CHECK_H

/*
 * A test program is a table of functions:
 *
 *     static void adds_up(void) { CHECK_EQUAL(1 + 1, 2); }
 *     static const struct check_test tests[] = {TEST(adds_up)};
 *     CHECK_MAIN(tests)
 *
 * It prints "ok NAME" or "not ok NAME" for each, lines that begin with '#' for what went wrong, and a closing
 * line. Arguments are names of tests to run, instead of all. test_c.py finds the names by TEST(...).
 */

#include "../../transport/relay/base/span.h"

#include <inttypes.h>
#include <malloc.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

struct check_test {
    const char *name;
    void (*run)(void);
};

#define TEST(function)                                                                                       \
    {                                                                                                        \
#function, function                                                                                  \
    }
#define CHECK_COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* A failed check is reported, and the test continues. Each is an expression that is true if the check holds.
 */
#define CHECK(condition) check_that((condition), __FILE__, __LINE__, #condition)
#define CHECK_EQUAL(actual, expected)                                                                        \
    check_equal((intmax_t)(actual), (intmax_t)(expected), __FILE__, __LINE__, #actual)
#define CHECK_SPAN(actual, expected) check_span((actual), span_of(expected), __FILE__, __LINE__, #actual)
/* Like CHECK, but the test function returns if it fails. */
#define REQUIRE(condition)                                                                                   \
    do {                                                                                                     \
        if (!CHECK(condition))                                                                               \
            return;                                                                                          \
    } while (0)

/* Leaves a test that can't run here. */
#define SKIP(why)                                                                                            \
    do {                                                                                                     \
        check_skipped = (why);                                                                               \
        return;                                                                                              \
    } while (0)

#define CHECK_MAIN(tests)                                                                                    \
    int main(int argc, char **argv)                                                                          \
    {                                                                                                        \
        return check_main(tests, CHECK_COUNT(tests), argc, argv);                                            \
    }

static unsigned check_failures; /* of the running test */
static const char *check_skipped;
static const char *check_case; /* a row of a table, named in reports; NULL: none */

/*
 * The number of allocations that succeed before all fail; negative: all succeed. Every test begins with -1.
 * Only calls by the program and the relay count, by the linker's --wrap.
 */
static long check_allocations = -1;

/* Called before each allocation; NULL: nothing is. */
static void (*check_allocating)(void);

static inline bool check_allocates(void)
{
    if (check_allocating)
        check_allocating();
    if (check_allocations > 0)
        check_allocations--;
    else if (check_allocations == 0)
        return false;
    return true;
}

/* Allocated bytes. libc's own allocations do not count, but freeing them does: use differences only. */
static long check_memory;

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *old, size_t size);
void __real_free(void *p);

static inline void *check_taken(void *p)
{
    __atomic_add_fetch(&check_memory, (long)malloc_usable_size(p), __ATOMIC_RELAXED);
    return p;
}

void *__wrap_malloc(size_t size)
{
    return check_allocates() ? check_taken(__real_malloc(size)) : NULL;
}

void *__wrap_calloc(size_t n, size_t size)
{
    return check_allocates() ? check_taken(__real_calloc(n, size)) : NULL;
}

void *__wrap_realloc(void *old, size_t size)
{
    if (!check_allocates())
        return NULL;
    long before = (long)malloc_usable_size(old);
    void *p = __real_realloc(old, size);
    if (p)
        __atomic_sub_fetch(&check_memory, before, __ATOMIC_RELAXED);
    return p ? check_taken(p) : NULL;
}

void __wrap_free(void *p)
{
    __atomic_sub_fetch(&check_memory, (long)malloc_usable_size(p), __ATOMIC_RELAXED);
    __real_free(p);
}

static inline bool check_fail(const char *file, int line)
{
    check_failures++;
    printf("# %s:%d: %s%s", file, line, check_case ? check_case : "", check_case ? ": " : "");
    return false;
}

static inline bool check_that(bool holds, const char *file, int line, const char *text)
{
    if (holds)
        return true;
    check_fail(file, line);
    printf("%s\n", text);
    return false;
}

static inline bool check_equal(intmax_t actual, intmax_t expected, const char *file, int line,
                               const char *text)
{
    if (actual == expected)
        return true;
    check_fail(file, line);
    printf("%s is %" PRIdMAX ", expected %" PRIdMAX "\n", text, actual, expected);
    return false;
}

static inline bool check_span(struct span actual, struct span expected, const char *file, int line,
                              const char *text)
{
    if (span_equal(actual, expected) && !actual.s == !expected.s)
        return true;
    check_fail(file, line);
    printf("%s is \"%.*s\", expected \"%.*s\"\n", text, (int)actual.n, actual.s ? actual.s : "",
           (int)expected.n, expected.s ? expected.s : "");
    return false;
}

static inline bool check_wanted(const char *name, int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], name) == 0)
            return true;
    return argc < 2;
}

static inline int check_main(const struct check_test *tests, size_t n, int argc, char **argv)
{
    unsigned run = 0, failed = 0;
    for (size_t i = 0; i < n; i++) {
        if (!check_wanted(tests[i].name, argc, argv))
            continue;
        check_failures = 0;
        check_case = check_skipped = NULL;
        check_allocations = -1;
        tests[i].run();
        check_allocations = -1;
        run++;
        failed += check_failures != 0;
        if (check_skipped && !check_failures)
            printf("skip %s: %s\n", tests[i].name, check_skipped);
        else
            printf("%s %s\n", check_failures ? "not ok" : "ok", tests[i].name);
        fflush(stdout);
    }
    printf("%u tests, %u failed\n", run, failed);
    return failed || run == 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

#endif
