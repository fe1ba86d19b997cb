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

static const struct check_test tests[] = {
    TEST(member_that_hears_little_has_no_filter),
    TEST(member_that_changes_its_rules_gets_a_filter),
    TEST(rest_filter_is_bounded),
};

CHECK_MAIN(tests)
