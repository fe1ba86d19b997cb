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

static void last_reference_returns_the_buffer(void)
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

static void too_small_buffer_is_not_taken(void)
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

/* A small message would occupy several times its size. */
static void much_too_large_buffer_is_not_taken(void)
{
    struct pool pool = {0};
    buffer_unref(adopted(&pool, 2 * POOL_LEAST));
    CHECK(!pool_take(&pool, POOL_LEAST));
    CHECK(pool.first);
    pool_free(&pool);
}

static void pool_keeps_neither_small_nor_huge_buffers(void)
{
    struct pool pool = {0};
    buffer_unref(adopted(&pool, POOL_LEAST - 1));
    buffer_unref(adopted(&pool, POOL_BYTES + 1));
    CHECK(!pool.first);
}

/* A buffer from the pool may grow beyond what the pool keeps. */
static void buffer_that_grew_huge_is_freed(void)
{
    struct pool pool = {0};
    struct buffer *buffer = buffer_grow(adopted(&pool, POOL_LEAST), POOL_BYTES + 1);
    buffer_unref(buffer);
    CHECK(!pool.first);
}

static void pool_size_is_bounded(void)
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

static void unused_buffers_are_freed_in_time(void)
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
    TEST(last_reference_returns_the_buffer),  TEST(too_small_buffer_is_not_taken),
    TEST(much_too_large_buffer_is_not_taken), TEST(pool_keeps_neither_small_nor_huge_buffers),
    TEST(buffer_that_grew_huge_is_freed),     TEST(pool_size_is_bounded),
    TEST(unused_buffers_are_freed_in_time),
};
CHECK_MAIN(tests)
