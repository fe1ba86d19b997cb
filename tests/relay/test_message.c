/* SPDX-License-Identifier: MIT */

/* D-Bus specification, "Message Format" and "Header Fields": valid headers */

#include "message_draft.h"

#define PATH                                                                                                 \
    {                                                                                                        \
        FIELD_PATH, "o", .text = "/a/b"                                                                      \
    }
#define INTERFACE                                                                                            \
    {                                                                                                        \
        FIELD_INTERFACE, "s", .text = "a.b"                                                                  \
    }
#define MEMBER                                                                                               \
    {                                                                                                        \
        FIELD_MEMBER, "s", .text = "M"                                                                       \
    }
#define ERROR_NAME                                                                                           \
    {                                                                                                        \
        FIELD_ERROR_NAME, "s", .text = "a.E"                                                                 \
    }
#define REPLY_SERIAL                                                                                         \
    {                                                                                                        \
        FIELD_REPLY_SERIAL, "u", .number = 7                                                                 \
    }

static struct draft draft;

static void draft_call(bool big_endian)
{
    const struct draft_field fields[] = {PATH,
                                         INTERFACE,
                                         MEMBER,
                                         {FIELD_DESTINATION, "s", .text = "c.d"},
                                         {FIELD_SIGNATURE, "g", .text = "u"}};
    draft_begin(&draft, MESSAGE_METHOD_CALL, big_endian);
    for (size_t i = 0; i < CHECK_COUNT(fields); i++)
        draft_field(&draft, &fields[i]);
    draft_body(&draft, (struct bytes){big_endian ? "\0\0\0\5" : "\5\0\0\0", 4});
}

/* "The length of the header must be a multiple of 8" */
static void frames_by_the_first_sixteen_bytes(void)
{
    uint32_t size = 0;
    for (int big_endian = 0; big_endian < 2; big_endian++) {
        draft_call(big_endian);
        for (uint32_t n = 0; n < MESSAGE_FIXED_SIZE; n++)
            CHECK_EQUAL(message_frame(draft.data, n, MESSAGE_MAX_SIZE, &size), MESSAGE_INCOMPLETE);
        CHECK_EQUAL(message_frame(draft.data, 16, MESSAGE_MAX_SIZE, &size), MESSAGE_OK);
        CHECK_EQUAL(size, draft.size);
    }
}

static void frame_refuses_impossible_messages(void)
{
    static const struct {
        const char *name;
        struct bytes data;
        enum message_error error;
    } rows[] = {
        {"byte order", BYTES("L\1\0\1\0\0\0\0\1\0\0\0\0\0\0\0"), MESSAGE_BAD_ENDIAN},
        {"version 0", BYTES("l\1\0\0\0\0\0\0\1\0\0\0\0\0\0\0"), MESSAGE_BAD_VERSION},
        {"version 2", BYTES("l\1\0\2\0\0\0\0\1\0\0\0\0\0\0\0"), MESSAGE_BAD_VERSION},
        {"fields above 64 MiB", BYTES("l\1\0\1\0\0\0\0\1\0\0\0\1\0\0\4"), MESSAGE_BAD_FIELDS_LENGTH},
        {"fields that overflow", BYTES("l\1\0\1\0\0\0\0\1\0\0\0\377\377\377\377"), MESSAGE_BAD_FIELDS_LENGTH},
        {"body above 128 MiB", BYTES("l\1\0\1\1\0\0\10\1\0\0\0\0\0\0\0"), MESSAGE_TOO_LONG},
        {"body that overflows", BYTES("l\1\0\1\377\377\377\377\1\0\0\0\20\0\0\0"), MESSAGE_TOO_LONG},
        {"both, just too long", BYTES("B\1\0\1\7\377\377\351\0\0\0\1\0\0\0\1"), MESSAGE_TOO_LONG},
        {"fields of 64 MiB", BYTES("B\1\0\1\3\377\377\360\0\0\0\1\4\0\0\0"), MESSAGE_OK},
        {"both, just right", BYTES("B\1\0\1\7\377\377\350\0\0\0\1\0\0\0\1"), MESSAGE_OK},
    };
    for (size_t i = 0; i < CHECK_COUNT(rows); i++) {
        uint32_t size = 0;
        check_case = rows[i].name;
        CHECK_EQUAL(rows[i].data.n, 16);
        const uint8_t *data = (const uint8_t *)rows[i].data.s;
        CHECK_EQUAL(message_frame(data, 16, MESSAGE_MAX_SIZE, &size), rows[i].error);
        CHECK_EQUAL(size, rows[i].error ? 0 : MESSAGE_MAX_SIZE);
    }
}

/* The configured max_message_size counts the whole message. */
static void frame_keeps_to_the_limit_given(void)
{
    uint32_t size;
    draft_call(false);
    CHECK_EQUAL(message_frame(draft.data, draft.size, draft.size, &size), MESSAGE_OK);
    CHECK_EQUAL(message_frame(draft.data, draft.size, draft.size - 1, &size), MESSAGE_TOO_LONG);
}

static void reads_every_field(void)
{
    for (int big_endian = 0; big_endian < 2; big_endian++) {
        const struct draft_field fields[] = {
            {FIELD_PATH, "o", .text = "/org/example"}, {FIELD_INTERFACE, "s", .text = "org.example.I"},
            {FIELD_MEMBER, "s", .text = "Member"},     {FIELD_ERROR_NAME, "s", .text = "org.example.E"},
            {FIELD_REPLY_SERIAL, "u", .number = 7},    {FIELD_DESTINATION, "s", .text = "org.example.D"},
            {FIELD_SENDER, "s", .text = ":1.2"},       {FIELD_SIGNATURE, "g", .text = "y"},
            {FIELD_UNIX_FDS, "u", .number = 3},
        };
        struct message m;
        draft_begin(&draft, MESSAGE_SIGNAL, big_endian);
        for (size_t i = 0; i < CHECK_COUNT(fields); i++)
            draft_field(&draft, &fields[i]);
        draft_body(&draft, (struct bytes)BYTES("\5"));
        draft.data[2] = 0x83;
        draft_store(&draft, 8, 0x01020304);

        CHECK_EQUAL(draft_verdict(&draft), MESSAGE_OK);
        REQUIRE(message_parse(&m, draft.data, draft.size) == MESSAGE_OK);
        CHECK_EQUAL(m.type, MESSAGE_SIGNAL);
        CHECK_EQUAL(m.flags, 0x83);
        CHECK_EQUAL(m.big_endian, big_endian);
        CHECK_EQUAL(m.serial, 0x01020304);
        CHECK_EQUAL(m.reply_serial, 7);
        CHECK_EQUAL(m.n_fds, 3);
        CHECK_EQUAL(m.body_size, 1);
        CHECK_EQUAL(m.body_offset + m.body_size, m.size);
        CHECK_SPAN(m.path, "/org/example");
        CHECK_SPAN(m.interface, "org.example.I");
        CHECK_SPAN(m.member, "Member");
        CHECK_SPAN(m.error_name, "org.example.E");
        CHECK_SPAN(m.destination, "org.example.D");
        CHECK_SPAN(m.sender, ":1.2");
        CHECK_SPAN(m.signature, "y");
        CHECK(m.rewrite);
    }
}

static void absent_fields_are_empty(void)
{
    struct message m;
    const struct draft_field fields[] = {PATH, MEMBER};
    draft_begin(&draft, MESSAGE_METHOD_CALL, false);
    draft_field(&draft, &fields[0]);
    draft_field(&draft, &fields[1]);
    draft_body(&draft, (struct bytes)BYTES(""));
    REQUIRE(message_parse(&m, draft.data, draft.size) == MESSAGE_OK);
    CHECK(!m.interface.s && !m.error_name.s && !m.destination.s && !m.sender.s && !m.signature.s);
    CHECK_EQUAL(m.reply_serial, 0);
    CHECK_EQUAL(m.n_fds, 0);
    CHECK(!m.rewrite);
}

/* A stream may end anywhere: nothing beyond its end is read. */
static void a_part_is_incomplete(void)
{
    for (int big_endian = 0; big_endian < 2; big_endian++) {
        draft_call(big_endian);
        CHECK_EQUAL(draft_verdict(&draft), MESSAGE_OK);
        for (uint32_t n = 0; n < draft.size; n++) {
            struct message m;
            uint8_t *part = malloc(n ? n : 1);
            REQUIRE(part);
            memcpy(part, draft.data, n);
            CHECK_EQUAL(message_parse(&m, part, n), MESSAGE_INCOMPLETE);
            free(part);
        }
    }
}

static void more_than_the_message_is_refused(void)
{
    struct message m;
    draft_call(false);
    CHECK_EQUAL(message_parse(&m, draft.data, draft.size + 1), MESSAGE_TOO_LONG);
}

/* Single bytes of a valid call, by their offset from the beginning */
static void refuses_a_wrong_byte(void)
{
    static const struct {
        const char *name;
        uint32_t at;
        uint8_t byte;
        enum message_error error;
    } rows[] = {
        {"byte order", 0, 'b', MESSAGE_BAD_ENDIAN},
        {"INVALID type: \"This is an invalid type\"", 1, 0, MESSAGE_BAD_TYPE},
        {"unknown type: \"must be ignored\"", 1, 200, MESSAGE_OK},
        {"unknown flags: \"must be ignored\"", 2, 0xf8, MESSAGE_OK},
        {"version", 3, 2, MESSAGE_BAD_VERSION},
        {"serial: \"must not be zero\"", 8, 0, MESSAGE_BAD_SERIAL},
        {"INVALID field: \"error if it appears\"", 16, 0, MESSAGE_BAD_FIELD},
        {"a field's type", 18, 's', MESSAGE_BAD_FIELD},
        {"a field's signature without its NUL", 19, 1, MESSAGE_BAD_FIELD},
        {"a field's text one shorter", 20, 3, MESSAGE_BAD_FIELD},
        {"a field's text longer than the fields", 22, 1, MESSAGE_BAD_FIELD},
        {"a field's text without its NUL", 28, 'x', MESSAGE_BAD_FIELD},
        {"padding between fields", 29, 1, MESSAGE_BAD_PADDING},
        {"padding between fields, last byte", 31, 1, MESSAGE_BAD_PADDING},
        {"a field twice", 32, FIELD_PATH, MESSAGE_DUPLICATE_FIELD},
        {"padding of the header", 87, 1, MESSAGE_BAD_PADDING},
    };
    for (size_t i = 0; i < CHECK_COUNT(rows); i++) {
        check_case = rows[i].name;
        draft_call(false);
        draft.data[rows[i].at] = rows[i].byte;
        CHECK_EQUAL(draft_verdict(&draft), rows[i].error);
    }
}

/* "implementations must not send or accept known header fields with the wrong type" */
static void refuses_wrong_values_of_fields(void)
{
    static const struct {
        const char *name;
        struct draft_field field;
        enum message_error error;
    } rows[] = {
        {"path as string", {FIELD_PATH, "s", .text = "/a"}, MESSAGE_BAD_FIELD},
        {"path", {FIELD_PATH, "o", .text = "a"}, MESSAGE_BAD_PATH},
        {"local path", {FIELD_PATH, "o", .text = "/org/freedesktop/DBus/Local"}, MESSAGE_BAD_PATH},
        {"below it", {FIELD_PATH, "o", .text = "/org/freedesktop/DBus/Local/a"}, MESSAGE_BAD_PATH},
        {"beside it", {FIELD_PATH, "o", .text = "/org/freedesktop/DBus/Locale"}, MESSAGE_BAD_PATH},
        {"the bus's", {FIELD_PATH, "o", .text = "/org/freedesktop/DBus"}, MESSAGE_OK},
        {"interface", {FIELD_INTERFACE, "s", .text = "a"}, MESSAGE_BAD_INTERFACE},
        {"empty interface", {FIELD_INTERFACE, "s", .text = ""}, MESSAGE_BAD_INTERFACE},
        {"local interface",
         {FIELD_INTERFACE, "s", .text = "org.freedesktop.DBus.Local"},
         MESSAGE_BAD_INTERFACE},
        {"interface as path", {FIELD_INTERFACE, "o", .text = "/a"}, MESSAGE_BAD_FIELD},
        {"member", {FIELD_MEMBER, "s", .text = "a.b"}, MESSAGE_BAD_MEMBER},
        {"error name", {FIELD_ERROR_NAME, "s", .text = "a"}, MESSAGE_BAD_ERROR_NAME},
        {"reply serial 0", {FIELD_REPLY_SERIAL, "u", .number = 0}, MESSAGE_BAD_REPLY_SERIAL},
        {"reply serial as i", {FIELD_REPLY_SERIAL, "i", .raw = BYTES("\1\0\0\0")}, MESSAGE_BAD_FIELD},
        {"destination", {FIELD_DESTINATION, "s", .text = "a"}, MESSAGE_BAD_DESTINATION},
        {"sender", {FIELD_SENDER, "s", .text = "a"}, MESSAGE_BAD_SENDER},
        {"signature", {FIELD_SIGNATURE, "g", .text = "a"}, MESSAGE_BAD_SIGNATURE},
        {"signature too long", {FIELD_SIGNATURE, "g", .raw = BYTES("\2y\0")}, MESSAGE_BAD_FIELD},
        {"signature as string", {FIELD_SIGNATURE, "s", .text = ""}, MESSAGE_BAD_FIELD},
        {"empty signature", {FIELD_SIGNATURE, "g", .text = ""}, MESSAGE_OK},
        {"fds", {FIELD_UNIX_FDS, "u", .number = 0}, MESSAGE_OK},
        {"fds cut off", {FIELD_UNIX_FDS, "u", .raw = BYTES("\0\0\0")}, MESSAGE_BAD_FIELD},
        {"container", {FIELD_CONTAINER_INSTANCE, "o", .text = "/c"}, MESSAGE_OK},
        {"container that is no path", {FIELD_CONTAINER_INSTANCE, "o", .text = "c"}, MESSAGE_BAD_FIELD},
        {"container as string", {FIELD_CONTAINER_INSTANCE, "s", .text = "/c"}, MESSAGE_BAD_FIELD},
        {"field of two types", {FIELD_DESTINATION, "ss", .text = "a.b"}, MESSAGE_BAD_FIELD},
        {"field of no type", {FIELD_DESTINATION, "", .text = "a.b"}, MESSAGE_BAD_FIELD},
        {"text cut off", {FIELD_DESTINATION, "s", .raw = BYTES("\0")}, MESSAGE_BAD_FIELD},
        {"padding at the end", {FIELD_UNIX_FDS, "u", .raw = BYTES("\0\0\0\0\0\0\0\0")}, MESSAGE_BAD_FIELD},
        {"padding counted",
         {FIELD_DESTINATION, "s", .raw = BYTES("\3\0\0\0a.b\0\0\0\0\0")},
         MESSAGE_BAD_FIELD},
        {"unknown", {99, "u", .number = 5}, MESSAGE_OK},
        {"the first unknown", {11, "u", .number = 5}, MESSAGE_OK},
        {"unknown dict", {99, "a{sv}", .raw = BYTES("\0\0\0\0")}, MESSAGE_BAD_FIELD},
        {"unknown, two types", {99, "uu", .raw = BYTES("\0\0\0\0\0\0\0\0")}, MESSAGE_BAD_VARIANT},
        {"unknown, bad boolean", {99, "b", .raw = BYTES("\2\0\0\0")}, MESSAGE_BAD_BOOLEAN},
        {"unknown, cut off", {255, "t", .raw = BYTES("\0\0\0\0\0\0")}, MESSAGE_BAD_FIELD},
    };
    for (size_t i = 0; i < CHECK_COUNT(rows); i++) {
        const struct draft_field needed[] = {PATH, INTERFACE, MEMBER};
        check_case = rows[i].name;
        draft_begin(&draft, MESSAGE_METHOD_CALL, false);
        for (size_t k = 0; k < CHECK_COUNT(needed); k++)
            if (needed[k].code != rows[i].field.code)
                draft_field(&draft, &needed[k]);
        draft_field(&draft, &rows[i].field);
        draft_body(&draft, (struct bytes)BYTES(""));
        CHECK_EQUAL(draft_verdict(&draft), rows[i].error);
    }
}

/* "it must accept and ignore that field": also repeatedly, but the bus doesn't forward it. */
static void unknown_fields_are_rewritten(void)
{
    const struct draft_field fields[] = {PATH, MEMBER, {42, "s", .text = "x"}, {42, "s", .text = "x"}};
    struct message m;
    draft_begin(&draft, MESSAGE_METHOD_CALL, false);
    for (size_t i = 0; i < CHECK_COUNT(fields); i++)
        draft_field(&draft, &fields[i]);
    draft_body(&draft, (struct bytes)BYTES(""));
    CHECK_EQUAL(draft_verdict(&draft), MESSAGE_OK);
    REQUIRE(message_parse(&m, draft.data, draft.size) == MESSAGE_OK);
    CHECK(m.rewrite);
}

/* "A header must contain the required header fields for its message type" */
static void every_type_needs_its_fields(void)
{
    static const struct draft_field fields[] = {PATH, INTERFACE, MEMBER, ERROR_NAME, REPLY_SERIAL};
    enum { P = 1, I = 2, M = 4, E = 8, R = 16 };
    static const unsigned required[] = {0, P | M, R, E | R, P | I | M, 0};
    for (unsigned type = 1; type < CHECK_COUNT(required); type++) {
        for (unsigned present = 0; present < 32; present++) {
            draft_begin(&draft, (uint8_t)type, false);
            for (unsigned i = 0; i < CHECK_COUNT(fields); i++)
                if (present & 1u << i)
                    draft_field(&draft, &fields[i]);
            draft_body(&draft, (struct bytes)BYTES(""));
            const bool enough = (present & required[type]) == required[type];
            CHECK_EQUAL(draft_verdict(&draft), enough ? MESSAGE_OK : MESSAGE_MISSING_FIELD);
        }
    }
}

static void every_error_has_its_own_text(void)
{
    for (int a = 0; a < MESSAGE_ERROR_COUNT; a++)
        for (int b = 0; b <= a; b++)
            CHECK(a == b || strcmp(message_error_text((enum message_error)a),
                                   message_error_text((enum message_error)b)));
    CHECK(message_error_text(MESSAGE_ERROR_COUNT)[0] != 0);
    CHECK(strcmp(message_error_text(MESSAGE_ERROR_COUNT), message_error_text(MESSAGE_BAD_DEPTH)) != 0);
}

static const struct check_test tests[] = {
    TEST(frames_by_the_first_sixteen_bytes), TEST(frame_refuses_impossible_messages),
    TEST(frame_keeps_to_the_limit_given),    TEST(reads_every_field),
    TEST(absent_fields_are_empty),           TEST(a_part_is_incomplete),
    TEST(more_than_the_message_is_refused),  TEST(refuses_a_wrong_byte),
    TEST(refuses_wrong_values_of_fields),    TEST(unknown_fields_are_rewritten),
    TEST(every_type_needs_its_fields),       TEST(every_error_has_its_own_text),
};
CHECK_MAIN(tests)
