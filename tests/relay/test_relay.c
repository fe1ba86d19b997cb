/* SPDX-License-Identifier: MIT */
#include "plane_fixture.h"

#include <errno.h>

#define BUS "org.freedesktop.DBus"
#define DENIED "org.freedesktop.DBus.Error.AccessDenied"
#define CLIENT_0 ":1.0"
#define CLIENT_1 ":1.1"

static void unicast_is_stamped(void)
{
    struct plane p;
    struct message m;
    plane_open(&p);
    struct client *a = plane_connect(&p, 0), *b = plane_connect(&p, 1);
    struct marshal w = client_signal(a, CLIENT_1, "One");
    client_send(a, &w);
    REQUIRE(client_expect(b, &m));
    CHECK_SPAN(m.sender, CLIENT_0);
    CHECK_SPAN(m.destination, CLIENT_1);
    CHECK_SPAN(m.member, "One");
    CHECK_EQUAL(m.serial, a->serial);
    client_drop(b, &m);
    plane_close(&p);
}

static void broadcast_reaches_matching_peers(void)
{
    struct plane p;
    plane_open(&p);
    struct client *a = plane_connect(&p, 0), *b = plane_connect(&p, 1);
    client_match(b, "type='signal',member='Two'");
    const char *const members[] = {"One", "Two", "Three"};
    for (size_t i = 0; i < CHECK_COUNT(members); i++) {
        struct marshal w = client_signal(a, NULL, members[i]);
        client_send(a, &w);
    }
    client_sync(a);
    client_expects(b, MESSAGE_SIGNAL, "Two", CLIENT_0);
    client_sync(b); /* nothing else comes before its answer */
    plane_close(&p);
}

static void long_messages_arrive_whole(void)
{
    struct plane p;
    struct message m;
    static char text[3u << 20];
    memset(text, 'x', sizeof(text) - 1);
    plane_open(&p);
    struct client *a = plane_connect(&p, 0), *b = plane_connect(&p, 1);
    struct marshal w = client_call(a, CLIENT_1, "Long", "s");
    marshal_string(&w, span_of(text));
    REQUIRE(marshal_end(&w));
    /* neither end may block, so both are served alternately */
    CHECK_EQUAL(fcntl(a->fd, F_SETFL, O_NONBLOCK), 0);
    for (size_t sent = 0; sent < w.size || b->size < w.size;) {
        ssize_t n = sent < w.size ? send(a->fd, w.data + sent, w.size - sent, MSG_NOSIGNAL) : -1;
        sent += n > 0 ? (size_t)n : 0;
        struct pollfd pollers[2] = {{.fd = b->fd, .events = POLLIN},
                                    {.fd = a->fd, .events = sent < w.size ? POLLOUT : 0}};
        REQUIRE(poll(pollers, 2, PLANE_DEADLINE) > 0);
        if (pollers[0].revents)
            client_receive(b);
    }
    REQUIRE(client_expect(b, &m));
    CHECK_EQUAL(m.body_size, sizeof(text) - 1 + 5);
    CHECK_SPAN(m.sender, CLIENT_0);
    marshal_free(&w);
    plane_close(&p);
}

static void descriptors_are_passed(void)
{
    struct plane p;
    struct message m;
    int ends[2];
    plane_open(&p);
    struct client *a = plane_connect(&p, 0), *b = plane_connect(&p, 1);
    CHECK_EQUAL(pipe(ends), 0);
    struct marshal w = {0};
    struct marshal_header header = {.type = MESSAGE_SIGNAL,
                                    .serial = 7,
                                    .path = SPAN("/t"),
                                    .interface = SPAN("t.t"),
                                    .member = SPAN("Fd"),
                                    .destination = SPAN(CLIENT_1),
                                    .n_fds = 1};
    marshal_begin(&w, &header);
    REQUIRE(marshal_end(&w));
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } control = {0};
    control.header = (struct cmsghdr){
        .cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA(&control.header), &ends[1], sizeof(int));
    struct iovec iov = {w.data, w.size};
    struct msghdr out = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
    CHECK_EQUAL(sendmsg(a->fd, &out, 0), w.size);
    marshal_free(&w);
    close(ends[1]);
    REQUIRE(client_expect(b, &m));
    CHECK_EQUAL(m.n_fds, 1);
    REQUIRE(b->n_fds == 1);
    CHECK_EQUAL(write(b->fds[0], "x", 1), 1);
    char byte;
    CHECK_EQUAL(read(ends[0], &byte, 1), 1);
    close(ends[0]);
    client_drop(b, &m);
    plane_close(&p);
}

static void missing_descriptors_disconnect_the_sender(void)
{
    struct plane p;
    plane_open(&p);
    struct client *a = plane_connect(&p, 0);
    struct marshal w = {0};
    struct marshal_header header = {.type = MESSAGE_SIGNAL,
                                    .serial = 7,
                                    .path = SPAN("/t"),
                                    .interface = SPAN("t.t"),
                                    .member = SPAN("Fd"),
                                    .n_fds = 2};
    marshal_begin(&w, &header);
    client_send(a, &w);
    plane_event(&p, RELAY_EVENT_LOG);
    plane_event(&p, RELAY_EVENT_GONE);
    CHECK_EQUAL(p.event.reason, RELAY_GONE_FDS);
    relay_forget(p.relay, 0);
    relay_commit(p.relay);
    CHECK(client_closed(a));
    plane_close(&p);
}

static void malformed_message_disconnects_only_its_sender(void)
{
    struct plane p;
    plane_open(&p);
    struct client *a = plane_connect(&p, 0), *b = plane_connect(&p, 1);
    CHECK_EQUAL(send(a->fd, "this is no message, is it?", 26, 0), 26);
    plane_event(&p, RELAY_EVENT_LOG);
    plane_event(&p, RELAY_EVENT_GONE);
    CHECK_EQUAL(p.event.reason, RELAY_GONE_INVALID);
    relay_forget(p.relay, 0);
    relay_commit(p.relay);
    CHECK(client_closed(a));
    client_sync(b);
    plane_close(&p);
}

static void only_requested_replies_pass(void)
{
    struct plane p;
    struct message m;
    plane_open(&p);
    struct client *a = plane_connect(&p, 0), *b = plane_connect(&p, 1);
    struct marshal w = client_call(a, CLIENT_1, "Question", NULL);
    client_send(a, &w);
    REQUIRE(client_expect(b, &m));
    uint32_t serial = m.serial;
    client_drop(b, &m);
    for (int i = 0; i < 2; i++) {
        struct marshal reply = {0};
        struct marshal_header header = {.type = MESSAGE_METHOD_RETURN,
                                        .serial = 100,
                                        .reply_serial = serial,
                                        .destination = SPAN(CLIENT_0)};
        marshal_begin(&reply, &header);
        client_send(b, &reply);
    }
    client_expects(a, MESSAGE_METHOD_RETURN, NULL, CLIENT_1);
    client_expects(b, MESSAGE_ERROR, "org.freedesktop.DBus.Error.AccessDenied", BUS);
    client_sync(a);
    plane_close(&p);
}

static void call_to_a_lost_callee_gets_no_reply_error(void)
{
    struct plane p;
    struct message m;
    plane_open(&p);
    struct client *a = plane_connect(&p, 0), *b = plane_connect(&p, 1);
    struct marshal w = client_call(a, CLIENT_1, "Question", NULL);
    client_send(a, &w);
    REQUIRE(client_expect(b, &m));
    client_close(b);
    plane_event(&p, RELAY_EVENT_GONE);
    CHECK_EQUAL(p.event.peer, 1);
    relay_forget(p.relay, 1);
    relay_commit(p.relay);
    client_expects(a, MESSAGE_ERROR, "org.freedesktop.DBus.Error.NoReply", BUS);
    plane_close(&p);
}

static void a_name_is_handed_over_in_one_step(void)
{
    struct plane p;
    plane_open(&p);
    struct client *a = plane_connect(&p, 0), *b = plane_connect(&p, 1);
    client_match(a, "member='NameOwnerChanged'");
    const uint64_t first[] = {0, 1}, second[] = {1};
    relay_set_queue(p.relay, "a.name", first, NULL, 2);
    relay_set_queue(p.relay, "a.name", second, NULL, 1);
    relay_commit(p.relay);
    client_expects(a, MESSAGE_SIGNAL, "NameOwnerChanged", BUS);
    client_expects(a, MESSAGE_SIGNAL, "NameAcquired", BUS);
    client_expects(a, MESSAGE_SIGNAL, "NameLost", BUS);
    client_expects(a, MESSAGE_SIGNAL, "NameOwnerChanged", BUS);
    client_expects(b, MESSAGE_SIGNAL, "NameAcquired", BUS);
    struct marshal w = client_signal(a, "a.name", "ToTheName");
    client_send(a, &w);
    client_expects(b, MESSAGE_SIGNAL, "ToTheName", CLIENT_0);
    plane_close(&p);
}

static void parked_messages_keep_their_order(void)
{
    struct plane p;
    plane_open(&p);
    struct client *a = plane_connect(&p, 0), *b = plane_connect(&p, 1);
    struct marshal w = client_signal(a, "a.name", "First");
    client_send(a, &w);
    plane_event(&p, RELAY_EVENT_PARKED);
    uint64_t first = p.event.parked;
    const uint64_t owner[] = {1};
    relay_set_queue(p.relay, "a.name", owner, NULL, 1);
    relay_commit(p.relay);
    client_expects(b, MESSAGE_SIGNAL, "NameAcquired", BUS);
    /* the name has an owner now, but the earlier message is still parked */
    w = client_signal(a, "a.name", "Second");
    client_send(a, &w);
    plane_event(&p, RELAY_EVENT_PARKED);
    CHECK_SPAN(span_of(p.event.member), "Second");
    relay_deliver(p.relay, first);
    relay_deliver(p.relay, p.event.parked);
    relay_commit(p.relay);
    client_expects(b, MESSAGE_SIGNAL, "First", CLIENT_0);
    client_expects(b, MESSAGE_SIGNAL, "Second", CLIENT_0);
    plane_close(&p);
}

/* Another sender's message is parked for the name, which has an owner by now. */
static void a_parked_message_is_not_overtaken_by_one_to_its_owner(void)
{
    struct plane p;
    plane_open(&p);
    struct client *a = plane_connect(&p, 0), *b = plane_connect(&p, 1), *c = plane_connect(&p, 2);
    struct marshal w = client_signal(c, "a.name", "Others");
    client_send(c, &w);
    plane_event(&p, RELAY_EVENT_PARKED);
    uint64_t others = p.event.parked;
    const uint64_t owner[] = {1};
    relay_set_queue(p.relay, "a.name", owner, NULL, 1);
    relay_commit(p.relay);
    client_expects(b, MESSAGE_SIGNAL, "NameAcquired", BUS);
    w = client_signal(a, "a.name", "ByName");
    client_send(a, &w);
    w = client_signal(a, CLIENT_1, "ByUniqueName");
    client_send(a, &w);
    plane_event(&p, RELAY_EVENT_PARKED);
    CHECK_SPAN(span_of(p.event.member), "ByName");
    client_sync(c);
    relay_deliver(p.relay, others);
    relay_deliver(p.relay, p.event.parked);
    relay_commit(p.relay);
    client_expects(b, MESSAGE_SIGNAL, "Others", NULL);
    client_expects(b, MESSAGE_SIGNAL, "ByName", CLIENT_0);
    client_expects(b, MESSAGE_SIGNAL, "ByUniqueName", CLIENT_0);
    plane_close(&p);
}

static void parked_messages_are_rejected_with_an_error(void)
{
    struct plane p;
    plane_open(&p);
    struct client *a = plane_connect(&p, 0);
    struct marshal w = client_call(a, "no.name", "Question", NULL);
    client_send(a, &w);
    plane_event(&p, RELAY_EVENT_PARKED);
    relay_reject(p.relay, p.event.parked, "some.Error", "because");
    relay_reject(p.relay, p.event.parked, "some.Error", "again");
    relay_reject(p.relay, 4711, "some.Error", "unknown");
    relay_commit(p.relay);
    client_expects(a, MESSAGE_ERROR, "some.Error", BUS);
    client_sync(a);
    plane_close(&p);
}

static void unknown_types_are_refused(void)
{
    static const char *const names[] = {"no.name", ":1.4711", "org.freedesktop.DBus"};
    struct plane p;
    plane_open(&p);
    struct client *a = plane_connect(&p, 0);
    for (uint32_t i = 0; i < 3; i++) {
        struct marshal w = client_call(a, names[i], "Question", NULL);
        w.data[1] = (uint8_t)(5 + 100 * i);
        client_send(a, &w);
        client_expects(a, MESSAGE_ERROR, "org.freedesktop.DBus.Error.AccessDenied", BUS);
    }
    /* it was not reported: the next event is another message's */
    struct marshal w = client_call(a, "other.name", "Question", NULL);
    client_send(a, &w);
    plane_event(&p, RELAY_EVENT_PARKED);
    CHECK_EQUAL(p.event.type, MESSAGE_METHOD_CALL);
    plane_close(&p);
}

static void a_parked_sender_may_leave(void)
{
    struct plane p;
    plane_open(&p);
    struct client *a = plane_connect(&p, 0), *b = plane_connect(&p, 1);
    struct marshal w = client_signal(a, "a.name", "Orphan");
    client_send(a, &w);
    client_close(a);
    plane_event(&p, RELAY_EVENT_PARKED);
    uint64_t parked = p.event.parked;
    plane_event(&p, RELAY_EVENT_GONE);
    const uint64_t owner[] = {1};
    relay_set_queue(p.relay, "a.name", owner, NULL, 1);
    relay_deliver(p.relay, parked);
    relay_forget(p.relay, 0);
    relay_commit(p.relay);
    client_expects(b, MESSAGE_SIGNAL, "NameAcquired", BUS);
    client_sync(b);
    plane_close(&p);
}

/* It is judged by what the commands before have changed. */
static void a_message_without_owner_is_parked_again(void)
{
    struct plane p;
    plane_open(&p);
    struct client *a = plane_connect(&p, 0);
    struct marshal w = client_signal(a, "a.name", "Early");
    client_send(a, &w);
    REQUIRE(plane_event(&p, RELAY_EVENT_PARKED));
    CHECK(!p.event.again);
    relay_deliver(p.relay, p.event.parked);
    relay_commit(p.relay);
    REQUIRE(plane_event(&p, RELAY_EVENT_PARKED));
    CHECK(p.event.again);
    plane_close(&p);
}

static void a_call_for_the_control_plane_stops_its_sender(void)
{
    struct plane p;
    plane_open(&p);
    struct client *a = plane_connect(&p, 0), *b = plane_connect(&p, 1);
    struct marshal w = client_call(a, BUS, "Cold", NULL);
    uint32_t serial = a->serial;
    client_send(a, &w);
    w = client_signal(a, CLIENT_1, "After");
    client_send(a, &w);
    plane_event(&p, RELAY_EVENT_CALL);
    CHECK_SPAN(span_of(p.event.member), "Cold");
    client_sync(b); /* no other client is stopped, and none of the later messages has passed */
    const uint64_t owner[] = {0};
    relay_set_queue(p.relay, "a.name", owner, NULL, 1);
    relay_reply(p.relay, 0, serial, "", NULL, 0, false);
    relay_resume(p.relay, 0);
    relay_commit(p.relay);
    client_expects(a, MESSAGE_SIGNAL, "NameAcquired", BUS);
    client_expects(a, MESSAGE_METHOD_RETURN, NULL, BUS);
    client_expects(b, MESSAGE_SIGNAL, "After", CLIENT_0);
    plane_close(&p);
}

static void send_answer(struct client *c, uint32_t reply_serial)
{
    struct marshal w = {0};
    struct marshal_header header = {.type = MESSAGE_METHOD_RETURN,
                                    .serial = ++c->serial,
                                    .reply_serial = reply_serial,
                                    .destination = SPAN(BUS)};
    marshal_begin(&w, &header);
    client_send(c, &w);
}

static void control_plane_call_is_answered_once(void)
{
    struct plane p;
    struct message m;
    const uint32_t serial = 0x80000007;
    const uint64_t owner[] = {0};
    plane_open(&p);
    struct client *a = plane_connect(&p, 0);
    send_answer(a, serial); /* an unrequested reply */
    client_expects(a, MESSAGE_ERROR, DENIED, BUS);
    plane_event(&p, RELAY_EVENT_LOG);
    relay_set_queue(p.relay, "a.name", owner, NULL, 1);
    relay_send(p.relay, RELAY_TO_OWNER, MESSAGE_METHOD_CALL, serial, "a.name", "/", "an.Interface", "Ask", "",
               NULL, 0);
    relay_commit(p.relay);
    client_expects(a, MESSAGE_SIGNAL, "NameAcquired", BUS);
    REQUIRE(client_expect(a, &m));
    CHECK_SPAN(m.member, "Ask");
    CHECK_SPAN(m.destination, "a.name");
    CHECK_EQUAL(m.serial, serial);
    CHECK_EQUAL(m.flags, 0);
    client_drop(a, &m);
    send_answer(a, serial + 1);
    client_expects(a, MESSAGE_ERROR, DENIED, BUS);
    plane_event(&p, RELAY_EVENT_LOG);
    send_answer(a, serial);
    plane_event(&p, RELAY_EVENT_CALL);
    CHECK_EQUAL(p.event.type, MESSAGE_METHOD_RETURN);
    CHECK_EQUAL(p.event.reply_serial, serial);
    relay_resume(p.relay, 0);
    relay_commit(p.relay);
    send_answer(a, serial);
    client_expects(a, MESSAGE_ERROR, DENIED, BUS);
    plane_close(&p);
}

static void driver_returns_the_owner_of_a_name(void)
{
    struct plane p;
    struct message m;
    const uint64_t owner[] = {0};
    plane_open(&p);
    struct client *a = plane_connect(&p, 0);
    relay_send(p.relay, RELAY_TO_OWNER, MESSAGE_SIGNAL, 0, "a.name", "/", "an.Interface", "Lost", "", NULL,
               0);
    relay_set_queue(p.relay, "a.name", owner, NULL, 1);
    relay_send(p.relay, RELAY_TO_OWNER, MESSAGE_SIGNAL, 0, "a.name", "/", "an.Interface", "Told", "y",
               (const uint8_t *)"!", 1);
    relay_send(p.relay, RELAY_TO_OWNER, MESSAGE_METHOD_CALL, 0, "a.name", "/", "an.Interface", "Do", "", NULL,
               0);
    relay_commit(p.relay);
    client_expects(a, MESSAGE_SIGNAL, "NameAcquired", BUS);
    client_expects(a, MESSAGE_SIGNAL, "Told", BUS);
    REQUIRE(client_expect(a, &m));
    CHECK_SPAN(m.member, "Do");
    CHECK_EQUAL(m.flags, MESSAGE_NO_REPLY_EXPECTED);
    CHECK(m.serial < 0x80000000);
    client_drop(a, &m);
    plane_close(&p);
}

static void other_calls_before_hello_are_denied(void)
{
    struct plane p;
    plane_open(&p);
    plane_attach(&p, 0);
    struct client *a = &p.clients[0];
    struct marshal w = client_call(a, BUS, "GetId", NULL);
    client_send(a, &w);
    client_expects(a, MESSAGE_ERROR, "org.freedesktop.DBus.Error.AccessDenied", BUS);
    plane_close(&p);
}

/* What the control plane answers it decides itself, also what the data plane answers to others. */
static void privileged_calls_before_hello_are_handed_up(void)
{
    struct plane p;
    plane_open(&p);
    plane_attach_as(&p, 0, true);
    struct client *a = &p.clients[0];
    struct marshal w = client_call(a, BUS, "GetId", NULL);
    client_send(a, &w);
    REQUIRE(plane_event(&p, RELAY_EVENT_CALL));
    CHECK_SPAN(span_of(p.event.member), "GetId");
    CHECK(!p.event.active);
    CHECK_EQUAL(relay_reply(p.relay, 0, p.event.serial, "", NULL, 0, false), 0);
    CHECK_EQUAL(relay_resume(p.relay, 0), 0);
    CHECK_EQUAL(relay_commit(p.relay), 0);
    client_expects(a, MESSAGE_METHOD_RETURN, NULL, BUS);
    /* it is no peer yet: a signal ends it */
    w = client_signal(a, NULL, "News");
    client_send(a, &w);
    REQUIRE(plane_event(&p, RELAY_EVENT_GONE));
    CHECK_EQUAL(p.event.reason, RELAY_GONE_INVALID);
    plane_close(&p);
}

static void full_queue_refuses_new_messages(void)
{
    struct plane p;
    plane_open(&p);
    struct relay_limits limits = plane_limits();
    limits.max_outgoing_bytes = 1u << 20;
    relay_set_limits(p.relay, &limits);
    struct client *a = plane_connect(&p, 0), *b = plane_connect(&p, 1);
    static char text[60000];
    memset(text, 'y', sizeof(text) - 1);
    uint32_t delivered = 0;
    struct message m;
    for (int refused = 0; refused == 0;) {
        struct marshal w = {0};
        struct marshal_header header = {.type = MESSAGE_SIGNAL,
                                        .serial = ++a->serial,
                                        .path = SPAN("/t"),
                                        .interface = SPAN("t.t"),
                                        .member = SPAN("Flood"),
                                        .destination = SPAN(CLIENT_1),
                                        .signature = SPAN("s")};
        marshal_begin(&w, &header);
        marshal_string(&w, span_of(text));
        client_send(a, &w);
        w = client_call(a, BUS, "GetId", NULL);
        client_send(a, &w);
        REQUIRE(client_expect(a, &m));
        refused = m.type == MESSAGE_ERROR;
        if (refused)
            CHECK_SPAN(m.error_name, "org.freedesktop.DBus.Error.LimitsExceeded");
        delivered += !refused;
        client_drop(a, &m);
        REQUIRE(delivered < 1000);
    }
    CHECK(delivered > 17); /* at least as much as the limit allows */
    for (uint32_t i = 0; i < delivered; i++) {
        if (!client_expects(b, MESSAGE_SIGNAL, "Flood", CLIENT_0))
            break;
    }
    client_sync(b);
    plane_close(&p);
}

static void exceeded_limits_are_reported(void)
{
    struct plane p;
    plane_open(&p);
    struct relay_limits limits = plane_limits();
    limits.max_message_size = 4096;
    limits.max_match_rules_per_connection = 1;
    limits.max_replies_per_connection = 1;
    limits.reply_timeout = 1000;
    relay_set_limits(p.relay, &limits);
    struct client *a = plane_connect(&p, 0), *b = plane_connect(&p, 1);
    client_match(a, "member='A'");
    struct marshal w = client_call(a, BUS, "AddMatch", "s");
    marshal_string(&w, SPAN("member='B'"));
    client_send(a, &w);
    client_expects(a, MESSAGE_ERROR, "org.freedesktop.DBus.Error.LimitsExceeded", BUS);
    for (int i = 0; i < 2; i++) {
        w = client_call(a, CLIENT_1, "Question", NULL);
        client_send(a, &w);
    }
    client_expects(a, MESSAGE_ERROR, "org.freedesktop.DBus.Error.LimitsExceeded", BUS);
    client_expects(a, MESSAGE_ERROR, "org.freedesktop.DBus.Error.NoReply", BUS);
    static char text[8192];
    memset(text, 'z', sizeof(text) - 1);
    w = client_call(b, CLIENT_0, "TooLong", "s");
    marshal_string(&w, span_of(text));
    client_send(b, &w);
    plane_event(&p, RELAY_EVENT_LOG);
    plane_event(&p, RELAY_EVENT_GONE);
    relay_forget(p.relay, 1);
    relay_commit(p.relay);
    CHECK(client_closed(b));
    plane_close(&p);
}

static void malformed_policy_is_refused(void)
{
    struct relay *relay;
    uint8_t block[sizeof(plane_policy)];
    CHECK_EQUAL(relay_new(&relay, "0123456789abcdef0123456789abcdef"), 0);
    CHECK_EQUAL(relay_load_policy(relay, plane_policy, 31), -22);
    for (size_t i = 0; i < 32; i++) {
        memcpy(block, plane_policy, sizeof(block));
        block[i] ^= 0xff;
        int result = relay_load_policy(relay, block, sizeof(block));
        CHECK(result == -22 || i >= 24);
    }
    memcpy(block, plane_policy, sizeof(block));
    block[32] = 9; /* the kind of the first rule */
    CHECK_EQUAL(relay_load_policy(relay, block, sizeof(block)), -22);
    relay_free(relay);
}

static void tables_are_exported(void)
{
    struct plane p;
    plane_open(&p);
    struct client *a = plane_connect(&p, 0);
    client_match(a, "arg0='a\"b'");
    const uint64_t owner[] = {0};
    relay_set_queue(p.relay, "a.name", owner, NULL, 1);
    for (uint32_t kind = RELAY_EXPORT_CONNECTIONS; kind <= RELAY_EXPORT_TOTALS; kind++) {
        relay_export(p.relay, kind, NULL, 0);
        relay_commit(p.relay);
        REQUIRE(plane_event(&p, RELAY_EVENT_EXPORT));
        CHECK_EQUAL(p.event.serial, kind);
        REQUIRE(p.event.body_size > 1);
        CHECK(p.event.body[0] == '[' || p.event.body[0] == '{');
    }
    plane_close(&p);
}

static void full_peer_may_be_disconnected(void)
{
    struct plane p;
    plane_open(&p);
    struct client *a = plane_connect(&p, 0);
    struct marshal w = client_call(a, BUS, "Cold", NULL);
    client_send(a, &w);
    plane_event(&p, RELAY_EVENT_CALL);
    relay_error(p.relay, 0, p.event.serial, "last.Words", "and then nothing");
    relay_disconnect(p.relay, 0);
    relay_commit(p.relay);
    client_expects(a, MESSAGE_ERROR, "last.Words", BUS);
    plane_event(&p, RELAY_EVENT_GONE);
    CHECK_EQUAL(p.event.reason, RELAY_GONE_DISCONNECTED);
    /* it is not closed before its names are released */
    char byte;
    CHECK(recv(a->fd, &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN);
    relay_forget(p.relay, 0);
    relay_forget(p.relay, 0);
    relay_resume(p.relay, 0);
    relay_commit(p.relay);
    CHECK(client_closed(a));
    plane_close(&p);
}

static void event_fd_is_readable_until_all_events_are_taken(void)
{
    struct plane p;
    plane_open(&p);
    for (uint64_t id = 0; id < 3; id++) {
        plane_attach(&p, id);
        relay_disconnect(p.relay, id);
    }
    relay_commit(p.relay);
    for (uint64_t id = 0; id < 3; id++) {
        struct pollfd poller = {.fd = relay_event_fd(p.relay), .events = POLLIN};
        CHECK_EQUAL(poll(&poller, 1, PLANE_DEADLINE), 1);
        CHECK_EQUAL(relay_events(p.relay, &p.event, 1), 1);
        CHECK_EQUAL(p.event.peer, id);
    }
    plane_close(&p);
}

static const struct check_test tests[] = {
    TEST(event_fd_is_readable_until_all_events_are_taken),
    TEST(unicast_is_stamped),
    TEST(broadcast_reaches_matching_peers),
    TEST(long_messages_arrive_whole),
    TEST(descriptors_are_passed),
    TEST(missing_descriptors_disconnect_the_sender),
    TEST(malformed_message_disconnects_only_its_sender),
    TEST(only_requested_replies_pass),
    TEST(call_to_a_lost_callee_gets_no_reply_error),
    TEST(a_name_is_handed_over_in_one_step),
    TEST(parked_messages_keep_their_order),
    TEST(a_parked_message_is_not_overtaken_by_one_to_its_owner),
    TEST(parked_messages_are_rejected_with_an_error),
    TEST(unknown_types_are_refused),
    TEST(a_parked_sender_may_leave),
    TEST(a_message_without_owner_is_parked_again),
    TEST(a_call_for_the_control_plane_stops_its_sender),
    TEST(control_plane_call_is_answered_once),
    TEST(driver_returns_the_owner_of_a_name),
    TEST(other_calls_before_hello_are_denied),
    TEST(privileged_calls_before_hello_are_handed_up),
    TEST(full_queue_refuses_new_messages),
    TEST(exceeded_limits_are_reported),
    TEST(malformed_policy_is_refused),
    TEST(tables_are_exported),
    TEST(full_peer_may_be_disconnected),
};
CHECK_MAIN(tests)
