/* SPDX-License-Identifier: MIT */

/* D-Bus specification, "Marshaling (Wire Format)": valid bodies */

#include "message_draft.h"

static struct draft draft;

struct row {
    const char *name;
    const char *signature;
    struct bytes little, big; /* by byte order; big is absent if both are the same */
    enum message_error error;
};

static enum message_error body_verdict(const char *signature, struct bytes body, bool big_endian)
{
    const struct draft_field fields[] = {
        {FIELD_PATH, "o", .text = "/a"},
        {FIELD_MEMBER, "s", .text = "M"},
        {FIELD_SIGNATURE, "g", .text = signature},
    };
    draft_begin(&draft, MESSAGE_METHOD_CALL, big_endian);
    for (size_t i = 0; i < CHECK_COUNT(fields); i++)
        draft_field(&draft, &fields[i]);
    draft_body(&draft, body);
    return draft_verdict(&draft);
}

static void check_rows(const struct row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct bytes big = rows[i].big.s ? rows[i].big : rows[i].little;
        check_case = rows[i].name;
        CHECK_EQUAL(body_verdict(rows[i].signature, rows[i].little, false), rows[i].error);
        CHECK_EQUAL(body_verdict(rows[i].signature, big, true), rows[i].error);
    }
}

/* "BYTE ... UNIX_FD": values of fixed size, each aligned to its size */
static void fixed_types(void)
{
    static const struct row rows[] = {
        {"byte", "y", BYTES("\377"), BYTES("\377"), MESSAGE_OK},
        {"nothing there", "y", BYTES(""), BYTES(""), MESSAGE_BAD_BODY_LENGTH},
        {"a byte too many", "y", BYTES("\0\0"), BYTES("\0\0"), MESSAGE_BAD_BODY_LENGTH},
        {"int16", "n", BYTES("\1\0"), BYTES("\0\1"), MESSAGE_OK},
        {"uint16 cut off", "q", BYTES("\0"), BYTES("\0"), MESSAGE_BAD_BODY_LENGTH},
        {"int32", "i", BYTES("\1\2\3\4"), BYTES("\1\2\3\4"), MESSAGE_OK},
        {"uint32 cut off", "u", BYTES("\0\0\0"), BYTES("\0\0\0"), MESSAGE_BAD_BODY_LENGTH},
        {"fd: the index is not looked at", "h", BYTES("\7\0\0\0"), BYTES("\0\0\0\7"), MESSAGE_OK},
        {"int64", "x", BYTES("\1\2\3\4\5\6\7\10"), BYTES("\1\2\3\4\5\6\7\10"), MESSAGE_OK},
        {"uint64 cut off", "t", BYTES("\0\0\0\0\0\0\0"), BYTES("\0\0\0\0\0\0\0"), MESSAGE_BAD_BODY_LENGTH},
        {"double, any bytes", "d", BYTES("\377\377\377\377\377\377\377\377"), {0}, MESSAGE_OK},
        {"a body without a signature", "", BYTES("\0"), BYTES("\0"), MESSAGE_BAD_BODY_LENGTH},
        {"second value missing", "yy", BYTES("\0"), BYTES("\0"), MESSAGE_BAD_BODY_LENGTH},
    };
    check_rows(rows, CHECK_COUNT(rows));
}

/* "0 is FALSE and 1 is TRUE. Everything else is invalid" */
static void booleans(void)
{
    static const struct row rows[] = {
        {"false", "b", BYTES("\0\0\0\0"), BYTES("\0\0\0\0"), MESSAGE_OK},
        {"true", "b", BYTES("\1\0\0\0"), BYTES("\0\0\0\1"), MESSAGE_OK},
        {"2", "b", BYTES("\2\0\0\0"), BYTES("\0\0\0\2"), MESSAGE_BAD_BOOLEAN},
        {"true of the other byte order", "b", BYTES("\0\0\0\1"), BYTES("\1\0\0\0"), MESSAGE_BAD_BOOLEAN},
        {"cut off", "b", BYTES("\1\0\0"), BYTES("\0\0\0"), MESSAGE_BAD_BODY_LENGTH},
        {"array", "ab", BYTES("\10\0\0\0\0\0\0\0\1\0\0\0"), BYTES("\0\0\0\10\0\0\0\0\0\0\0\1"), MESSAGE_OK},
        {"3 in an array", "ab", BYTES("\10\0\0\0\1\0\0\0\3\0\0\0"), BYTES("\0\0\0\10\0\0\0\1\0\0\0\3"),
         MESSAGE_BAD_BOOLEAN},
        {"3 before 1", "ab", BYTES("\10\0\0\0\3\0\0\0\1\0\0\0"), BYTES("\0\0\0\10\0\0\0\3\0\0\0\1"),
         MESSAGE_BAD_BOOLEAN},
    };
    check_rows(rows, CHECK_COUNT(rows));
}

/* "The alignment padding must always be the minimum required ... and made up of nul bytes" */
static void padding(void)
{
    static const struct row rows[] = {
        {"to 2", "yq", BYTES("\1\0\0\0"), BYTES("\1\0\0\0"), MESSAGE_OK},
        {"to 2, not zero", "yq", BYTES("\1\1\0\0"), BYTES("\1\1\0\0"), MESSAGE_BAD_PADDING},
        {"to 4", "yu", BYTES("\1\0\0\0\0\0\0\0"), BYTES("\1\0\0\0\0\0\0\0"), MESSAGE_OK},
        {"to 4, first not zero", "yu", BYTES("\1\1\0\0\0\0\0\0"), {0}, MESSAGE_BAD_PADDING},
        {"to 4, last not zero", "yu", BYTES("\1\0\0\1\0\0\0\0"), {0}, MESSAGE_BAD_PADDING},
        {"to 8", "yt", BYTES("\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"), {0}, MESSAGE_OK},
        {"to 8, first not zero", "yt", BYTES("\1\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0"), {0}, MESSAGE_BAD_PADDING},
        {"to 8, last not zero", "yt", BYTES("\1\0\0\0\0\0\0\1\0\0\0\0\0\0\0\0"), {0}, MESSAGE_BAD_PADDING},
        {"struct", "y(y)", BYTES("\1\0\0\0\0\0\0\0\1"), {0}, MESSAGE_OK},
        {"struct, not zero", "y(y)", BYTES("\1\0\0\0\0\0\1\0\1"), {0}, MESSAGE_BAD_PADDING},
        {"struct cut off in its padding", "y(y)", BYTES("\1\0\0\0\0\0\0"), {0}, MESSAGE_BAD_BODY_LENGTH},
        {"behind the body", "y", BYTES("\1\0\0\0\0\0\0\0"), {0}, MESSAGE_BAD_BODY_LENGTH},
        {"string in a struct in a variant", "v", BYTES("\3(y)\0\0\0\0\1"), {0}, MESSAGE_OK},
        {"variant, not zero", "v", BYTES("\3(y)\0\1\0\0\1"), {0}, MESSAGE_BAD_PADDING},
    };
    check_rows(rows, CHECK_COUNT(rows));
}

/* "UTF-8 ... Must be nul terminated and contain no other nul bytes" */
static void strings(void)
{
    static const struct row rows[] = {
        {"empty", "s", BYTES("\0\0\0\0\0"), BYTES("\0\0\0\0\0"), MESSAGE_OK},
        {"text", "s", BYTES("\2\0\0\0hi\0"), BYTES("\0\0\0\2hi\0"), MESSAGE_OK},
        {"no NUL behind", "s", BYTES("\2\0\0\0hi!"), BYTES("\0\0\0\2hi!"), MESSAGE_BAD_STRING},
        {"NUL within", "s", BYTES("\2\0\0\0h\0\0"), BYTES("\0\0\0\2h\0\0"), MESSAGE_BAD_STRING},
        {"NUL missing at the end", "s", BYTES("\2\0\0\0hi"), BYTES("\0\0\0\2hi"), MESSAGE_BAD_BODY_LENGTH},
        {"longer than the body", "s", BYTES("\3\0\0\0hi\0"), BYTES("\0\0\0\3hi\0"), MESSAGE_BAD_BODY_LENGTH},
        {"length that overflows", "s", BYTES("\377\377\377\377hi\0"), BYTES("\377\377\377\377hi\0"),
         MESSAGE_BAD_BODY_LENGTH},
        {"length cut off", "s", BYTES("\0\0\0"), BYTES("\0\0\0"), MESSAGE_BAD_BODY_LENGTH},
        {"not UTF-8", "s", BYTES("\2\0\0\0h\377\0"), BYTES("\0\0\0\2h\377\0"), MESSAGE_BAD_STRING},
        {"path", "o", BYTES("\2\0\0\0/a\0"), BYTES("\0\0\0\2/a\0"), MESSAGE_OK},
        {"path that is none", "o", BYTES("\2\0\0\0a/\0"), BYTES("\0\0\0\2a/\0"), MESSAGE_BAD_PATH},
        {"empty path", "o", BYTES("\0\0\0\0\0"), BYTES("\0\0\0\0\0"), MESSAGE_BAD_PATH},
        {"the local path is kept for headers", "o", BYTES("\33\0\0\0/org/freedesktop/DBus/Local\0"),
         BYTES("\0\0\0\33/org/freedesktop/DBus/Local\0"), MESSAGE_OK},
        {"signature", "g", BYTES("\5a{sv}\0"), BYTES("\5a{sv}\0"), MESSAGE_OK},
        {"signature that is none", "g", BYTES("\1a\0"), BYTES("\1a\0"), MESSAGE_BAD_SIGNATURE},
        {"signature without NUL", "g", BYTES("\1ss"), BYTES("\1ss"), MESSAGE_BAD_STRING},
        {"signature longer than the body", "g", BYTES("\2s\0"), BYTES("\2s\0"), MESSAGE_BAD_BODY_LENGTH},
        {"no signature at all", "yg", BYTES("\1"), BYTES("\1"), MESSAGE_BAD_BODY_LENGTH},
    };
    check_rows(rows, CHECK_COUNT(rows));
}

/* "The array length is ... in bytes ... not including the padding" */
static void arrays(void)
{
    static const struct row rows[] = {
        {"empty", "ay", BYTES("\0\0\0\0"), BYTES("\0\0\0\0"), MESSAGE_OK},
        {"bytes", "ay", BYTES("\2\0\0\0\1\2"), BYTES("\0\0\0\2\1\2"), MESSAGE_OK},
        {"longer than the body", "ay", BYTES("\3\0\0\0\1\2"), BYTES("\0\0\0\3\1\2"), MESSAGE_BAD_BODY_LENGTH},
        {"longer than the body, and more", "ayy", BYTES("\3\0\0\0\1"), BYTES("\0\0\0\3\1"),
         MESSAGE_BAD_BODY_LENGTH},
        {"no multiple of 4", "au", BYTES("\6\0\0\0\1\2\3\4\5\6"), BYTES("\0\0\0\6\1\2\3\4\5\6"),
         MESSAGE_BAD_ARRAY},
        {"no multiple of 8", "at", BYTES("\4\0\0\0\0\0\0\0\1\2\3\4"), BYTES("\0\0\0\4\0\0\0\0\1\2\3\4"),
         MESSAGE_BAD_ARRAY},
        {"empty, with padding to 8", "at", BYTES("\0\0\0\0\0\0\0\0"), BYTES("\0\0\0\0\0\0\0\0"), MESSAGE_OK},
        {"empty, padding missing", "at", BYTES("\0\0\0\0"), BYTES("\0\0\0\0"), MESSAGE_BAD_BODY_LENGTH},
        {"empty, padding not zero", "a(y)", BYTES("\0\0\0\0\0\0\1\0"), {0}, MESSAGE_BAD_PADDING},
        {"strings", "as", BYTES("\7\0\0\0\2\0\0\0hi\0"), BYTES("\0\0\0\7\0\0\0\2hi\0"), MESSAGE_OK},
        {"ends within a string", "as", BYTES("\6\0\0\0\2\0\0\0hi\0"), BYTES("\0\0\0\6\0\0\0\2hi\0"),
         MESSAGE_BAD_ARRAY},
        {"element cut off", "as", BYTES("\3\0\0\0\2\0\0"), BYTES("\0\0\0\3\0\0\2"), MESSAGE_BAD_BODY_LENGTH},
        {"padding between elements", "as", BYTES("\15\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"),
         BYTES("\0\0\0\15\0\0\0\0\0\0\0\0\0\0\0\0\0"), MESSAGE_OK},
        {"padding behind the last element", "as", BYTES("\10\0\0\0\0\0\0\0\0\0\0\0"),
         BYTES("\0\0\0\10\0\0\0\0\0\0\0\0"), MESSAGE_BAD_BODY_LENGTH},
        {"of arrays", "aay", BYTES("\11\0\0\0\0\0\0\0\1\0\0\0\7"), BYTES("\0\0\0\11\0\0\0\0\0\0\0\1\7"),
         MESSAGE_OK},
        {"dict", "a{yy}", BYTES("\2\0\0\0\0\0\0\0\1\2"), BYTES("\0\0\0\2\0\0\0\0\1\2"), MESSAGE_OK},
        {"dict, value missing", "a{yy}", BYTES("\1\0\0\0\0\0\0\0\1"), BYTES("\0\0\0\1\0\0\0\0\1"),
         MESSAGE_BAD_BODY_LENGTH},
        {"two, the type behind an empty one", "a(yas)y", BYTES("\0\0\0\0\0\0\0\0\5"), {0}, MESSAGE_OK},
        {"within a struct, empty", "(aay)ay", BYTES("\0\0\0\0\1\0\0\0\7"), BYTES("\0\0\0\0\0\0\0\1\7"),
         MESSAGE_OK},
    };
    check_rows(rows, CHECK_COUNT(rows));
}

/* "Arrays have a maximum length defined to be 2 to the 26th power or 67108864 (64 MiB)" */
static void arrays_above_64_mib(void)
{
    static const struct draft_field fields[] = {{FIELD_PATH, "o", .text = "/a"},
                                                {FIELD_MEMBER, "s", .text = "M"},
                                                {FIELD_SIGNATURE, "g", .text = "ay"}};
    draft_begin(&draft, MESSAGE_METHOD_CALL, false);
    for (size_t i = 0; i < CHECK_COUNT(fields); i++)
        draft_field(&draft, &fields[i]);
    draft_align(&draft, 8);
    const uint32_t header = draft.size;
    uint8_t *data = calloc(1, header + 4 + MESSAGE_MAX_ARRAY + 1);
    REQUIRE(data);
    for (uint32_t n = MESSAGE_MAX_ARRAY; n <= MESSAGE_MAX_ARRAY + 1; n++) {
        struct message m;
        draft.size = header;
        draft_uint32(&draft, n);
        draft_store(&draft, 4, 4 + n);
        memcpy(data, draft.data, draft.size);
        CHECK_EQUAL(message_parse(&m, data, draft.size + n),
                    n > MESSAGE_MAX_ARRAY ? MESSAGE_BAD_ARRAY : MESSAGE_OK);
    }
    free(data);
}

/* "the SIGNATURE of the contents (which must be a single complete type)" */
static void variants(void)
{
    static const struct row rows[] = {
        {"byte", "v", BYTES("\1y\0\7"), BYTES("\1y\0\7"), MESSAGE_OK},
        {"uint32", "v", BYTES("\1u\0\0\7\0\0\0"), BYTES("\1u\0\0\0\0\0\7"), MESSAGE_OK},
        {"empty signature", "v", BYTES("\0\0"), BYTES("\0\0"), MESSAGE_BAD_VARIANT},
        {"two types", "v", BYTES("\2yy\0\1\1"), BYTES("\2yy\0\1\1"), MESSAGE_BAD_VARIANT},
        {"array without element", "v", BYTES("\1a\0\0\0\0\0\0"), BYTES("\1a\0\0\0\0\0\0"),
         MESSAGE_BAD_VARIANT},
        {"a bracket", "v", BYTES("\1(\0\0"), BYTES("\1(\0\0"), MESSAGE_BAD_VARIANT},
        {"a dict entry alone", "v", BYTES("\4{yy}\0\0\0\1\1"), BYTES("\4{yy}\0\0\0\1\1"),
         MESSAGE_BAD_VARIANT},
        {"no type code", "v", BYTES("\1z\0\0"), BYTES("\1z\0\0"), MESSAGE_BAD_VARIANT},
        {"signature without NUL", "v", BYTES("\1yy\0"), BYTES("\1yy\0"), MESSAGE_BAD_VARIANT},
        {"signature longer than the body", "v", BYTES("\3y\0"), BYTES("\3y\0"), MESSAGE_BAD_BODY_LENGTH},
        {"nothing there", "yv", BYTES("\1"), BYTES("\1"), MESSAGE_BAD_BODY_LENGTH},
        {"value missing", "v", BYTES("\1y\0"), BYTES("\1y\0"), MESSAGE_BAD_BODY_LENGTH},
        {"value wrong", "v", BYTES("\1b\0\0\2\0\0\0"), BYTES("\1b\0\0\0\0\0\2"), MESSAGE_BAD_BOOLEAN},
        {"in a dict", "a{sv}", BYTES("\12\0\0\0\0\0\0\0\1\0\0\0k\0\1y\0\7"),
         BYTES("\0\0\0\12\0\0\0\0\0\0\0\1k\0\1y\0\7"), MESSAGE_OK},
        {"struct", "v", BYTES("\4(yq)\0\0\0\1\0\1\0"), BYTES("\4(yq)\0\0\0\1\0\0\1"), MESSAGE_OK},
    };
    check_rows(rows, CHECK_COUNT(rows));
}

/* Levels of variants, the innermost one of which holds a byte or an array, empty or with one element. */
static enum message_error nested(const char *signature, unsigned levels, const char *inner,
                                 struct bytes element)
{
    static struct draft body;
    body.size = 0;
    body.big_endian = false;
    for (unsigned i = 1; i < levels; i++)
        draft_signature(&body, draft_text("v"));
    draft_signature(&body, draft_text(inner));
    if (inner[0] == 'a') {
        draft_uint32(&body, element.n);
        draft_align(&body, 8);
    }
    draft_put(&body, element.s, element.n);
    return body_verdict(signature, (struct bytes){(const char *)body.data, body.size}, false);
}

/* "Use of variants must not cause a total message depth to be larger than 64, including other container
 * types" */
static void depth(void)
{
    const struct bytes none = {0}, byte = BYTES("\5"), eight = BYTES("\1\2\3\4\5\6\7\10");
    CHECK_EQUAL(nested("v", 64, "y", byte), MESSAGE_OK);
    CHECK_EQUAL(nested("v", 65, "y", byte), MESSAGE_BAD_DEPTH);
    CHECK_EQUAL(nested("(v)", 63, "y", byte), MESSAGE_OK);
    CHECK_EQUAL(nested("(v)", 64, "y", byte), MESSAGE_BAD_DEPTH);
    /* as in libdbus, an array adds to it only if it has elements, and they are not of fixed size */
    CHECK_EQUAL(nested("v", 62, "a(y)", byte), MESSAGE_OK);
    CHECK_EQUAL(nested("v", 63, "a(y)", byte), MESSAGE_BAD_DEPTH);
    CHECK_EQUAL(nested("v", 64, "a(y)", byte), MESSAGE_BAD_DEPTH);
    CHECK_EQUAL(nested("v", 64, "a(y)", none), MESSAGE_OK);
    CHECK_EQUAL(nested("v", 64, "at", eight), MESSAGE_OK);
    CHECK_EQUAL(nested("v", 65, "at", eight), MESSAGE_BAD_DEPTH);
}

/* The same for an unknown header field, which is in an array and a struct. */
static void depth_of_unknown_fields(void)
{
    for (unsigned levels = 61; levels < 64; levels++) {
        static char raw[512];
        uint32_t n = 0;
        for (unsigned i = 1; i < levels; i++) {
            memcpy(raw + n, i + 1 < levels ? "\1v" : "\1y", 3);
            n += 3;
        }
        raw[n++] = 5;
        const struct draft_field fields[] = {
            {FIELD_PATH, "o", .text = "/a"}, {FIELD_MEMBER, "s", .text = "M"}, {77, "v", .raw = {raw, n}}};
        draft_begin(&draft, MESSAGE_METHOD_CALL, false);
        for (size_t i = 0; i < CHECK_COUNT(fields); i++)
            draft_field(&draft, &fields[i]);
        draft_body(&draft, (struct bytes)BYTES(""));
        CHECK_EQUAL(draft_verdict(&draft), levels <= 62 ? MESSAGE_OK : MESSAGE_BAD_DEPTH);
    }
}

/* "This implies that the maximum total depth of recursion is 64" */
static void deepest_signature(void)
{
    char signature[256];
    memset(signature, '(', 32);
    memset(signature + 32, 'a', 32);
    signature[64] = 'y';
    memset(signature + 65, ')', 32);
    signature[97] = 0;
    CHECK_EQUAL(body_verdict(signature, (struct bytes)BYTES("\0\0\0\0"), false), MESSAGE_OK);
    /* one element in each array: 4 bytes of length, then the rest */
    char body[4 * 32 + 1] = {0};
    for (uint32_t i = 0; i < 32; i++)
        body[4 * i] = (char)(4 * (31 - i) + 1);
    CHECK_EQUAL(body_verdict(signature, (struct bytes){body, sizeof(body)}, false), MESSAGE_OK);
}

static const struct check_test tests[] = {
    TEST(fixed_types),       TEST(booleans), TEST(padding),
    TEST(strings),           TEST(arrays),   TEST(arrays_above_64_mib),
    TEST(variants),          TEST(depth),    TEST(depth_of_unknown_fields),
    TEST(deepest_signature),
};
CHECK_MAIN(tests)
