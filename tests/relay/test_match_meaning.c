/* SPDX-License-Identifier: MIT */
#include "match_fixture.h"

/*
 * D-Bus specification, "Match Rules": what a rule matches. The table is what dbus-daemon 1.14 delivered to a
 * connection with that one rule.
 */

#define SIGNAL_AT(where) .type = MESSAGE_SIGNAL, .path = (where), .interface = "i.f", .member = "M"
#define SIGNAL SIGNAL_AT("/a/b")
#define CALL                                                                                                 \
    .type = MESSAGE_METHOD_CALL, .path = "/a/b", .interface = "i.f", .member = "M", .destination = ":1.9"

/* clang-format off */
static const struct {
    const char *rule;
    struct match_message row;
    bool matches;
} meetings[] = {
    {"", {SIGNAL}, true},
    {"", {SIGNAL, .destination = "d.one"}, false},
    {"", {CALL}, false},
    {"eavesdrop=true", {SIGNAL}, true},
    {"eavesdrop=true", {SIGNAL, .destination = "d.one"}, true},
    {"eavesdrop=true", {CALL}, true},
    {"type=signal", {SIGNAL}, true},
    {"type=error", {SIGNAL}, false},
    {"type=method_call,eavesdrop=true", {SIGNAL}, false},
    {"type=method_call,eavesdrop=true", {SIGNAL, .destination = "d.one"}, false},
    {"type=method_call,eavesdrop=true", {CALL}, true},
    {"interface=i.f", {SIGNAL}, true},
    {"interface=i.g", {SIGNAL}, false},
    {"interface=i.ff", {SIGNAL}, false},
    {"member=M", {SIGNAL}, true},
    {"member=N", {SIGNAL}, false},
    {"path=/a/b", {SIGNAL}, true},
    {"path=/a/b", {SIGNAL_AT("/a")}, false},
    {"path=/a/b", {SIGNAL_AT("/a/b/c")}, false},
    {"path_namespace=/a", {SIGNAL}, true},
    {"path_namespace=/a", {SIGNAL_AT("/a")}, true},
    {"path_namespace=/a", {SIGNAL_AT("/")}, false},
    {"path_namespace=/a", {SIGNAL_AT("/ab")}, false},
    {"path_namespace=/a", {SIGNAL_AT("/b/a")}, false},
    {"path_namespace=/", {SIGNAL}, true},
    {"path_namespace=/", {SIGNAL_AT("/")}, true},
    {"sender=:1.7", {SIGNAL}, true},
    {"sender=s.one", {SIGNAL}, true},
    {"sender=s.two", {SIGNAL}, true},
    {"sender=:1.9", {SIGNAL}, false},
    {"sender=d.one", {SIGNAL}, false},
    {"sender=x.y", {SIGNAL}, false},
    {"sender=org.freedesktop.DBus", {SIGNAL}, false},
    {"destination=d.one", {SIGNAL}, false},
    {"destination=d.one", {SIGNAL, .destination = "d.one"}, false},
    {"destination=d.one", {CALL}, false},
    {"destination=d.one,eavesdrop=true", {SIGNAL}, false},
    {"destination=d.one,eavesdrop=true", {SIGNAL, .destination = "d.one"}, true},
    {"destination=d.one,eavesdrop=true", {CALL}, true},
    {"destination=:1.9,eavesdrop=true", {SIGNAL, .destination = "d.one"}, true},
    {"destination=:1.9,eavesdrop=true", {CALL}, true},
    {"destination=s.one,eavesdrop=true", {SIGNAL, .destination = "d.one"}, false},
    {"eavesdrop=false", {SIGNAL}, true},
    {"eavesdrop=false", {SIGNAL, .destination = "d.one"}, false},
    {"arg0=x", {SIGNAL, .args = {{'s', "x"}}}, true},
    {"arg0=x", {SIGNAL, .args = {{'s', "xx"}}}, false},
    {"arg0=x", {SIGNAL, .args = {{'s', ""}}}, false},
    {"arg0=x", {SIGNAL, .args = {{'a', "x"}}}, false},
    {"arg0=x", {SIGNAL, .args = {{'u', ""}}}, false},
    {"arg0=x", {SIGNAL}, false},
    {"arg0=x", {SIGNAL, .args = {{'u', ""}, {'s', "x"}}}, false},
    {"arg0=", {SIGNAL, .args = {{'s', ""}}}, true},
    {"arg0=", {SIGNAL}, false},
    {"arg0=", {SIGNAL, .args = {{'s', "x"}}}, false},
    {"arg0=/a", {SIGNAL, .args = {{'s', "/a"}}}, true},
    {"arg0=/a", {SIGNAL, .args = {{'o', "/a"}}}, false},
    {"arg1=x", {SIGNAL, .args = {{'u', ""}, {'s', "x"}}}, true},
    {"arg1=x", {SIGNAL, .args = {{'s', "x"}}}, false},
    {"arg1=x", {SIGNAL, .args = {{'a', "y"}, {'s', "x"}}}, true},
    {"arg0=x,arg2=z", {SIGNAL, .args = {{'s', "x"}, {'s', "y"}, {'s', "z"}}}, true},
    {"arg0=x,arg2=z", {SIGNAL, .args = {{'s', "x"}, {'s', "z"}}}, false},
    {"arg0=x,arg2=z", {SIGNAL, .args = {{'s', "y"}, {'s', "y"}, {'s', "z"}}}, false},
    {"arg0path=/a/b", {SIGNAL, .args = {{'s', "/a/b"}}}, true},
    {"arg0path=/a/b", {SIGNAL, .args = {{'s', "/a/"}}}, true},
    {"arg0path=/a/b", {SIGNAL, .args = {{'s', "/"}}}, true},
    {"arg0path=/a/b", {SIGNAL, .args = {{'s', "/a"}}}, false},
    {"arg0path=/a/b", {SIGNAL, .args = {{'s', "/a/b/"}}}, false},
    {"arg0path=/a/b", {SIGNAL, .args = {{'s', "/a/b/c"}}}, false},
    {"arg0path=/a/b", {SIGNAL, .args = {{'s', "//"}}}, false},
    {"arg0path=/a/b", {SIGNAL, .args = {{'s', ""}}}, false},
    {"arg0path=/a/b", {SIGNAL, .args = {{'s', "a"}}}, false},
    {"arg0path=/a/b", {SIGNAL, .args = {{'s', "/b/"}}}, false},
    {"arg0path=/a/b", {SIGNAL, .args = {{'o', "/a/b"}}}, true},
    {"arg0path=/a/b", {SIGNAL, .args = {{'o', "/"}}}, true},
    {"arg0path=/a/b", {SIGNAL, .args = {{'o', "/a"}}}, false},
    {"arg0path=/a/b", {SIGNAL, .args = {{'g', "s"}}}, false},
    {"arg0path=/a/", {SIGNAL, .args = {{'s', "/a/"}}}, true},
    {"arg0path=/a/", {SIGNAL, .args = {{'s', "/a/b"}}}, true},
    {"arg0path=/a/", {SIGNAL, .args = {{'s', "/a/b/"}}}, true},
    {"arg0path=/a/", {SIGNAL, .args = {{'s', "/a"}}}, false},
    {"arg0path=/a/", {SIGNAL, .args = {{'s', "/"}}}, true},
    {"arg0path=/a/", {SIGNAL, .args = {{'s', "/ab"}}}, false},
    {"arg0path=/a/", {SIGNAL, .args = {{'s', ""}}}, false},
    {"arg0path=/a/", {SIGNAL, .args = {{'o', "/a/b"}}}, true},
    {"arg0path=/a/", {SIGNAL, .args = {{'o', "/a"}}}, false},
    {"arg0path=/", {SIGNAL, .args = {{'s', "/x"}}}, true},
    {"arg0path=/", {SIGNAL, .args = {{'s', "x"}}}, false},
    {"arg0path=/", {SIGNAL, .args = {{'o', "/"}}}, true},
    {"arg0path=/", {SIGNAL, .args = {{'s', ""}}}, false},
    {"arg0path=''", {SIGNAL, .args = {{'s', ""}}}, true},
    {"arg0path=''", {SIGNAL, .args = {{'s', "/"}}}, false},
    {"arg0path=''", {SIGNAL, .args = {{'s', "x"}}}, false},
    {"arg1path=/a/", {SIGNAL, .args = {{'s', "x"}, {'o', "/a/b"}}}, true},
    {"arg1path=/a/", {SIGNAL, .args = {{'o', "/a/b"}}}, false},
    {"arg0namespace=s.one", {SIGNAL, .args = {{'s', "s.one"}}}, true},
    {"arg0namespace=s.one", {SIGNAL, .args = {{'s', "s.one.more"}}}, true},
    {"arg0namespace=s.one", {SIGNAL, .args = {{'s', "s.one."}}}, true},
    {"arg0namespace=s.one", {SIGNAL, .args = {{'s', "s.on"}}}, false},
    {"arg0namespace=s.one", {SIGNAL, .args = {{'s', "s.onemore"}}}, false},
    {"arg0namespace=s.one", {SIGNAL, .args = {{'s', "s"}}}, false},
    {"arg0namespace=s.one", {SIGNAL, .args = {{'s', "x.s.one"}}}, false},
    {"arg0namespace=s.one", {SIGNAL, .args = {{'s', "s.one..x"}}}, true},
    {"arg0namespace=s.one", {SIGNAL, .args = {{'o', "/s"}}}, false},
    {"arg0namespace=s", {SIGNAL, .args = {{'s', "s"}}}, true},
    {"arg0namespace=s", {SIGNAL, .args = {{'s', "s.one"}}}, true},
    {"arg0namespace=s", {SIGNAL, .args = {{'s', "ss"}}}, false},
    {"arg0namespace=:1", {SIGNAL, .args = {{'s', ":1.7"}}}, true},
    {"arg0namespace=:1", {SIGNAL, .args = {{'s', ":17"}}}, false},
    {"type=signal,interface=i.f,member=M,path=/a/b,sender=s.one,arg0=x", {SIGNAL, .args = {{'s', "x"}}}, true},
    {"type=signal,interface=i.f,member=M,path=/a/b,sender=s.one,arg0=x", {SIGNAL, .args = {{'s', "y"}}}, false},
    {"type=signal,interface=i.f,member=M,path=/a/b,sender=s.one,arg0=x", {SIGNAL_AT("/a")}, false},
};
/* clang-format on */

/* Whether the rule matches; list and index must agree. */
static bool matches(const char *rule, const struct match_subject *subject)
{
    struct match_index *index;
    uint32_t visits = 0;
    struct match_list list = {.owner = &visits};
    if (!CHECK(match_index_new(&index) == 0))
        return false;
    CHECK(rule_add(index, &list, rule));
    match_index_find(index, subject, count_visit, NULL);
    CHECK_EQUAL(visits, match_list_matches(&list, subject));
    match_index_free(index);
    return visits > 0;
}

static void matches_what_the_reference_matches(void)
{
    for (size_t i = 0; i < CHECK_COUNT(meetings); i++) {
        char row[256];
        snprintf(row, sizeof(row), "row %zu, %s", i, meetings[i].rule);
        check_case = row;
        struct message m;
        REQUIRE(match_message(&meetings[i].row, &m));
        struct match_subject subject = subject_of(&m);
        CHECK_EQUAL(matches(meetings[i].rule, &subject), meetings[i].matches);
    }
    check_case = NULL;
}

static void matches_the_bus_as_a_sender(void)
{
    struct span bus = SPAN("org.freedesktop.DBus");
    struct match_message row = {SIGNAL};
    struct message m;
    REQUIRE(match_message(&row, &m));
    struct match_subject subject = {.m = &m, .sender_names = &bus, .n_sender_names = 1};
    CHECK(matches("sender=org.freedesktop.DBus", &subject));
    CHECK(!matches("sender=s.one", &subject));
}

/* If the recipient is the bus, or absent, the DESTINATION field itself is compared. */
static void matches_a_recipient_of_unknown_names_by_the_destination(void)
{
    struct match_message row = {SIGNAL, .destination = "d.one"};
    struct message m;
    REQUIRE(match_message(&row, &m));
    struct match_subject subject = {.m = &m, .eavesdropping = true};
    CHECK(matches("eavesdrop=true,destination=d.one", &subject));
    CHECK(!matches("eavesdrop=true,destination=:1.9", &subject));
    CHECK(!matches("destination=d.one", &subject));
}

static void absent_fields_match_no_rule(void)
{
    struct match_message row = {.type = MESSAGE_METHOD_RETURN, .destination = ":1.9"};
    struct message m;
    REQUIRE(match_message(&row, &m));
    struct match_subject subject = subject_of(&m);
    CHECK(matches("eavesdrop=true", &subject));
    CHECK(!matches("eavesdrop=true,path=/", &subject));
    CHECK(!matches("eavesdrop=true,path_namespace=/", &subject));
    CHECK(!matches("eavesdrop=true,interface=i.f", &subject));
    CHECK(!matches("eavesdrop=true,member=M", &subject));
    CHECK(!matches("eavesdrop=true,arg0=", &subject));
}

static const struct check_test tests[] = {
    TEST(matches_what_the_reference_matches),
    TEST(matches_the_bus_as_a_sender),
    TEST(matches_a_recipient_of_unknown_names_by_the_destination),
    TEST(absent_fields_match_no_rule),
};

int main(int argc, char **argv)
{
    int result = check_main(tests, CHECK_COUNT(tests), argc, argv);
    marshal_free(&match_message_writer);
    return result;
}
