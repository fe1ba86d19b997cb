/* SPDX-License-Identifier: MIT */

/* The format of states: what is damaged, or of another version, is refused. */

#include "state_fixture.h"

#include "../../transport/relay/state/log.h"

static void state_of_sections_is_restored(void)
{
    struct made m;
    char why[512];
    struct relay *relay;
    make_open(&m);
    struct resume_bytes all = make_state(&m);
    CHECK_EQUAL(relay_restore(&relay, all.data, all.size, true, why, sizeof(why)), 0);
    relay_free(relay);
    free(all.data);
    make_close(&m);
}

static void every_cut_is_refused(void)
{
    struct made m;
    make_open(&m);
    for (size_t size = 0; size < m.state.size; size++) {
        uint8_t *exact = malloc(size + 1);
        REQUIRE(exact);
        memcpy(exact, m.state.bytes, size);
        bool right = refused(exact, size, true, "");
        free(exact);
        REQUIRE(right);
    }
    make_close(&m);
}

static void every_changed_byte_is_refused(void)
{
    struct made m;
    make_open(&m);
    struct resume_bytes copy = {0};
    resume_put(&copy, m.state.bytes, m.state.size);
    for (size_t at = 0; at < copy.size; at++) {
        copy.data[at] ^= 0x10;
        REQUIRE(refused(copy.data, copy.size, true, ""));
        copy.data[at] ^= 0x10;
    }
    free(copy.data);
    make_close(&m);
}

static void bytes_behind_are_refused(void)
{
    struct made m;
    make_open(&m);
    struct resume_bytes copy = {0};
    resume_put(&copy, m.state.bytes, m.state.size);
    resume_number(&copy, 0, 1);
    refused(copy.data, copy.size, true, "more than its sections");
    free(copy.data);
    make_close(&m);
}

static void other_format_is_refused(void)
{
    struct made m;
    make_open(&m);
    struct resume_bytes copy = {0};
    resume_put(&copy, m.state.bytes, m.state.size);
    copy.data[8]++;
    refused(copy.data, copy.size, true, "another format");
    free(copy.data);
    make_close(&m);
}

static void each_section_is_needed(void)
{
    struct made m;
    make_open(&m);
    for (uint32_t i = RELAY_STATE_BUS; i <= RELAY_STATE_NAMES; i++) {
        m.has[i] = false;
        make_refused(&m, "lacks a section");
        m.has[i] = true;
    }
    make_close(&m);
}

static void later_version_is_refused(void)
{
    struct made m;
    make_open(&m);
    m.has[RELAY_STATE_AWAITED] = false;
    struct resume_bytes content = {0};
    resume_number(&content, 0, 4);
    m.more = resume_section(RELAY_STATE_AWAITED, 2, STATE_CRITICAL, content);
    make_refused(&m, "later version of a section: awaited");
    make_close(&m);
}

static void section_twice_is_refused(void)
{
    struct made m;
    make_open(&m);
    struct resume_bytes content = {0};
    resume_number(&content, 0, 4);
    m.more = resume_section(RELAY_STATE_AWAITED, 1, STATE_CRITICAL, content);
    make_refused(&m, "twice");
    make_close(&m);
}

static void unknown_section_is_skipped_unless_critical(void)
{
    struct made m;
    char why[512];
    struct relay *relay;
    struct relay_event event = {0};
    make_open(&m);
    m.more = resume_section(60, 1, 0, (struct resume_bytes){0});
    struct resume_bytes all = make_state(&m);
    CHECK_EQUAL(relay_restore(&relay, all.data, all.size, true, why, sizeof(why)), 0);
    while (relay_events(relay, &event, 1) == 1 && event.kind != RELAY_EVENT_LOG)
        continue;
    CHECK_EQUAL(event.kind, RELAY_EVENT_LOG);
    CHECK_EQUAL(event.type, LOG_NOTICE);
    relay_free(relay);
    free(all.data);
    free(m.more.data);
    m.more = resume_section(60, 1, STATE_CRITICAL, (struct resume_bytes){0});
    make_refused(&m, "cannot read");
    free(m.more.data);
    m.more = resume_section(1000, 1, STATE_CRITICAL, (struct resume_bytes){0});
    make_refused(&m, "cannot read");
    make_close(&m);
}

static void sections_of_the_control_plane_are_checked(void)
{
    struct plane p;
    plane_open(&p);
    static const uint8_t none[STATE_SECTION_HEADER] = {RELAY_STATE_CONTROL, 0, 1};
    CHECK_EQUAL(relay_dump(p.relay, 0, none, sizeof(none)), -EINVAL); /* its sum is wrong */
    CHECK_EQUAL(relay_dump(p.relay, 0, none, 3), -EINVAL);
    plane_close(&p);
}

static void descriptor_that_is_not_open_is_refused(void)
{
    struct made m;
    make_open(&m);
    m.content[RELAY_STATE_DESCRIPTORS].data[4] = 250;
    make_refused(&m, "not open: 250");
    m.content[RELAY_STATE_DESCRIPTORS].data[4] = 1;
    make_refused(&m, "descriptors");
    make_close(&m);
}

static void descriptor_that_leads_elsewhere_is_refused(void)
{
    struct made m;
    make_open(&m);
    m.content[RELAY_STATE_DESCRIPTORS].data[4 + 12]++;
    make_refused(&m, "another one");
    make_close(&m);
}

static void descriptor_for_nothing_or_twice_is_refused(void)
{
    struct made m;
    make_open(&m);
    struct resume_bytes *b = &m.content[RELAY_STATE_DESCRIPTORS];
    struct resume_bytes *sets = make_new(&m, RELAY_STATE_FDS);
    resume_number(sets, 1, 4);
    resume_number(sets, 1, 4);
    resume_number(sets, 0, 4);
    make_refused(&m, "peers"); /* whose descriptor is in use */
    make_new(&m, RELAY_STATE_FDS);
    resume_number(sets, 0, 4);
    uint8_t first[20];
    memcpy(first, b->data + 4, sizeof(first));
    resume_put(b, first, sizeof(first));
    b->data[0]++;
    make_refused(&m, "twice or for nothing");
    make_close(&m);
}

/* Without memory nothing is left, and afterwards the same state is restored. */
static void restore_without_memory_leaves_no_trace(void)
{
    struct made m;
    char why[512];
    struct relay *relay = NULL;
    make_open(&m);
    int before = open_descriptors(), error = -ENOMEM;
    for (long i = 0; error == -ENOMEM && i < 1000; i++) {
        check_allocations = i;
        error = relay_restore(&relay, m.state.bytes, m.state.size, true, why, sizeof(why));
        check_allocations = -1;
        if (error < 0)
            CHECK_EQUAL(open_descriptors(), before);
    }
    CHECK_EQUAL(error, 0);
    relay_free(relay);
    make_close(&m);
}

static const struct check_test tests[] = {
    TEST(state_of_sections_is_restored),
    TEST(every_cut_is_refused),
    TEST(every_changed_byte_is_refused),
    TEST(bytes_behind_are_refused),
    TEST(other_format_is_refused),
    TEST(each_section_is_needed),
    TEST(later_version_is_refused),
    TEST(section_twice_is_refused),
    TEST(unknown_section_is_skipped_unless_critical),
    TEST(sections_of_the_control_plane_are_checked),
    TEST(descriptor_that_is_not_open_is_refused),
    TEST(descriptor_that_leads_elsewhere_is_refused),
    TEST(descriptor_for_nothing_or_twice_is_refused),
    TEST(restore_without_memory_leaves_no_trace),
};

CHECK_MAIN(tests)
