/* SPDX-License-Identifier: MIT */

/* D-Bus specification, "Message Bus Message Routing": the bus sets SENDER, whatever the message claims.
 */

#include "message_draft.h"

#include "../../transport/relay/wire/wire.h"

static struct draft draft;

struct sample {
    const char *name;
    uint8_t type;
    struct draft_field fields[10];
    bool rewritten;
};

#define CALL                                                                                                 \
    {FIELD_PATH, "o", .text = "/org/example"},                                                               \
    {                                                                                                        \
        FIELD_MEMBER, "s", .text = "Member"                                                                  \
    }
#define SIGNATURE                                                                                            \
    {                                                                                                        \
        FIELD_SIGNATURE, "g", .text = "y"                                                                    \
    }

static const struct sample samples[] = {
    {"plain call", 1, {CALL, SIGNATURE}, false},
    {"signature first", 1, {SIGNATURE, CALL}, false},
    {"everything known",
     4,
     {CALL,
      SIGNATURE,
      {FIELD_INTERFACE, "s", .text = "a.b"},
      {FIELD_ERROR_NAME, "s", .text = "a.E"},
      {FIELD_REPLY_SERIAL, "u", .number = 9},
      {FIELD_DESTINATION, "s", .text = "c.d"},
      {FIELD_UNIX_FDS, "u", .number = 2}},
     false},
    {"a sender of its own", 1, {{FIELD_SENDER, "s", .text = ":1.1"}, CALL, SIGNATURE}, true},
    {"a long sender, last", 1, {CALL, SIGNATURE, {FIELD_SENDER, "s", .text = "org.freedesktop.DBus"}}, true},
    {"a container", 1, {CALL, SIGNATURE, {FIELD_CONTAINER_INSTANCE, "o", .text = "/c"}}, true},
    {"unknown fields",
     4,
     {{88, "s", .text = "x"}, CALL, SIGNATURE, {FIELD_INTERFACE, "s", .text = "a.b"}},
     true},
    {"everything known, and more",
     4,
     {CALL,
      {FIELD_INTERFACE, "s", .text = "a.b"},
      {FIELD_ERROR_NAME, "s", .text = "a.E"},
      {FIELD_REPLY_SERIAL, "u", .number = 9},
      SIGNATURE,
      {88, "u", .number = 1},
      {FIELD_DESTINATION, "s", .text = "c.d"},
      {FIELD_UNIX_FDS, "u", .number = 2}},
     true},
    {"nothing but the signature, of an unknown type", 9, {SIGNATURE}, false},
};
static const char *const senders[] = {":1.1",     ":1.42",         ":1.2345",
                                      ":1.23456", ":1.4294967295", "org.freedesktop.DBus"};

static void make(const struct sample *sample, bool big_endian)
{
    draft_begin(&draft, sample->type, big_endian);
    for (size_t i = 0; i < CHECK_COUNT(sample->fields) && sample->fields[i].code; i++)
        draft_field(&draft, &sample->fields[i]);
    draft_body(&draft, (struct bytes)BYTES("\7"));
}

static void check_same(const struct message *a, const struct message *b)
{
    CHECK_EQUAL(a->type, b->type);
    CHECK_EQUAL(a->serial, b->serial);
    CHECK_EQUAL(a->reply_serial, b->reply_serial);
    CHECK_EQUAL(a->n_fds, b->n_fds);
    CHECK_EQUAL(a->big_endian, b->big_endian);
    CHECK(span_equal(a->path, b->path));
    CHECK(span_equal(a->interface, b->interface));
    CHECK(span_equal(a->member, b->member));
    CHECK(span_equal(a->error_name, b->error_name));
    CHECK(span_equal(a->destination, b->destination));
    CHECK(span_equal(a->signature, b->signature));
    CHECK_EQUAL(a->body_size, b->body_size);
}

/* Reads header and rest as one message again. */
static void check_result(const struct message *m, const char *sender, const uint8_t *header,
                         uint32_t header_size, const uint8_t *rest, uint32_t rest_size)
{
    static struct draft whole;
    struct message again;
    whole.size = 0;
    draft_put(&whole, header, header_size);
    draft_put(&whole, rest, rest_size);
    CHECK_EQUAL(draft_verdict(&whole), MESSAGE_OK);
    REQUIRE(message_parse(&again, whole.data, whole.size) == MESSAGE_OK);
    CHECK_SPAN(again.sender, sender);
    check_same(m, &again);
    CHECK_EQUAL(again.data[again.body_offset], 7);
}

static void stamp(const struct message *m, const char *sender)
{
    const struct span span = span_of(sender);
    const uint32_t size = message_stamped_header_size(m, span);
    CHECK(size <= m->body_offset + span.n + 32);
    /* in a block of exactly that size */
    uint8_t *header = malloc(size);
    REQUIRE(header);
    CHECK_EQUAL(message_stamp(m, span, header), size);
    check_result(m, sender, header, size, m->data + m->body_offset, m->body_size);
    free(header);
}

static void stamped_messages_read_the_same(void)
{
    for (size_t i = 0; i < CHECK_COUNT(samples); i++) {
        for (size_t k = 0; k < CHECK_COUNT(senders) * 2; k++) {
            struct message m;
            check_case = samples[i].name;
            make(&samples[i], k & 1);
            REQUIRE(CHECK_EQUAL(message_parse(&m, draft.data, draft.size), MESSAGE_OK));
            CHECK_EQUAL(m.rewrite, samples[i].rewritten);
            stamp(&m, senders[k / 2]);
        }
    }
}

/* The prefix, and then the message from its seventeenth byte on */
static void prefixes_stitch(void)
{
    for (size_t i = 0; i < CHECK_COUNT(samples); i++) {
        for (size_t k = 0; k < CHECK_COUNT(senders) * 2 && !samples[i].rewritten; k++) {
            struct message m;
            uint8_t prefix[MESSAGE_MAX_STAMP_PREFIX];
            check_case = samples[i].name;
            make(&samples[i], k & 1);
            REQUIRE(CHECK_EQUAL(message_parse(&m, draft.data, draft.size), MESSAGE_OK));
            const uint32_t n = message_stamp_prefix(&m, span_of(senders[k / 2]), prefix);
            check_result(&m, senders[k / 2], prefix, n, m.data + MESSAGE_FIXED_SIZE,
                         m.size - MESSAGE_FIXED_SIZE);
        }
    }
}

/* CONTAINER_INSTANCE is the last field, whatever the message claims itself. */
static void names_the_instance(void)
{
    for (size_t i = 0; i < CHECK_COUNT(samples) * 2; i++) {
        struct message m;
        check_case = samples[i / 2].name;
        make(&samples[i / 2], i & 1);
        REQUIRE(CHECK_EQUAL(message_parse(&m, draft.data, draft.size), MESSAGE_OK));
        const struct span sender = SPAN(":1.2"), path = SPAN("/org/example/c12");
        const uint32_t size = message_stamp_instance(&m, sender, path, NULL);
        uint8_t *header = malloc(size);
        REQUIRE(header);
        CHECK_EQUAL(message_stamp_instance(&m, sender, path, header), size);
        check_result(&m, ":1.2", header, size, m.data + m.body_offset, m.body_size);
        const uint8_t *field = header + size - wire_align(8 + path.n + 1, 8);
        CHECK_EQUAL(field[0], FIELD_CONTAINER_INSTANCE);
        CHECK_EQUAL(memcmp(field + 8, path.s, path.n + 1), 0);
        free(header);
    }
}

/* Without another field, the array must not count the padding after its only one. */
static void stamps_a_header_without_fields(void)
{
    for (int big_endian = 0; big_endian < 2; big_endian++) {
        struct message m;
        draft_begin(&draft, 9, big_endian);
        REQUIRE(CHECK_EQUAL(message_parse(&m, draft.data, draft.size), MESSAGE_OK));
        CHECK_EQUAL(message_stamped_header_size(&m, SPAN(":1.2")), 32);
        static struct draft stamped;
        stamped.size = message_stamp(&m, SPAN(":1.2"), stamped.data);
        CHECK_EQUAL(draft_verdict(&stamped), MESSAGE_OK);
    }
}

/* A message that keeps only SENDER of its fields */
static void rewrites_a_header_to_nothing(void)
{
    struct message m;
    const struct draft_field unknown = {77, "s", .text = "x"};
    draft_begin(&draft, 9, false);
    draft_field(&draft, &unknown);
    draft_align(&draft, 8);
    REQUIRE(CHECK_EQUAL(message_parse(&m, draft.data, draft.size), MESSAGE_OK));
    CHECK(m.rewrite);
    static struct draft stamped;
    stamped.size = message_stamp(&m, SPAN(":1.2"), stamped.data);
    CHECK_EQUAL(stamped.size, 32);
    CHECK_EQUAL(draft_verdict(&stamped), MESSAGE_OK);
}

static void the_longest_sender_fits(void)
{
    struct message m;
    char sender[MESSAGE_MAX_NAME + 1];
    memset(sender, 'a', MESSAGE_MAX_NAME);
    sender[MESSAGE_MAX_NAME] = sender[100] = 0;
    sender[100] = '.';
    make(&samples[0], false);
    REQUIRE(CHECK_EQUAL(message_parse(&m, draft.data, draft.size), MESSAGE_OK));
    uint8_t *prefix = malloc(MESSAGE_MAX_STAMP_PREFIX);
    REQUIRE(prefix);
    CHECK_EQUAL(message_stamp_prefix(&m, span_of(sender), prefix), MESSAGE_MAX_STAMP_PREFIX);
    free(prefix);
    stamp(&m, sender);
}

static const struct check_test tests[] = {
    TEST(stamped_messages_read_the_same), TEST(names_the_instance),           TEST(prefixes_stitch),
    TEST(stamps_a_header_without_fields), TEST(rewrites_a_header_to_nothing), TEST(the_longest_sender_fits),
};
CHECK_MAIN(tests)
