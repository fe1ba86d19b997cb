/* SPDX-License-Identifier: MIT */

/* D-Bus specification, "Valid Signatures" */

#include "../../transport/relay/wire/wire.h"
#include "check.h"
#include "reference.h"

/* The number of complete types, -1 if invalid; checked against libdbus */
static int types_in(const char *signature)
{
    uint8_t ends[MESSAGE_MAX_SIGNATURE + 1];
    const int n = wire_read_signature(span_of(signature), ends);
    CHECK_EQUAL(signature_is_valid(span_of(signature)), n >= 0);
    if (reference_load())
        CHECK_EQUAL(reference.signature_validate(signature, NULL), n >= 0);
    return n;
}

static void types(void)
{
    static const struct {
        const char *signature;
        int n;
    } rows[] = {
        {"", 0},
        {"y", 1},
        {"ybnqiuxtdsogvh", 14},
        {"as", 1},
        {"aay", 1},
        {"sa{sv}as", 3},
        {"(y)", 1},
        {"((y)(y))y", 2},
        {"a(ii)a{s(ii)}", 2},
        {"a{ya{ya{yy}}}", 1},
        /* "The STRUCT type code is not allowed in signatures", nor DICT_ENTRY, nor anything reserved */
        {"r", -1},
        {"e", -1},
        {"m", -1},
        {"*", -1},
        {" ", -1},
        {"\xff", -1},
        /* "Arrays must have element types, and structs must have both open and close parentheses" */
        {"a", -1},
        {"aa", -1},
        {"ya", -1},
        {"(a)", -1},
        {"a{ya}", -1},
        {"(", -1},
        {")", -1},
        {"(y", -1},
        {"y)", -1},
        {"(y}", -1},
        {"a{yy)", -1},
        {"(a{y)y}", -1},
        /* "Empty structures are not allowed" */
        {"()", -1},
        {"a()", -1},
        /* "Implementations must not accept dict entries outside of arrays, ... with zero, one, or more than
           two fields, and ... with non-basic-typed keys" */
        {"{", -1},
        {"{y", -1},
        {"{yy}", -1},
        {"({yy})", -1},
        {"a{}", -1},
        {"a{y}", -1},
        {"a{yyy}", -1},
        {"a{vy}", -1},
        {"a{ayy}", -1},
        {"a{(y)y}", -1},
        {"a{a{yy}y}", -1},
        {"a{", -1},
        {"a}", -1},
    };
    for (size_t i = 0; i < CHECK_COUNT(rows); i++) {
        check_case = rows[i].signature;
        CHECK_EQUAL(types_in(rows[i].signature), rows[i].n);
    }
}

static char *append(char *s, const char *part, unsigned times)
{
    const size_t n = strlen(part);
    for (unsigned i = 0; i < times; i++, s += n)
        memcpy(s, part, n + 1);
    return s;
}

/* "The maximum depth of container type nesting is 32 array type codes and 32 open parentheses" */
static void nesting(void)
{
    static const struct {
        const char *open, *close;
    } kinds[] = {{"a", ""}, {"(", ")"}, {"a{y", "}"}, {"a(", ")"}, {"aa(", ")"}};
    for (size_t i = 0; i < CHECK_COUNT(kinds); i++) {
        for (unsigned depth = 31; depth <= 33; depth++) {
            char signature[300];
            check_case = kinds[i].open;
            append(append(append(signature, kinds[i].open, depth), "y", 1), kinds[i].close, depth);
            CHECK_EQUAL(types_in(signature), depth <= 32 ? 1 : -1);
        }
    }
    /* each kind of bracket has its own limit */
    char both[300];
    append(append(append(both, "(a{y", 32), "y", 1), "})", 32);
    CHECK_EQUAL(types_in(both), 1);
}

/* "The maximum length of a signature is 255" */
static void lengths(void)
{
    char signature[300];
    append(signature, "y", 255);
    CHECK_EQUAL(types_in(signature), 255);
    append(signature, "y", 256);
    CHECK_EQUAL(types_in(signature), -1);
}

/* The end of each array is stored with it. */
static void array_ends(void)
{
    uint8_t ends[MESSAGE_MAX_SIGNATURE + 1] = {0};
    /*                                   0123456789 */
    CHECK_EQUAL(wire_read_signature(SPAN("aya{saa(ay)}ss"), ends), 4);
    CHECK_EQUAL(ends[0], 2);
    CHECK_EQUAL(ends[2], 12);
    CHECK_EQUAL(ends[5], 11);
    CHECK_EQUAL(ends[6], 11);
    CHECK_EQUAL(ends[8], 10);
    CHECK_EQUAL(ends[1], 0);
    CHECK_EQUAL(ends[12], 0);
}

/* Random signatures: libdbus agrees. */
static void agrees_with_libdbus(void)
{
    static const char *const parts[] = {"y", "s", "v", "a", "a{", "a{s", "(", ")", "}", "as", "a(", "e"};
    uint32_t state = 1;
    if (!reference_load())
        SKIP("libdbus is not installed");
    for (unsigned i = 0; i < 20000; i++) {
        char signature[64] = "", *end = signature;
        for (unsigned k = 0; k < 1 + i % 12; k++) {
            state = state * 1664525 + 1013904223;
            end = append(end, parts[(state >> 16) % CHECK_COUNT(parts)], 1);
        }
        check_case = signature;
        types_in(signature);
    }
}

static const struct check_test tests[] = {
    TEST(types), TEST(nesting), TEST(lengths), TEST(array_ends), TEST(agrees_with_libdbus),
};
CHECK_MAIN(tests)
