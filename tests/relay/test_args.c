/* SPDX-License-Identifier: MIT */

/* The arguments of a body, one by one, as match rules read them */

#include "../../transport/relay/wire/marshal.h"
#include "message_draft.h"

static struct draft draft;

static bool parse_body(struct message *m, const char *signature, struct bytes body, bool big_endian)
{
    const struct draft_field fields[] = {{FIELD_PATH, "o", .text = "/a"},
                                         {FIELD_MEMBER, "s", .text = "M"},
                                         {FIELD_SIGNATURE, "g", .text = signature}};
    draft_begin(&draft, MESSAGE_METHOD_CALL, big_endian);
    for (size_t i = 0; i < CHECK_COUNT(fields); i++)
        draft_field(&draft, &fields[i]);
    draft_body(&draft, body);
    return CHECK_EQUAL(message_parse(m, draft.data, draft.size), MESSAGE_OK);
}

static void check_end(struct message_args *args)
{
    struct message_arg arg;
    CHECK(!message_args_next(args, &arg));
    CHECK(!message_args_next(args, &arg));
    CHECK_EQUAL(args->offset, args->m->body_size);
}

static void missing_body_has_no_arguments(void)
{
    struct message m;
    struct message_args args;
    REQUIRE(parse_body(&m, "", (struct bytes)BYTES(""), false));
    message_args_begin(&args, &m);
    check_end(&args);
}

static void numbers(void)
{
    static const struct bytes bodies[] = {
        BYTES("\1\0\2\1\3\0\0\0\4\0\0\0\5\1\0\0\1\0\0\0\7\0\0\0"),
        BYTES("\1\0\1\2\0\3\0\0\0\0\0\4\0\0\1\5\0\0\0\1\0\0\0\7"),
    };
    for (int big_endian = 0; big_endian < 2; big_endian++) {
        struct message m;
        struct message_args args;
        struct message_arg arg;
        static const struct message_arg expected[] = {
            {'y', {0}, 1},     {'n', {0}, 0x102}, {'q', {0}, 3}, {'i', {0}, 4},
            {'u', {0}, 0x105}, {'b', {0}, 1},     {'h', {0}, 7},
        };
        REQUIRE(parse_body(&m, "ynqiubh", bodies[big_endian], big_endian));
        message_args_begin(&args, &m);
        for (size_t i = 0; i < CHECK_COUNT(expected); i++) {
            REQUIRE(CHECK(message_args_next(&args, &arg)));
            CHECK_EQUAL(arg.type, expected[i].type);
            CHECK_EQUAL(arg.number, expected[i].number);
            CHECK(!arg.text.s);
        }
        check_end(&args);
    }
}

static void texts(void)
{
    struct message m;
    struct message_args args;
    struct message_arg arg;
    static const char expected[][2][6] = {{"s", "hello"}, {"o", "/a/b"}, {"g", "a{sv}"}, {"s", ""}};
    struct marshal w = {0};
    marshal_begin(
        &w, &(struct marshal_header){
                .type = MESSAGE_METHOD_RETURN, .serial = 1, .reply_serial = 1, .signature = SPAN("sogs")});
    marshal_string(&w, SPAN("hello"));
    marshal_string(&w, SPAN("/a/b"));
    marshal_signature(&w, SPAN("a{sv}"));
    marshal_string(&w, SPAN(""));
    REQUIRE(marshal_end(&w));
    REQUIRE(message_parse(&m, w.data, (uint32_t)w.size) == MESSAGE_OK);
    message_args_begin(&args, &m);
    for (size_t i = 0; i < CHECK_COUNT(expected); i++) {
        REQUIRE(CHECK(message_args_next(&args, &arg)));
        CHECK_EQUAL(arg.type, expected[i][0][0]);
        CHECK_SPAN(arg.text, expected[i][1]);
        CHECK_EQUAL(arg.number, 0);
    }
    check_end(&args);
    marshal_free(&w);
}

/* The argument after each container is found: always a byte with the value 7. */
static void containers_are_skipped(void)
{
    static const struct {
        const char *signature;
        struct bytes body;
        char type;
    } rows[] = {
        {"ty", BYTES("\0\0\0\0\0\0\0\0\7"), 't'},
        {"dy", BYTES("\0\0\0\0\0\0\0\0\7"), 'd'},
        {"ayy", BYTES("\2\0\0\0\1\2\7"), 'a'},
        {"aty", BYTES("\0\0\0\0\0\0\0\0\7"), 'a'},
        {"a(y(yy))y", BYTES("\0\0\0\0\0\0\0\0\7"), 'a'},
        {"aaa{s(ay)}y", BYTES("\0\0\0\0\7"), 'a'},
        {"asy", BYTES("\6\0\0\0\1\0\0\0x\0\7"), 'a'},
        {"(y)y", BYTES("\1\7"), '('},
        {"(ys(y))y", BYTES("\1\0\0\0\1\0\0\0x\0\0\0\0\0\0\0\1\7"), '('},
        {"(ayo)y", BYTES("\1\0\0\0\1\0\0\0\1\0\0\0/\0\7"), '('},
        {"vy", BYTES("\1y\0\1\7"), 'v'},
        {"vy", BYTES("\2ay\0\1\0\0\0\1\7"), 'v'},
        {"vy", BYTES("\1v\0\1v\0\1g\0\1y\0\7"), 'v'},
        {"vy", BYTES("\4(yv)\0\0\0\1\1y\0\1\7"), 'v'},
    };
    for (size_t i = 0; i < CHECK_COUNT(rows); i++) {
        struct message m;
        struct message_args args;
        struct message_arg arg;
        check_case = rows[i].signature;
        REQUIRE(parse_body(&m, rows[i].signature, rows[i].body, false));
        message_args_begin(&args, &m);
        REQUIRE(CHECK(message_args_next(&args, &arg)));
        CHECK_EQUAL(arg.type, rows[i].type);
        CHECK(!arg.text.s);
        REQUIRE(CHECK(message_args_next(&args, &arg)));
        CHECK_EQUAL(arg.type, 'y');
        CHECK_EQUAL(arg.number, 7);
        check_end(&args);
    }
}

static const struct check_test tests[] = {
    TEST(missing_body_has_no_arguments),
    TEST(numbers),
    TEST(texts),
    TEST(containers_are_skipped),
};
CHECK_MAIN(tests)
