/* SPDX-License-Identifier: MIT */
/* Names and classes of the group's members, which the kernel knows without any message. */
#include "fake_plane.h"

#include "../../transport/relay/wire/wire.h"

#define FOREIGN "the clients' messages are little-endian, and only those in the host's order have classes"

static void owns(struct client *c, const char *method, const char *name)
{
    bool requests = strcmp(method, "RequestName") == 0;
    struct marshal w = client_call(c, BUS, method, requests ? "su" : "s");
    marshal_string(&w, span_of(name));
    if (requests)
        marshal_uint32(&w, 0);
    client_send(c, &w);
    client_expects(c, MESSAGE_SIGNAL, requests ? "NameAcquired" : "NameLost", BUS);
    client_expects(c, MESSAGE_METHOD_RETURN, NULL, BUS);
}

static bool is_classed(uint32_t index)
{
    struct fake_member member = fake_look(index);
    return member.accepted && member.classed;
}

/* A name is its owner's from before any client hears of it until before its end is known. */
static void names_follow_their_owners(void)
{
    struct plane p;
    fake_open_named(&p);
    struct client *a = enter(&p, 0), *b = enter(&p, 1);
    CHECK_EQUAL(fake_owner(":1.0"), UMC_ANY);
    owns(b, "RequestName", "test.Early");
    REQUIRE(meet(a, ":1.0", b, ":1.1"));
    uint32_t index = fake_owner(":1.1");
    CHECK(fake_owner(":1.0") != UMC_ANY && index != UMC_ANY && index != fake_owner(":1.0"));
    CHECK_EQUAL(fake_owner("test.Early"), index);
    for (int i = 0; i < 3; i++) {
        owns(b, "RequestName", "test.Quick");
        CHECK_EQUAL(fake_owner("test.Quick"), index);
        owns(b, "ReleaseName", "test.Quick");
        CHECK_EQUAL(fake_owner("test.Quick"), UMC_ANY);
    }
    leaves(&p, b);
    REQUIRE(client_sync(a));
    CHECK_EQUAL(fake_owner(":1.1"), UMC_ANY);
    CHECK_EQUAL(fake_owner("test.Early"), UMC_ANY);
    plane_close(&p);
}

/* A name passes on from a member to the next in its queue, and to a client that is no member. */
static void names_are_handed_over(void)
{
    struct plane p;
    fake_open_named(&p);
    struct client *a = enter(&p, 0), *b = enter(&p, 1), *c = enter(&p, 2);
    const uint64_t queue[] = {0, 1, 2};
    REQUIRE(meet(a, ":1.0", b, ":1.1"));
    for (uint32_t i = 0; i < 3; i++) {
        relay_set_queue(p.relay, "test.Name", queue + i, NULL, 1);
        relay_commit(p.relay);
        client_expects(&p.clients[i], MESSAGE_SIGNAL, "NameAcquired", BUS);
        if (i > 0)
            client_expects(&p.clients[i - 1], MESSAGE_SIGNAL, "NameLost", BUS);
        const char *owners[] = {":1.0", ":1.1", ":1.2"};
        CHECK_EQUAL(fake_owner("test.Name"), fake_owner(owners[i]));
    }
    CHECK_EQUAL(fake_owner("test.Name"), UMC_ANY);
    REQUIRE(meet(c, ":1.2", a, ":1.0"));
    CHECK(fake_owner("test.Name") != UMC_ANY);
    CHECK_EQUAL(fake_owner("test.Name"), fake_owner(":1.2"));
    plane_close(&p);
}

/* Between members to which the policy allows everything no filter is made. */
static void nothing_is_learned_where_all_is_allowed(void)
{
    if (WIRE_HOST_BIG_ENDIAN)
        SKIP(FOREIGN);
    struct plane p;
    fake_open_named(&p);
    struct client *a = enter(&p, 0), *b = enter(&p, 1);
    REQUIRE(meet(a, ":1.0", b, ":1.1"));
    CHECK(is_classed(0) && is_classed(1));
    CHECK(fake_releases() > 0);
    for (uint32_t topic = 0; topic < UMC_TOPICS; topic++)
        CHECK_EQUAL(fake_group.accepts[fake_look(1).class_id][topic], 1u << fake_look(0).class_id);
    client_match(b, RULE);
    for (uint32_t i = 0; i < 3 * GROUP_PEER_MISSES; i++) {
        expects_reply(a, b, ":1.1", ":1.0");
        hears(a, b, ":1.0");
    }
    CHECK(fake_look(1).ingress);
    CHECK(!fake_look(0).egress && !fake_look(1).egress);
    plane_close(&p);
}

/* A new policy takes all classes back in one call; each comes again with the member's next message. */
static void policy_takes_classes_back(void)
{
    if (WIRE_HOST_BIG_ENDIAN)
        SKIP(FOREIGN);
    struct plane p;
    fake_open_named(&p);
    struct client *a = enter(&p, 0), *b = enter(&p, 1);
    REQUIRE(meet(a, ":1.0", b, ":1.1"));
    CHECK_EQUAL(relay_load_policy(p.relay, plane_policy, sizeof(plane_policy)), 0);
    relay_commit(p.relay);
    while (fake_calls(UMC_REVOKE) == 0)
        REQUIRE(client_sync(a));
    REQUIRE(meet(a, ":1.0", b, ":1.1"));
    CHECK(is_classed(0) && is_classed(1));
    CHECK(fake_group.accepts[fake_look(1).class_id][0] & 1u << fake_look(0).class_id);
    plane_close(&p);
}

/* Without names and classes all is learned, as before. */
static void all_is_learned_without(unsigned long request, int error)
{
    struct plane p;
    fake_open_named(&p);
    fake_fail(request, error, 0, 1000000);
    struct client *a = enter(&p, 0), *b = enter(&p, 1);
    while (!(fake_look(0).egress && fake_look(1).egress))
        REQUIRE(meet(a, ":1.0", b, ":1.1"));
    CHECK_EQUAL(fake_group.shared, request == UMC_SET_NAME);
    plane_close(&p);
}

static void learns_without_classes(void)
{
    if (WIRE_HOST_BIG_ENDIAN)
        SKIP(FOREIGN);
    all_is_learned_without(UMC_SET_CLASS, EOPNOTSUPP);
    all_is_learned_without(UMC_SET_ACCEPT, ENOTTY);
}

static void learns_without_room_for_names(void)
{
    all_is_learned_without(UMC_SET_NAME, ENOSPC);
    all_is_learned_without(UMC_SET_NAME, ENOMEM);
}

/* The relay goes on whatever fails. */
static void naming_fails(void)
{
    static const unsigned long requests[] = {UMC_SET_NAME, UMC_SET_CLASS, UMC_SET_ACCEPT, UMC_SET_FILTER};
    static const int errors[] = {EIO, ENOMEM, ENOSPC, EINTR, ENOENT};
    for (size_t i = 0; i < CHECK_COUNT(requests); i++) {
        for (size_t j = 0; j < CHECK_COUNT(errors); j++) {
            for (uint32_t after = 0; after < 3; after++) {
                struct plane p;
                fake_open_named(&p);
                fake_fail(requests[i], errors[j], after, after == 1 && errors[j] != EINTR ? 1000000 : 1);
                live(&p);
                plane_close(&p);
            }
        }
    }
}

/* A limit of messages is the shared filter's too. */
static void limits_are_shared(void)
{
    for (int fails = 0; fails < 2; fails++) {
        struct plane p;
        fake_open_named(&p);
        struct client *a = enter(&p, 0), *b = enter(&p, 1);
        REQUIRE(meet(a, ":1.0", b, ":1.1"));
        uint32_t filters = fake_calls(UMC_SET_FILTER);
        if (fails)
            fake_fail(UMC_SET_FILTER, EIO, 0, 1);
        struct relay_limits limits = plane_limits();
        limits.max_message_size = 4096;
        CHECK_EQUAL(relay_set_limits(p.relay, &limits), 0);
        relay_commit(p.relay);
        REQUIRE(client_sync(a));
        REQUIRE(client_sync(a));
        CHECK(fake_calls(UMC_SET_FILTER) > filters);
        CHECK_EQUAL(fake_group.shared, !fails);
        expects_reply(a, b, ":1.1", ":1.0");
        plane_close(&p);
    }
}

/*
 * A member all of whose messages are the relay's stays so: it is not released for the next of them, until it
 * sends one that might have gone directly.
 */
static void member_that_calls_the_bus_alone_is_not_released(void)
{
    if (WIRE_HOST_BIG_ENDIAN)
        SKIP(FOREIGN);
    struct plane p;
    fake_open_named(&p);
    struct client *a = enter(&p, 0), *b = enter(&p, 1);
    REQUIRE(meet(a, ":1.0", b, ":1.1"));
    for (int i = 0; i <= GROUP_PEER_VAIN; i++)
        REQUIRE(client_sync(a));
    uint32_t releases = fake_releases();
    for (int i = 0; i < 10; i++)
        REQUIRE(client_sync(a));
    CHECK_EQUAL(fake_releases(), releases);
    fake_group.direct = 1; /* so from now on, as far as the kernel says */
    expects_reply(a, b, ":1.1", ":1.0");
    for (int i = 0; i < 10; i++)
        REQUIRE(client_sync(a));
    CHECK(fake_releases() >= releases + 10);
    plane_close(&p);
}

static const struct check_test tests[] = {
    TEST(member_that_calls_the_bus_alone_is_not_released),
    TEST(names_follow_their_owners),
    TEST(names_are_handed_over),
    TEST(nothing_is_learned_where_all_is_allowed),
    TEST(policy_takes_classes_back),
    TEST(learns_without_classes),
    TEST(learns_without_room_for_names),
    TEST(naming_fails),
    TEST(limits_are_shared),
};

CHECK_MAIN(tests)
