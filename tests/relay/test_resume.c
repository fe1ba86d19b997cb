/* SPDX-License-Identifier: MIT */

/* Freeze, dump and restore of the main tables: what a client sees of an upgrade is nothing. */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* memmem */
#endif
#include "upgrade_fixture.h"

#include "../../transport/relay/resume/state_read.h"

#define BUS "org.freedesktop.DBus"

/* The control plane gives the name to the client. */
static void own(struct plane *p, uint64_t id, const char *name)
{
    CHECK_EQUAL(relay_set_queue(p->relay, name, &id, NULL, 1), 0);
    CHECK_EQUAL(relay_commit(p->relay), 0);
    client_expects(&p->clients[id], MESSAGE_SIGNAL, "NameAcquired", BUS);
}

static void connections_go_on(void)
{
    struct plane p;
    plane_open(&p);
    struct client *a = plane_connect(&p, 0), *b = plane_connect(&p, 1);
    REQUIRE(plane_upgrade(&p, 2));
    struct marshal w = client_signal(a, ":1.1", "Go");
    client_send(a, &w);
    client_expects(b, MESSAGE_SIGNAL, "Go", ":1.0");
    client_sync(b);
    plane_close(&p);
}

static void admitted_says_who_is_there(void)
{
    struct plane p;
    plane_open(&p);
    plane_connect(&p, 2);
    plane_attach(&p, 1);
    REQUIRE(plane_upgrade_frozen(&p));
    plane_event(&p, RELAY_EVENT_ADMITTED);
    CHECK_EQUAL(p.event.peer, 1);
    CHECK(!p.event.active && !p.event.monitor);
    plane_event(&p, RELAY_EVENT_ADMITTED);
    CHECK_EQUAL(p.event.peer, 2);
    CHECK(p.event.active);
    CHECK_EQUAL(p.event.credentials->uid, 1000);
    CHECK_EQUAL(p.event.credentials->pid, 42);
    CHECK(p.event.credentials->fd_passing && !p.event.credentials->privileged);
    CHECK_SPAN(span_of(p.event.credentials->loginfo), "uid=1000");
    plane_close(&p);
}

static void match_rules_go_on_with_their_copies(void)
{
    struct plane p;
    plane_open(&p);
    struct client *a = plane_connect(&p, 0), *b = plane_connect(&p, 1);
    client_match(b, "type='signal',member='Go'");
    client_match(b, "type='signal',member='Go'");
    client_match(b, "arg0='it\\''s',arg0x3path='/'");
    REQUIRE(plane_upgrade(&p, 2));
    CHECK_EQUAL(match_list_count(bus_peer(&p.relay->bus, 1)->matches), 3);
    struct marshal w = client_signal(a, NULL, "Go");
    client_send(a, &w);
    client_expects(b, MESSAGE_SIGNAL, "Go", ":1.0");
    for (int i = 0; i < 2; i++) {
        w = client_call(b, BUS, "RemoveMatch", "s");
        marshal_string(&w, SPAN("member='Go',type='signal'"));
        client_send(b, &w);
        client_expects(b, MESSAGE_METHOD_RETURN, NULL, BUS);
    }
    w = client_signal(a, NULL, "Go");
    client_send(a, &w);
    client_sync(a);
    client_sync(b);
    plane_close(&p);
}

static void names_keep_their_queues(void)
{
    struct plane p;
    plane_open(&p);
    struct client *a = plane_connect(&p, 0);
    plane_connect(&p, 1);
    own(&p, 1, "a.b");
    own(&p, 1, "a.a");
    const uint64_t queue[] = {1, 0};
    CHECK_EQUAL(relay_set_queue(p.relay, "a.b", queue, NULL, 2), 0);
    CHECK_EQUAL(relay_commit(p.relay), 0);
    plane_settle(&p);
    REQUIRE(plane_upgrade(&p, 2));
    struct marshal w = client_signal(a, "a.a", "Go");
    client_send(a, &w);
    client_expects(&p.clients[1], MESSAGE_SIGNAL, "Go", ":1.0");
    CHECK_EQUAL(relay_leave_queue(p.relay, "a.b", 1), 0);
    CHECK_EQUAL(relay_commit(p.relay), 0);
    client_expects(a, MESSAGE_SIGNAL, "NameAcquired", BUS);
    plane_close(&p);
}

static void replies_pass_once(void)
{
    struct plane p;
    plane_open(&p);
    struct client *a = plane_connect(&p, 0), *b = plane_connect(&p, 1);
    struct marshal w = client_call(a, ":1.1", "Ask", NULL);
    client_send(a, &w);
    struct message m;
    REQUIRE(client_expect(b, &m));
    uint32_t serial = m.serial;
    client_drop(b, &m);
    REQUIRE(plane_upgrade(&p, 2));
    CHECK_EQUAL(bus_peer(&p.relay->bus, 0)->calls.n_made, 1);
    struct marshal_header header = {.type = MESSAGE_METHOD_RETURN,
                                    .serial = ++b->serial,
                                    .reply_serial = serial,
                                    .destination = SPAN(":1.0")};
    struct marshal answer = {0};
    marshal_begin(&answer, &header);
    client_send(b, &answer);
    client_expects(a, MESSAGE_METHOD_RETURN, NULL, ":1.1");
    client_sync(b);
    CHECK_EQUAL(bus_peer(&p.relay->bus, 0)->calls.n_made, 0);
    plane_close(&p);
}

/* A reply to a call that the bus does not know of, which passes or is denied. */
static void unknown_reply(struct client *from, const char *sender, struct client *to, bool passes)
{
    struct marshal_header header = {.type = MESSAGE_METHOD_RETURN,
                                    .serial = ++from->serial,
                                    .reply_serial = 77,
                                    .destination = SPAN(":1.0")};
    struct marshal answer = {0};
    marshal_begin(&answer, &header);
    client_send(from, &answer);
    if (passes)
        client_expects(to, MESSAGE_METHOD_RETURN, NULL, sender);
    else
        client_expects(from, MESSAGE_ERROR, "org.freedesktop.DBus.Error.AccessDenied", BUS);
}

/* A bus that was taken over lets replies to calls of before pass, from those that could do harm anyway. */
static void amnesty_of_a_bus_that_was_taken_over(void)
{
    struct plane p;
    plane_open(&p);
    struct client *a = plane_connect(&p, 0), *b = plane_connect(&p, 1), *c = plane_connect(&p, 2);
    struct bus *bus = &p.relay->bus;
    unknown_reply(b, ":1.1", a, false);
    bus->amnesty = (struct amnesty){2, clock_now() + 60000};
    REQUIRE(plane_upgrade(&p, 3));
    bus = &p.relay->bus;
    CHECK_EQUAL(bus->amnesty.below, 2);
    unknown_reply(b, ":1.1", a, true);
    unknown_reply(c, ":1.2", a, false); /* it came later */
    bus_peer(bus, 1)->credentials.uid = 1001;
    unknown_reply(b, ":1.1", a, false);
    bus_peer(bus, 1)->credentials.privileged = true;
    unknown_reply(b, ":1.1", a, true);
    bus->amnesty.until = clock_now();
    unknown_reply(b, ":1.1", a, false);
    plane_close(&p);
}

static void timeout_of_a_reply_goes_on(void)
{
    struct plane p;
    struct relay_limits limits = plane_limits();
    limits.reply_timeout = 300;
    plane_open(&p);
    CHECK_EQUAL(relay_set_limits(p.relay, &limits), 0);
    struct client *a = plane_connect(&p, 0), *b = plane_connect(&p, 1);
    struct marshal w = client_call(a, ":1.1", "Ask", NULL);
    client_send(a, &w);
    client_expects(b, MESSAGE_METHOD_CALL, "Ask", ":1.0");
    REQUIRE(plane_upgrade(&p, 2));
    client_expects(a, MESSAGE_ERROR, "org.freedesktop.DBus.Error.NoReply", BUS);
    plane_close(&p);
}

static void call_now(struct client *a, struct client *b, const char *name)
{
    struct marshal w = client_call(a, name, "Ask", NULL);
    client_send(a, &w);
    client_expects(b, MESSAGE_METHOD_CALL, "Ask", NULL);
}

/* They are written by callee, of which the second was called first. */
static void replies_time_out_in_the_order_of_the_calls(void)
{
    struct plane p;
    struct relay_limits limits = plane_limits();
    limits.reply_timeout = 100000;
    plane_open(&p);
    CHECK_EQUAL(relay_set_limits(p.relay, &limits), 0);
    struct client *a = plane_connect(&p, 0), *b = plane_connect(&p, 1), *c = plane_connect(&p, 2);
    call_now(a, c, ":1.2");
    int64_t first = clock_now();
    while (clock_now() == first)
        usleep(100);
    call_now(a, b, ":1.1");
    call_now(c, b, ":1.1");
    REQUIRE(plane_upgrade(&p, 3));
    int64_t latest = 0;
    uint32_t n = 0;
    LIST_FOR (at, &p.relay->bus.replies.by_time) {
        const struct reply *reply = CONTAINER_OF(at, struct reply, in_time);
        CHECK(reply->since >= latest);
        CHECK_EQUAL(reply->callee->id, n == 0 ? 2 : 1);
        CHECK_EQUAL(reply->caller->id, n == 2 ? 2 : 0);
        latest = reply->since;
        n++;
    }
    CHECK_EQUAL(n, 3);
    plane_close(&p);
}

/* What a client sends to a frozen bus waits in its socket, and is read afterwards. */
static void freeze_stops_reading(void)
{
    struct plane p;
    plane_open(&p);
    struct client *a = plane_connect(&p, 0), *b = plane_connect(&p, 1);
    REQUIRE(upgrade_freeze(&p));
    struct marshal w = client_signal(a, ":1.1", "Later");
    client_send(a, &w);
    plane_settle(&p);
    plane_settle(&p);
    char byte;
    CHECK_EQUAL(recv(b->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT), -1);
    upgrade_thaw(&p);
    client_expects(b, MESSAGE_SIGNAL, "Later", ":1.0");
    plane_close(&p);
}

static void freeze_writes_what_commands_say(void)
{
    struct plane p;
    plane_open(&p);
    struct client *a = plane_connect(&p, 0);
    REQUIRE(upgrade_freeze(&p));
    CHECK_EQUAL(relay_signal(p.relay, 0, "/a", "i.f", "Said", NULL, NULL, 0), 0);
    CHECK_EQUAL(relay_commit(p.relay), 0);
    client_expects(a, MESSAGE_SIGNAL, "Said", BUS);
    upgrade_thaw(&p);
    client_sync(a);
    plane_close(&p);
}

static void freeze_stops_timeouts(void)
{
    struct plane p;
    struct relay_limits limits = plane_limits();
    limits.reply_timeout = 1;
    plane_open(&p);
    struct client *a = plane_connect(&p, 0), *b = plane_connect(&p, 1);
    struct marshal w = client_call(a, ":1.1", "Ask", NULL);
    REQUIRE(upgrade_freeze(&p));
    CHECK_EQUAL(relay_set_limits(p.relay, &limits), 0);
    client_send(a, &w);
    plane_settle(&p);
    upgrade_thaw(&p);
    client_expects(b, MESSAGE_METHOD_CALL, "Ask", ":1.0");
    client_expects(a, MESSAGE_ERROR, "org.freedesktop.DBus.Error.NoReply", BUS);
    plane_close(&p);
}

static void what_came_during_the_upgrade_is_read(void)
{
    struct plane p;
    plane_open(&p);
    struct client *a = plane_connect(&p, 0), *b = plane_connect(&p, 1);
    REQUIRE(plane_upgrade_frozen(&p));
    struct marshal w = client_signal(a, ":1.1", "Early");
    client_send(a, &w);
    upgrade_thaw(&p);
    client_expects(b, MESSAGE_SIGNAL, "Early", ":1.0");
    plane_close(&p);
}

static void client_that_left_during_the_upgrade_is_lost(void)
{
    struct plane p;
    plane_open(&p);
    plane_connect(&p, 0);
    REQUIRE(plane_upgrade_frozen(&p));
    plane_event(&p, RELAY_EVENT_ADMITTED);
    client_close(&p.clients[0]);
    upgrade_thaw(&p);
    plane_event(&p, RELAY_EVENT_GONE);
    CHECK_EQUAL(relay_forget(p.relay, 0), 0);
    plane_close(&p);
}

/* Expects a signal with the field, or without it if instance is NULL. */
static void expect_instance(struct client *c, const char *member, const char *instance)
{
    struct message m;
    if (!client_expect(c, &m))
        return;
    CHECK_SPAN(m.member, member);
    CHECK_EQUAL(m.rewrite, true); /* the fixture's parser is a bus's, which sees SENDER */
    const uint8_t field[] = {FIELD_CONTAINER_INSTANCE, 1, 'o', 0};
    const uint8_t *at = memmem(m.data, m.body_offset, field, sizeof(field));
    CHECK_EQUAL(at != NULL, instance != NULL);
    if (at && instance)
        CHECK_SPAN(((struct span){(const char *)at + 8, at[4]}), instance);
    client_drop(c, &m);
}

static void instances_go_on(void)
{
    struct plane p;
    plane_open(&p);
    struct client *contained = plane_connect_to(&p, 0, "/c7"), *asks = plane_connect(&p, 1);
    struct client *other = plane_connect(&p, 2);
    CHECK_EQUAL(relay_name_instances(p.relay, 1), 0);
    plane_settle(&p);
    for (int i = 0; i < 2; i++) {
        struct client *const senders[] = {contained, other};
        for (int k = 0; k < 2; k++) {
            struct marshal w = client_signal(senders[k], ":1.1", "Go");
            client_send(senders[k], &w);
            expect_instance(asks, "Go", k == 0 ? "/c7" : "/");
        }
        struct marshal w = client_signal(contained, ":1.2", "Go");
        client_send(contained, &w);
        expect_instance(other, "Go", NULL);
        if (i == 0)
            REQUIRE(plane_upgrade(&p, 3));
    }
    CHECK_SPAN(span_of(bus_peer(&p.relay->bus, 0)->credentials.instance), "/c7");
    CHECK_EQUAL(bus_peer(&p.relay->bus, 1)->listener, -1);
    plane_close(&p);
}

/* So that a program that knows of no instances can read the state. */
static void state_without_instances_has_no_section(void)
{
    struct plane p;
    struct upgrade_state one = {.fd = -1};
    struct state_view view;
    char why[256];
    plane_open(&p);
    plane_connect(&p, 0);
    REQUIRE(upgrade_freeze(&p) && upgrade_dump(&p, &one));
    REQUIRE(CHECK_EQUAL(state_open(&view, one.bytes, one.size, true, why, sizeof(why)), 0));
    CHECK(!view.places[RELAY_STATE_INSTANCES].content);
    CHECK(view.places[RELAY_STATE_PEERS].content != NULL);
    upgrade_end(&one);
    plane_close(&p);
}

static const struct check_test tests[] = {
    TEST(instances_go_on),
    TEST(state_without_instances_has_no_section),
    TEST(connections_go_on),
    TEST(admitted_says_who_is_there),
    TEST(match_rules_go_on_with_their_copies),
    TEST(names_keep_their_queues),
    TEST(replies_pass_once),
    TEST(amnesty_of_a_bus_that_was_taken_over),
    TEST(timeout_of_a_reply_goes_on),
    TEST(replies_time_out_in_the_order_of_the_calls),
    TEST(freeze_stops_reading),
    TEST(freeze_writes_what_commands_say),
    TEST(freeze_stops_timeouts),
    TEST(what_came_during_the_upgrade_is_read),
    TEST(client_that_left_during_the_upgrade_is_lost),
};

CHECK_MAIN(tests)
