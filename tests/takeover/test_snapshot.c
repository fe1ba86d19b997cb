/* SPDX-License-Identifier: MIT */

/* The answers of the daemon, with which it must not be able to mislead or to harm. */

#include "snapshot.h"

#include "messages.h"

static bool take_names(struct snapshot *s, const char *const *names, size_t n)
{
    struct message m;
    struct bytes bytes = strings_of(names, n);
    bool taken = parse_bytes(&m, &bytes) && snapshot_take_names(s, &m);
    bytes_free(&bytes);
    return taken;
}

static void names(void)
{
    const char *const all[] = {"org.freedesktop.DBus", ":1.12", "a.b", ":1.3", ":1.0", "c.d"};
    struct snapshot s = {0};
    REQUIRE(take_names(&s, all, CHECK_COUNT(all)));
    CHECK_EQUAL(s.n_ids, 3);
    CHECK_EQUAL(s.ids[0], 0);
    CHECK_EQUAL(s.ids[2], 12);
    CHECK_EQUAL(s.n_names, 2);
    CHECK_EQUAL(snapshot_place(&s, 3), 1);
    CHECK(!snapshot_has(&s, 4));
    CHECK(snapshot_name(&s, "c.d") == &s.names[1]);
    CHECK(!snapshot_name(&s, "c"));
    snapshot_free(&s);
}

/* omnibusd gives only names of the form :1.N. */
static void names_that_are_refused(void)
{
    static const char *const refused[] = {":2.5",  ":1.", ":1.x", ":1.01", ":1.99999999999999999999",
                                          "noname"};
    for (size_t i = 0; i < CHECK_COUNT(refused); i++) {
        struct snapshot s = {0};
        check_case = refused[i];
        CHECK(!take_names(&s, &refused[i], 1));
        CHECK(s.why[0] != '\0');
        snapshot_free(&s);
    }
    check_case = NULL;
    const char *const twice[] = {":1.4", ":1.4"};
    struct snapshot s = {0};
    CHECK(!take_names(&s, twice, 2));
    snapshot_free(&s);
}

static void queues(void)
{
    const char *const all[] = {"a.b"}, *const queue[] = {":1.9", ":1.2"}, *const wrong[] = {"a.b"};
    struct snapshot s = {0};
    struct message m;
    REQUIRE(take_names(&s, all, 1));
    struct bytes bytes = strings_of(queue, 2), bad = strings_of(wrong, 1);
    CHECK(parse_bytes(&m, &bytes) && snapshot_take_queue(&s, 0, &m));
    CHECK_EQUAL(s.names[0].n, 2);
    CHECK_EQUAL(s.names[0].queue[0], 9);
    CHECK(parse_bytes(&m, &bad) && !snapshot_take_queue(&s, 0, &m));
    bytes_free(&bytes);
    bytes_free(&bad);
    struct bytes error = message_of((struct marshal_header){
        .type = MESSAGE_ERROR, .serial = 1, .reply_serial = 1, .error_name = SPAN("a.b.NameHasNoOwner")});
    CHECK(parse_bytes(&m, &error) && snapshot_take_queue(&s, 0, &m));
    bytes_free(&error);
    snapshot_free(&s);
}

/* The answer of GetAllMatchRules for one peer. */
static struct bytes rules_of(const char *peer, const char *const *rules, size_t n)
{
    struct marshal w = {0};
    struct span spans[16];
    const struct marshal_header header = {
        .type = MESSAGE_METHOD_RETURN, .serial = 1, .reply_serial = 1, .signature = SPAN("a{sas}")};
    for (size_t i = 0; i < n; i++)
        spans[i] = span_of(rules[i]);
    marshal_begin(&w, &header);
    size_t mark = marshal_array_begin(&w, 8);
    marshal_align(&w, 8);
    marshal_string(&w, span_of(peer));
    marshal_string_array(&w, spans, n);
    marshal_array_end(&w, mark, 8);
    return bytes_of(&w);
}

static bool take_rules(struct snapshot *s, const char *peer, const char *const *rules, size_t n)
{
    struct message m;
    struct bytes bytes = rules_of(peer, rules, n);
    bool taken = parse_bytes(&m, &bytes) && snapshot_take_rules(s, &m);
    bytes_free(&bytes);
    return taken;
}

/* In the order of AddMatch, equal ones once. */
static void rules(void)
{
    const char *const all[] = {"type='signal',member='Z'", "member='A'", "member='Z',type='signal'",
                               "interface='a.b'",          "member='A'", "member='A'"};
    struct snapshot s = {0};
    REQUIRE(take_rules(&s, ":1.7", all, CHECK_COUNT(all)));
    REQUIRE(CHECK_EQUAL(s.n_rules, 3));
    CHECK(strcmp(s.rules[0].text, "type='signal',member='Z'") == 0);
    CHECK_EQUAL(s.rules[0].copies, 2);
    CHECK(strcmp(s.rules[1].text, "member='A'") == 0);
    CHECK_EQUAL(s.rules[1].copies, 3);
    CHECK_EQUAL(s.rules[2].copies, 1);
    CHECK_EQUAL(s.rules[2].peer, 7);
    CHECK_EQUAL(s.rules[2].size, strlen(s.rules[2].text));
    CHECK(!snapshot_eavesdrops(&s, 7));
    snapshot_free(&s);
}

static void rules_that_eavesdrop(void)
{
    const char *const all[] = {"member='A'", "eavesdrop=true"};
    struct snapshot s = {0};
    REQUIRE(take_rules(&s, ":1.7", all, CHECK_COUNT(all)));
    CHECK(snapshot_eavesdrops(&s, 7));
    CHECK(!snapshot_eavesdrops(&s, 8));
    snapshot_free(&s);
}

static void rules_that_are_refused(void)
{
    const char *const bad[] = {"member='it's'"}, *const good[] = {"member='A'"};
    struct snapshot s = {0};
    CHECK(!take_rules(&s, ":1.7", bad, 1));
    CHECK(strstr(s.why, "it's") != NULL);
    snapshot_free(&s);
    CHECK(!take_rules(&s, "a.b", good, 1));
    snapshot_free(&s);
    struct message m;
    struct bytes error = message_of((struct marshal_header){
        .type = MESSAGE_ERROR, .serial = 1, .reply_serial = 1, .error_name = SPAN("a.b.UnknownMethod")});
    CHECK(parse_bytes(&m, &error) && !snapshot_take_rules(&s, &m));
    CHECK(strstr(s.why, "Debug.Stats") != NULL);
    bytes_free(&error);
    snapshot_free(&s);
}

/* Each allocation that fails is noticed, and nothing leaks. */
static void no_memory(void)
{
    const char *const all[] = {":1.7", ":1.8", "a.b", "a.c", "a.d"}, *const some[] = {"member='A'",
                                                                                      "member='B'"};
    long before = check_memory;
    bool taken = false;
    for (long n = 0; !taken && n < 100; n++) {
        struct snapshot s = {0};
        struct message m, r;
        struct bytes list = strings_of(all, CHECK_COUNT(all)), answer = rules_of(":1.7", some, 2);
        check_allocations = parse_bytes(&m, &list) && parse_bytes(&r, &answer) ? n : -1;
        taken = snapshot_take_names(&s, &m) && snapshot_take_rules(&s, &r);
        check_allocations = -1;
        CHECK(taken || s.why[0] != '\0');
        snapshot_free(&s);
        bytes_free(&list);
        bytes_free(&answer);
    }
    CHECK(taken);
    CHECK_EQUAL(check_memory, before);
}

static const struct check_test tests[] = {
    TEST(names),     TEST(names_that_are_refused), TEST(queues),
    TEST(rules),     TEST(rules_that_eavesdrop),   TEST(rules_that_are_refused),
    TEST(no_memory),
};
CHECK_MAIN(tests)
