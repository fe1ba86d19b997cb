/* SPDX-License-Identifier: MIT */
/* Members of the group for whose match rules the rest filter stands. */
#include "fake_plane.h"

/* The rest filter stands for the rules of a member until it has heard some broadcasts. */
static void member_that_hears_little_has_no_filter(void)
{
    struct plane p;
    fake_open(&p);
    struct client *a = enter(&p, 0), *b = enter(&p, 1);
    client_match(b, RULE);
    REQUIRE(meet(a, ":1.0", b, ":1.1"));
    CHECK(fake_look(0).quiet && fake_look(1).quiet);
    for (uint32_t i = 1; i < GROUP_PEER_HEARD; i++)
        hears(a, b, ":1.0");
    REQUIRE(client_sync(a));
    CHECK(fake_look(1).quiet && !fake_look(1).ingress);
    while (!(fake_look(1).ingress && fake_group.rest))
        hears(a, b, ":1.0");
    CHECK(!fake_look(1).quiet);
    CHECK(fake_look(0).quiet && !fake_look(0).ingress);
    plane_close(&p);
}

/* So does a member that changes its rules again and again while the rest filter is in force. */
static void member_that_changes_its_rules_gets_a_filter(void)
{
    struct plane p;
    fake_open(&p);
    struct client *a = enter(&p, 0), *b = enter(&p, 1);
    REQUIRE(meet(a, ":1.0", b, ":1.1"));
    for (int i = 0; !fake_look(1).ingress && i < 1000; i++) {
        char rule[64];
        snprintf(rule, sizeof(rule), "type='signal',member='Other%d'", i);
        client_match(b, rule);
        for (uint32_t n = 0; !fake_group.rest && n < 1000; n++) {
            struct marshal w = client_signal(a, NULL, "Tick");
            client_send(a, &w);
            REQUIRE(client_sync(a));
        }
    }
    CHECK(fake_look(1).ingress && !fake_look(1).quiet);
    plane_close(&p);
}

/* A rest filter that would be large stands for no more members, made or not. */
static void rest_filter_is_bounded(void)
{
    struct plane p;
    fake_open(&p);
    struct client *a = enter(&p, 0), *b = enter(&p, 1), *c = enter(&p, 2), *d = enter(&p, 3);
    client_match(b, RULE);
    REQUIRE(meet(a, ":1.0", b, ":1.1"));
    CHECK(fake_look(1).quiet);
    for (uint32_t i = 0; i < GROUP_REST_RULES; i++) {
        char rule[64];
        snprintf(rule, sizeof(rule), "type='signal',member='Other%u'", i);
        client_match(d, rule);
    }
    client_match(c, RULE);
    CHECK(!fake_group.rest);
    REQUIRE(meet(a, ":1.0", c, ":1.2"));
    CHECK(fake_look(2).accepted && !fake_look(2).quiet && fake_look(1).quiet);
    while (!fake_look(2).ingress) {
        hears(a, c, ":1.0");
        client_expects(b, MESSAGE_SIGNAL, "Tick", ":1.0");
    }
    plane_close(&p);
}

#define TICK "type='signal',member='Tick'"

/* Sends broadcasts that nothing wants, until the rest filter is in force. */
static void make_rest_filter(struct client *from)
{
    for (uint32_t n = 0; !fake_group.rest && n < 1000; n++) {
        struct marshal w = client_signal(from, NULL, "Other");
        client_send(from, &w);
        REQUIRE(client_sync(from));
    }
    REQUIRE(fake_group.rest);
}

/* A rule is in the rest filter if another connection has it for which that filter stands, too. */
static void equal_rules_leave_the_rest_filter(void)
{
    struct plane p;
    fake_open(&p);
    struct client *a = enter(&p, 0), *b = enter(&p, 1), *c = enter(&p, 2), *d = enter(&p, 3);
    client_match(c, TICK);
    client_match(c, "type='signal',member='Tock'");
    REQUIRE(meet(a, ":1.0", b, ":1.1"));
    make_rest_filter(a);
    uint32_t filters = fake_calls(UMC_SET_FILTER);
    client_match(c, TICK);
    client_match(d, TICK);
    client_match(b, TICK);
    CHECK(fake_group.rest);
    CHECK_EQUAL(fake_calls(UMC_SET_FILTER), filters);
    hears(a, d, ":1.0");
    client_match(d, "type='signal',member='Tack'");
    CHECK(!fake_group.rest);
    plane_close(&p);
}

/* The rules of a member with a filter of its own are not in the rest filter. */
static void equal_rule_elsewhere_is_not_in_the_rest_filter(void)
{
    struct plane p;
    fake_open(&p);
    struct client *a = enter(&p, 0), *b = enter(&p, 1), *c = enter(&p, 2), *d = enter(&p, 3);
    client_match(b, RULE);
    client_match(c, "type='signal',member='Tock'");
    REQUIRE(meet(a, ":1.0", b, ":1.1"));
    while (!(fake_look(1).ingress && fake_group.rest))
        hears(a, b, ":1.0");
    client_match(d, RULE);
    CHECK(!fake_group.rest && fake_look(1).ingress);
    plane_close(&p);
}

/* A rule that is removed leaves the rest filter in force, which says that more is wanted than is. */
static void removed_rules_leave_the_rest_filter(void)
{
    struct plane p;
    fake_open(&p);
    struct client *a = enter(&p, 0), *b = enter(&p, 1), *c = enter(&p, 2);
    client_match(c, TICK);
    client_match(c, "type='signal',member='Tock'");
    REQUIRE(meet(a, ":1.0", b, ":1.1"));
    make_rest_filter(a);
    client_unmatch(c, TICK);
    CHECK(fake_group.rest);
    uint32_t filters = fake_calls(UMC_SET_FILTER);
    client_match(c, TICK); /* it may have been made anew without the rule */
    CHECK(!fake_group.rest && fake_calls(UMC_SET_FILTER) > filters);
    plane_close(&p);
}

/* The rest filter is made after broadcasts between which no rule has changed. */
static void changing_rules_put_the_rest_filter_off(void)
{
    struct plane p;
    fake_open(&p);
    struct client *a = enter(&p, 0), *b = enter(&p, 1), *c = enter(&p, 2);
    REQUIRE(meet(a, ":1.0", b, ":1.1"));
    for (int i = 0; i < 40; i++) {
        char rule[64];
        snprintf(rule, sizeof(rule), "type='signal',member='Other%d'", i);
        client_match(c, rule);
        for (uint32_t n = 0; n < GROUP_MISSES - 2; n++) {
            struct marshal w = client_signal(a, NULL, "Other");
            client_send(a, &w);
            REQUIRE(client_sync(a));
        }
        CHECK(!fake_group.rest);
    }
    make_rest_filter(a);
    plane_close(&p);
}

static const struct check_test tests[] = {
    TEST(changing_rules_put_the_rest_filter_off),
    TEST(equal_rules_leave_the_rest_filter),
    TEST(equal_rule_elsewhere_is_not_in_the_rest_filter),
    TEST(removed_rules_leave_the_rest_filter),
    TEST(member_that_hears_little_has_no_filter),
    TEST(member_that_changes_its_rules_gets_a_filter),
    TEST(rest_filter_is_bounded),
};

CHECK_MAIN(tests)
