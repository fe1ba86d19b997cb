/* SPDX-License-Identifier: MIT */
#include "check.h"

#include "../../transport/relay/base/pool.h"

static struct buffer *adopted(struct pool *pool, size_t capacity)
{
    struct buffer *buffer = buffer_grow(NULL, capacity);
    if (CHECK(buffer))
        pool_adopt(pool, buffer);
    return buffer;
}

static void the_last_reference_puts_it_back(void)
{
    struct pool pool = {0};
    struct buffer *buffer = adopted(&pool, POOL_LEAST);
    buffer_unref(buffer_ref(buffer));
    CHECK(!pool.first);
    buffer_unref(buffer);
    CHECK(pool_take(&pool, POOL_LEAST) == buffer);
    CHECK_EQUAL(pool.bytes, 0);
    CHECK_EQUAL(buffer->references, 1);
    buffer_unref(buffer);
    pool_free(&pool);
}

static void only_a_buffer_that_is_large_enough_is_taken(void)
{
    struct pool pool = {0};
    buffer_unref(adopted(&pool, POOL_LEAST));
    CHECK(!pool_take(&pool, POOL_LEAST + 1));
    struct buffer *large = adopted(&pool, POOL_LEAST + POOL_LEAST / 2);
    buffer_unref(large);
    buffer_unref(adopted(&pool, POOL_LEAST));
    CHECK(pool_take(&pool, POOL_LEAST + 1) == large);
    CHECK(!pool_take(&pool, POOL_LEAST + 1));
    buffer_unref(large);
    pool_free(&pool);
}

/* What stands in it would keep several times the memory that it is worth. */
static void one_that_is_much_too_large_is_left(void)
{
    struct pool pool = {0};
    buffer_unref(adopted(&pool, 2 * POOL_LEAST));
    CHECK(!pool_take(&pool, POOL_LEAST));
    CHECK(pool.first);
    pool_free(&pool);
}

static void it_keeps_neither_small_nor_huge_ones(void)
{
    struct pool pool = {0};
    buffer_unref(adopted(&pool, POOL_LEAST - 1));
    buffer_unref(adopted(&pool, POOL_BYTES + 1));
    CHECK(!pool.first);
}

/* A buffer that came out of the pool may grow beyond what the pool keeps. */
static void one_that_grew_huge_is_freed(void)
{
    struct pool pool = {0};
    struct buffer *buffer = buffer_grow(adopted(&pool, POOL_LEAST), POOL_BYTES + 1);
    buffer_unref(buffer);
    CHECK(!pool.first);
}

static void what_it_keeps_is_bounded(void)
{
    struct pool pool = {0};
    struct buffer *buffers[5];
    for (size_t i = 0; i < CHECK_COUNT(buffers); i++)
        buffers[i] = adopted(&pool, POOL_BYTES / 4);
    for (size_t i = 0; i < CHECK_COUNT(buffers); i++) {
        buffer_unref(buffers[i]);
        CHECK(pool.bytes <= POOL_BYTES);
    }
    CHECK(pool_take(&pool, POOL_BYTES / 4) == buffers[4]);
    buffer_unref(buffers[4]);
    pool_free(&pool);
}

static void unused_ones_are_given_back_in_time(void)
{
    struct pool pool = {0};
    CHECK_EQUAL(pool_tick(&pool), -1);
    buffer_unref(adopted(&pool, POOL_LEAST));
    int wait = pool_tick(&pool);
    CHECK(wait > 0 && wait <= POOL_TIME);
    pool.used -= POOL_TIME;
    CHECK_EQUAL(pool_tick(&pool), -1);
    CHECK(!pool.first);
    CHECK_EQUAL(pool.bytes, 0);
}

static const struct check_test tests[] = {
    TEST(the_last_reference_puts_it_back),    TEST(only_a_buffer_that_is_large_enough_is_taken),
    TEST(one_that_is_much_too_large_is_left), TEST(it_keeps_neither_small_nor_huge_ones),
    TEST(one_that_grew_huge_is_freed),        TEST(what_it_keeps_is_bounded),
    TEST(unused_ones_are_given_back_in_time),
};
CHECK_MAIN(tests)
