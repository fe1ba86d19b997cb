/* SPDX-License-Identifier: MIT */
#include "base/table.h"

#include "check.h"

#define N 100000u

struct item {
    struct table_node node;
    uint64_t key;
    bool seen;
};

static struct item items[N];

static void insert(struct table *table, struct item *item, uint64_t key)
{
    item->key = key;
    table_insert(table, &item->node, hash_number(&table->key, key));
}

static struct item *find(const struct table *table, uint64_t key)
{
    struct table_node *node = table_first(table, hash_number(&table->key, key));
    for (; node; node = table_again(node)) {
        if (CONTAINER_OF(node, struct item, node)->key == key)
            return CONTAINER_OF(node, struct item, node);
    }
    return NULL;
}

static unsigned longest_chain(const struct table *table)
{
    unsigned longest = 0;
    for (uint32_t i = 0; i < table->size; i++) {
        unsigned n = 0;
        for (const struct table_node *node = table->buckets[i]; node; node = node->next)
            n++;
        longest = n > longest ? n : longest;
    }
    return longest;
}

static bool all_are_found(const struct table *table, uint32_t from, uint32_t to)
{
    for (uint32_t i = from; i < to; i++) {
        if (find(table, items[i].key) != &items[i])
            return false;
    }
    return true;
}

/* While it grows and shrinks, exactly its items are found, and a walk visits each once. */
static void grows_and_shrinks(void)
{
    struct table table;
    REQUIRE(table_init(&table) == 0);
    for (uint32_t i = 0; i < 5000; i++) {
        insert(&table, &items[i], i);
        if (i % 97 == 0)
            CHECK(all_are_found(&table, 0, i + 1));
    }
    CHECK(!find(&table, 5000));
    uint32_t walked = 0;
    for (struct table_node *node = NULL; (node = table_walk(&table, node)); walked++) {
        CHECK(!CONTAINER_OF(node, struct item, node)->seen);
        CONTAINER_OF(node, struct item, node)->seen = true;
    }
    CHECK_EQUAL(walked, 5000);
    for (uint32_t i = 0; i < 5000; i++) {
        table_remove(&table, &items[i].node);
        if (i % 97 == 0)
            CHECK(!find(&table, i) && all_are_found(&table, i + 1, 5000));
    }
    CHECK_EQUAL(table.count, 0);
    CHECK(!table_walk(&table, NULL));
    table_free(&table);
}

/* No single insertion or removal rehashes all; the array has a bucket for each node, and is freed. */
static void changes_by_one_bucket_at_a_time(void)
{
    struct table table;
    REQUIRE(table_init(&table) == 0);
    for (uint32_t i = 0; i < N; i++) {
        uint32_t size = table.size;
        insert(&table, &items[i], i);
        CHECK(table.size <= size + 1 && table.size >= table.count);
    }
    for (uint32_t i = 0; i < N; i++) {
        uint32_t size = table.size;
        table_remove(&table, &items[i].node);
        CHECK(table.size + 2 >= size);
    }
    CHECK(table.size <= 64 && table.capacity <= 256);
    table_free(&table);
}

static void is_emptied_in_any_order(void)
{
    struct table table;
    struct table_node *node;
    uint32_t n = 0;
    REQUIRE(table_init(&table) == 0);
    for (uint32_t i = 0; i < N; i++)
        insert(&table, &items[i], i);
    for (; (node = table_any(&table)); n++)
        table_remove(&table, node);
    CHECK_EQUAL(n, N);
    CHECK(!table_any(&table));
    table_free(&table);
}

/* Without memory its chains are longer, but no item is lost. */
static void table_without_memory_keeps_its_items(void)
{
    struct table table;
    check_allocations = 0;
    CHECK(table_init(&table) < 0);
    check_allocations = -1;
    REQUIRE(table_init(&table) == 0);
    for (uint32_t i = 0; i < 1000; i++) {
        check_allocations = 0;
        insert(&table, &items[i], i);
        check_allocations = -1;
    }
    CHECK_EQUAL(table.size, 64);
    CHECK(all_are_found(&table, 0, 1000));
    table_free(&table);
}

/*
 * Keys chosen by an attacker: those of one bucket under the unkeyed hash that was used before,
 * x = (x ^ x >> 32) * C, x ^ x >> 29; and keys that differ in few bits. Random keys make chains of 8 to 10.
 */
static uint64_t unhash(uint64_t hash)
{
    const uint64_t factor = 0x9e3779b97f4a7c15u;
    uint64_t inverse = factor;
    for (int i = 0; i < 5; i++)
        inverse *= 2 - factor * inverse;
    uint64_t x = (hash ^ hash >> 29 ^ hash >> 58) * inverse;
    return x ^ x >> 32;
}

static uint64_t one_bucket(uint32_t i)
{
    return unhash((uint64_t)i << 32);
}

static uint64_t sequence(uint32_t i)
{
    return i;
}

static uint64_t high_bits(uint32_t i)
{
    return (uint64_t)i << 47;
}

static uint64_t middle_bits(uint32_t i)
{
    return (uint64_t)i << 24;
}

static uint64_t two_bits(uint32_t i)
{
    return UINT64_C(1) << i % 64 ^ UINT64_C(1) << i / 64 % 64 ^ (uint64_t)(i / 4096) << 40;
}

static void chosen_keys_make_no_long_chains(void)
{
    static uint64_t (*const ways[])(uint32_t i) = {one_bucket, sequence, high_bits, middle_bits};
    for (size_t way = 0; way < CHECK_COUNT(ways); way++) {
        struct table table;
        REQUIRE(table_init(&table) == 0);
        for (uint32_t i = 0; i < N; i++)
            insert(&table, &items[i], ways[way](i));
        if (!CHECK(longest_chain(&table) <= 24))
            printf("# way %zu: a chain of %u\n", way, longest_chain(&table));
        table_free(&table);
    }
}

/* Keys that differ in one or two bits, or texts that differ in one, collide as rarely as random ones. */
static void similar_keys_have_unrelated_hashes(void)
{
    unsigned alike = 0;
    for (uint32_t round = 0; round < 64; round++) {
        struct hash_key key;
        char text[40];
        memset(text, 'a', sizeof(text));
        REQUIRE(hash_key_draw(&key) == 0);
        const uint32_t number = (uint32_t)hash_number(&key, 0).bits;
        const uint32_t whole = (uint32_t)hash_text(&key, (struct span){text, sizeof(text)}).bits;
        for (uint32_t i = 0; i < 4096; i++)
            alike += i / 64 != i % 64 && (uint32_t)hash_number(&key, two_bits(i)).bits == number;
        for (uint32_t i = 0; i < 8 * sizeof(text); i++) {
            text[i / 8] = (char)(text[i / 8] ^ 1 << i % 8);
            alike += (uint32_t)hash_text(&key, (struct span){text, sizeof(text)}).bits == whole;
            text[i / 8] = (char)(text[i / 8] ^ 1 << i % 8);
        }
    }
    CHECK(alike <= 2); /* of 280,000 pairs, with 32 bits each: 0.00007 are expected */
}

/* Texts are hashed exactly to their ends; equal prefixes of different lengths differ. */
static void texts_are_hashed_to_their_ends(void)
{
    struct hash_key key;
    char text[64];
    memset(text, 0, sizeof(text));
    REQUIRE(hash_key_draw(&key) == 0);
    for (uint32_t n = 0; n < sizeof(text); n++) {
        const uint64_t bits = hash_text(&key, (struct span){text, n}).bits;
        CHECK(bits != hash_text(&key, (struct span){text, n + 1}).bits);
        text[n] = 'x';
        CHECK(bits == hash_text(&key, (struct span){text, n}).bits);
        text[n] = 0;
        if (n > 0) {
            text[n - 1] = 'x';
            CHECK(bits != hash_text(&key, (struct span){text, n}).bits);
            text[n - 1] = 0;
        }
    }
}

static void every_table_has_its_own_key(void)
{
    struct table a, b;
    REQUIRE(table_init(&a) == 0);
    REQUIRE(table_init(&b) == 0);
    CHECK(a.key.start != b.key.start && a.key.factor != b.key.factor);
    CHECK(a.key.factor & b.key.factor & 1);
    table_free(&a);
    table_free(&b);
}

static const struct check_test tests[] = {
    TEST(grows_and_shrinks),
    TEST(changes_by_one_bucket_at_a_time),
    TEST(is_emptied_in_any_order),
    TEST(table_without_memory_keeps_its_items),
    TEST(chosen_keys_make_no_long_chains),
    TEST(similar_keys_have_unrelated_hashes),
    TEST(texts_are_hashed_to_their_ends),
    TEST(every_table_has_its_own_key),
};

CHECK_MAIN(tests)
