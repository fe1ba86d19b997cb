/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_TEST_FAKE_PLANE_H
#define OMNIBUS_TEST_FAKE_PLANE_H

/* A data plane with the fake group, of which its clients become members. */

#include "fake_group.h"
#include "plane_fixture.h"

/* A plane without the group so far. */
static inline void fake_prepare(struct plane *p)
{
    fake_begin();
    plane_prepare(p);
}

static inline struct relay_limits fake_limits(void)
{
    struct relay_limits limits = plane_limits();
    limits.max_completed_connections = limits.max_connections_per_user = PLANE_CLIENTS;
    limits.max_names_per_connection = PLANE_CLIENTS;
    limits.max_match_rules_per_connection = 2 * GROUP_REST_RULES;
    return limits;
}

static inline void fake_start(struct plane *p)
{
    struct relay_limits limits = fake_limits();
    CHECK_EQUAL(relay_set_limits(p->relay, &limits), 0);
    p->listener = 0;
    CHECK_EQUAL(relay_start(p->relay), 0);
}

/* A plane with the group, which knows names. */
static inline void fake_open_named(struct plane *p)
{
    fake_prepare(p);
    fake_group.named = true;
    CHECK_EQUAL(relay_set_group(p->relay, fake_group.fd, FAKE_MEMBERS, true), 0);
    fake_start(p);
}

/* A plane with the group. */
static inline void fake_open(struct plane *p)
{
    fake_prepare(p);
    CHECK_EQUAL(relay_set_group(p->relay, fake_group.fd, FAKE_MEMBERS, true), 0);
    fake_start(p);
}

#define BUS "org.freedesktop.DBus"
#define RULE "type='signal',interface='test.Interface'"

static inline void expects_reply(struct client *caller, struct client *callee, const char *callee_name,
                                 const char *caller_name)
{
    struct message m;
    struct marshal w = client_call(caller, callee_name, "Question", NULL);
    client_send(caller, &w);
    REQUIRE(client_expect(callee, &m));
    CHECK_SPAN(m.member, "Question");
    CHECK_SPAN(m.sender, caller_name);
    CHECK_EQUAL(m.serial, caller->serial);
    struct marshal_header header = {.type = MESSAGE_METHOD_RETURN,
                                    .serial = ++callee->serial,
                                    .reply_serial = m.serial,
                                    .destination = span_of(caller_name)};
    client_drop(callee, &m);
    memset(&w, 0, sizeof(w));
    marshal_begin(&w, &header);
    client_send(callee, &w);
    REQUIRE(client_expect(caller, &m));
    CHECK_EQUAL(m.type, MESSAGE_METHOD_RETURN);
    CHECK_EQUAL(m.reply_serial, caller->serial);
    client_drop(caller, &m);
}

static inline void hears(struct client *from, struct client *to, const char *sender)
{
    struct marshal w = client_signal(from, NULL, "Tick");
    client_send(from, &w);
    client_expects(to, MESSAGE_SIGNAL, "Tick", sender);
}

/* Takes events until this one comes. */
static inline bool awaits(struct plane *p, uint32_t kind)
{
    for (;;) {
        if (relay_events(p->relay, &p->event, 1) == 1) {
            if (p->event.kind == kind)
                return true;
            continue;
        }
        struct pollfd poller = {.fd = relay_event_fd(p->relay), .events = POLLIN};
        if (poll(&poller, 1, PLANE_DEADLINE) <= 0)
            return CHECK(false && "no event came in time");
    }
}

/* Hello on a connection that is attached, and the end of the wake-up in which it was answered. */
static inline struct client *greet(struct plane *p, uint64_t id)
{
    struct client *c = &p->clients[id];
    struct marshal w = client_call(c, BUS, "Hello", NULL);
    client_send(c, &w);
    client_expects(c, MESSAGE_METHOD_RETURN, NULL, BUS);
    client_expects(c, MESSAGE_SIGNAL, "NameAcquired", BUS);
    client_sync(c);
    return c;
}

static inline struct client *enter(struct plane *p, uint64_t id)
{
    plane_attach(p, id);
    return greet(p, id);
}

/* Requests and releases a name that the data plane assigns by itself. */
static inline void has_a_name_for_a_moment(struct client *owner, const char *unique, struct client *other,
                                           const char *other_unique)
{
    struct marshal w = client_call(owner, BUS, "RequestName", "su");
    marshal_string(&w, SPAN("test.Quick"));
    marshal_uint32(&w, 0);
    client_send(owner, &w);
    client_expects(owner, MESSAGE_SIGNAL, "NameAcquired", BUS);
    client_expects(owner, MESSAGE_METHOD_RETURN, NULL, BUS);
    hears(owner, other, unique);
    for (int i = 0; i < 3; i++)
        expects_reply(other, owner, "test.Quick", other_unique);
    w = client_call(owner, BUS, "ReleaseName", "s");
    marshal_string(&w, SPAN("test.Quick"));
    client_send(owner, &w);
    client_expects(owner, MESSAGE_SIGNAL, "NameLost", BUS);
    client_expects(owner, MESSAGE_METHOD_RETURN, NULL, BUS);
}

/* Has two clients exchange a call and its reply, after which both are members. */
static inline bool meet(struct client *a, const char *a_name, struct client *b, const char *b_name)
{
    expects_reply(a, b, b_name, a_name);
    return client_sync(a); /* to the end of the wake-up */
}

/* Traffic between clients that must be complete, whatever the group does. */
static inline void live(struct plane *p)
{
    struct client *a = enter(p, 0), *b = enter(p, 1), *c = enter(p, 2);
    for (int i = 0; i < 3; i++)
        expects_reply(a, b, ":1.1", ":1.0");
    client_match(b, RULE);
    for (int i = 0; i < 3; i++)
        hears(a, b, ":1.0");
    client_match(b, RULE ",sender='test.Quick'");
    has_a_name_for_a_moment(c, ":1.2", b, ":1.1");
    client_match(b, RULE ",sender='test.Name'");
    uint64_t owner = 2;
    relay_set_queue(p->relay, "test.Name", &owner, NULL, 1);
    relay_commit(p->relay);
    client_expects(c, MESSAGE_SIGNAL, "NameAcquired", BUS);
    hears(c, b, ":1.2");
    expects_reply(b, c, "test.Name", ":1.1");
    struct marshal w = client_call(a, "test.Name", "Question", NULL);
    client_send(a, &w);
    client_expects(c, MESSAGE_METHOD_CALL, "Question", ":1.0");
    client_close(c);
    relay_set_queue(p->relay, "test.Name", NULL, NULL, 0);
    if (awaits(p, RELAY_EVENT_GONE))
        relay_forget(p->relay, p->event.peer);
    relay_commit(p->relay);
    client_expects(a, MESSAGE_ERROR, "org.freedesktop.DBus.Error.NoReply", BUS);
    expects_reply(a, b, ":1.1", ":1.0");
    hears(a, b, ":1.0");
}

static inline void leaves(struct plane *p, struct client *c)
{
    client_close(c);
    if (awaits(p, RELAY_EVENT_GONE))
        relay_forget(p->relay, p->event.peer);
    relay_commit(p->relay);
}

#endif
