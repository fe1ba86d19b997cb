/* SPDX-License-Identifier: MIT */

/* Where the messages of a stream begin, if it is not seen from its beginning. */

#include "stream.h"

#include "messages.h"

/* The serials of the messages that were visited. */
struct seen {
    uint32_t serials[64];
    size_t n;
};

static void note(void *context, const struct message *m)
{
    struct seen *seen = context;
    if (seen->n < CHECK_COUNT(seen->serials))
        seen->serials[seen->n++] = m->serial;
}

/* Three messages with the serials 1 to 3, one behind the other. */
static struct bytes three(size_t ends[3])
{
    struct bytes all = {malloc(4096), 0};
    for (uint32_t i = 0; i < 3; i++) {
        struct bytes one = signal_of(i + 1, "Member", "some text of a signal");
        memcpy(all.data + all.n, one.data, one.n);
        all.n += one.n;
        ends[i] = all.n;
        bytes_free(&one);
    }
    return all;
}

static void seen_from_its_beginning(void)
{
    size_t ends[3];
    struct bytes all = three(ends);
    for (size_t cut = 0; cut <= all.n; cut++) {
        struct stream s = {0};
        struct seen seen = {0};
        stream_add(&s, all.data, cut, note, &seen);
        size_t whole = 0;
        while (whole < 3 && cut >= ends[whole])
            whole++;
        CHECK_EQUAL(seen.n, whole);
        CHECK_EQUAL(s.in_step, whole > 0);
        CHECK_EQUAL(s.size, cut - (whole > 0 ? ends[whole - 1] : 0));
        stream_add(&s, all.data + cut, all.n - cut, note, &seen);
        CHECK_EQUAL(seen.n, 3);
        CHECK_EQUAL(seen.serials[2], 3);
        CHECK_EQUAL(s.size, 0);
        CHECK(s.in_step && !s.broken && !s.failed);
        stream_free(&s);
    }
    bytes_free(&all);
}

static void seen_from_the_middle_of_a_message(void)
{
    size_t ends[3];
    struct bytes all = three(ends);
    for (size_t from = 1; from < ends[0]; from++) {
        struct stream s = {0};
        struct seen seen = {0};
        stream_add(&s, all.data + from, all.n - from - 5, note, &seen);
        CHECK(!s.in_step);
        CHECK_EQUAL(seen.n, 0);
        const struct stream_sought other = {MESSAGE_SIGNAL, 2, SPAN("Other"), {0}};
        CHECK(!stream_find(&s, &other, note, &seen));
        const struct stream_sought sought = {MESSAGE_SIGNAL, 2, SPAN("Member"), {0}};
        CHECK(stream_find(&s, &sought, note, &seen));
        CHECK_EQUAL(seen.n, 1);
        CHECK_EQUAL(seen.serials[0], 2);
        CHECK_EQUAL(s.size, all.n - 5 - ends[1]);
        CHECK(memcmp(s.bytes, all.data + ends[1], s.size) == 0);
        stream_add(&s, all.data + all.n - 5, 5, note, &seen);
        CHECK_EQUAL(seen.n, 2);
        CHECK_EQUAL(s.size, 0);
        stream_free(&s);
    }
    bytes_free(&all);
}

/* A message of which only a part is there was not read as a whole. */
static void half_message_is_not_found(void)
{
    size_t ends[3];
    struct bytes all = three(ends);
    struct stream s = {0};
    struct seen seen = {0};
    stream_add(&s, all.data + 1, ends[1] - 2, note, &seen);
    const struct stream_sought sought = {MESSAGE_SIGNAL, 2, SPAN("Member"), {0}};
    CHECK(!stream_find(&s, &sought, note, &seen));
    CHECK(!s.in_step);
    stream_free(&s);
    bytes_free(&all);
}

static void kept_bytes_are_bounded(void)
{
    static uint8_t noise[65536];
    struct stream s = {0};
    struct seen seen = {0};
    memset(noise, 'x', sizeof(noise));
    for (int i = 0; i < 100; i++)
        stream_add(&s, noise, sizeof(noise), note, &seen);
    CHECK_EQUAL(s.size, STREAM_WINDOW);
    CHECK_EQUAL(s.begin, 100 * sizeof(noise) - STREAM_WINDOW);
    struct bytes one = signal_of(7, "Member", "text");
    stream_add(&s, one.data, one.n, note, &seen);
    CHECK(!s.in_step);
    const struct stream_sought sought = {MESSAGE_SIGNAL, 7, SPAN("Member"), {0}};
    CHECK(stream_find(&s, &sought, note, &seen));
    CHECK_EQUAL(s.size, 0);
    bytes_free(&one);
    stream_free(&s);
}

static void what_is_no_message_breaks_a_stream(void)
{
    struct bytes one = signal_of(1, "Member", "text");
    struct stream s = {0};
    struct seen seen = {0};
    stream_add(&s, one.data, one.n, note, &seen);
    stream_add(&s, (const uint8_t *)"This is no message.", 19, note, &seen);
    CHECK(s.broken);
    stream_add(&s, one.data, one.n, note, &seen);
    CHECK_EQUAL(seen.n, 1);
    stream_reset(&s);
    stream_add(&s, one.data, one.n, note, &seen);
    CHECK_EQUAL(seen.n, 2);
    CHECK(s.in_step && !s.broken);
    bytes_free(&one);
    stream_free(&s);
}

static void no_memory_is_noted(void)
{
    struct bytes one = signal_of(1, "Member", "text");
    struct stream s = {0};
    struct seen seen = {0};
    check_allocations = 0;
    stream_add(&s, one.data, one.n, note, &seen);
    check_allocations = -1;
    CHECK(s.failed);
    CHECK_EQUAL(seen.n, 0);
    bytes_free(&one);
    stream_free(&s);
}

static const struct check_test tests[] = {
    TEST(seen_from_its_beginning), TEST(seen_from_the_middle_of_a_message),  TEST(half_message_is_not_found),
    TEST(kept_bytes_are_bounded),  TEST(what_is_no_message_breaks_a_stream), TEST(no_memory_is_noted),
};
CHECK_MAIN(tests)
