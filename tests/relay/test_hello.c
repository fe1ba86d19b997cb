/* SPDX-License-Identifier: MIT */
#include "plane_fixture.h"

#include "../../transport/relay/state/report.h"

#define BUS "org.freedesktop.DBus"

static const struct relay_limits limits = {
    .max_incoming_bytes = 1u << 20,
    .max_outgoing_bytes = 1u << 20,
    .max_incoming_unix_fds = 16,
    .max_outgoing_unix_fds = 16,
    .max_message_size = 1u << 20,
    .max_message_unix_fds = 16,
    .max_match_rules_per_connection = 16,
    .max_replies_per_connection = 16,
    .max_completed_connections = 3,
    .max_connections_per_user = 2,
    .auth_timeout = -1,
    .reply_timeout = -1,
    .pending_fd_timeout = -1,
};

static void open_limited(struct plane *p, uint32_t completed, uint32_t of_user)
{
    struct relay_limits own = limits;
    own.max_completed_connections = completed;
    own.max_connections_per_user = of_user;
    plane_open(p);
    CHECK_EQUAL(relay_set_limits(p->relay, &own), 0);
    CHECK_EQUAL(relay_commit(p->relay), 0);
}

static struct client *attach_and_hello(struct plane *p, uint64_t id)
{
    struct client *c = &p->clients[id];
    plane_attach(p, id);
    struct marshal w = client_call(c, BUS, "Hello", NULL);
    client_send(c, &w);
    return c;
}

static struct client *connect_greeted(struct plane *p, uint64_t id)
{
    struct client *c = attach_and_hello(p, id);
    client_expects(c, MESSAGE_METHOD_RETURN, NULL, BUS);
    client_expects(c, MESSAGE_SIGNAL, "NameAcquired", BUS);
    if (plane_event(p, RELAY_EVENT_WELCOMED))
        CHECK_EQUAL(p->event.peer, id);
    return c;
}

static void hello_is_answered_at_once(void)
{
    struct plane p;
    open_limited(&p, 3, 3);
    struct client *a = attach_and_hello(&p, 0);
    struct message m;
    struct message_arg argument;
    REQUIRE(client_expect_argument(a, &m, &argument));
    CHECK_EQUAL(m.type, MESSAGE_METHOD_RETURN);
    CHECK_EQUAL(m.reply_serial, a->serial);
    CHECK_SPAN(m.destination, ":1.0");
    CHECK_SPAN(argument.text, ":1.0");
    client_drop(a, &m);
    client_expects(a, MESSAGE_SIGNAL, "NameAcquired", BUS);
    plane_event(&p, RELAY_EVENT_WELCOMED);
    client_sync(a);
    plane_close(&p);
}

static void hello_emits_name_owner_changed(void)
{
    struct plane p;
    open_limited(&p, 3, 3);
    struct client *a = connect_greeted(&p, 0);
    client_match(a, "type='signal',member='NameOwnerChanged'");
    connect_greeted(&p, 1);
    client_expects(a, MESSAGE_SIGNAL, "NameOwnerChanged", BUS);
    plane_close(&p);
}

/* The connection's messages after Hello are reported after it. */
static void control_plane_learns_of_a_connection_before_its_messages(void)
{
    struct plane p;
    open_limited(&p, 3, 3);
    struct client *a = attach_and_hello(&p, 0);
    struct marshal w = client_call(a, BUS, "ReloadConfig", NULL);
    client_send(a, &w);
    plane_event(&p, RELAY_EVENT_WELCOMED);
    if (plane_event(&p, RELAY_EVENT_CALL))
        CHECK(!strcmp(p.event.member, "ReloadConfig"));
    plane_close(&p);
}

static void the_control_plane_decides(struct plane *p, uint64_t id)
{
    struct client *c = attach_and_hello(p, id);
    if (!plane_event(p, RELAY_EVENT_CALL))
        return;
    CHECK_EQUAL(p->event.peer, id);
    CHECK(!strcmp(p->event.member, "Hello"));
    relay_error(p->relay, id, p->event.serial, "org.freedesktop.DBus.Error.LimitsExceeded", "no");
    relay_resume(p->relay, id);
    relay_commit(p->relay);
    client_expects(c, MESSAGE_ERROR, "org.freedesktop.DBus.Error.LimitsExceeded", BUS);
}

static void hello_at_the_limit_of_connections_goes_to_the_control_plane(void)
{
    struct plane p;
    open_limited(&p, 2, 9);
    connect_greeted(&p, 0);
    connect_greeted(&p, 1);
    the_control_plane_decides(&p, 2);
    plane_close(&p);
}

static void hello_at_the_limit_of_a_user_goes_to_the_control_plane(void)
{
    struct plane p;
    open_limited(&p, 9, 1);
    connect_greeted(&p, 0);
    the_control_plane_decides(&p, 1);
    plane_close(&p);
}

static void lost_connection_makes_room(void)
{
    struct plane p;
    open_limited(&p, 1, 1);
    client_close(connect_greeted(&p, 0));
    plane_event(&p, RELAY_EVENT_GONE);
    connect_greeted(&p, 1);
    plane_close(&p);
}

static void hello_with_arguments_goes_to_the_control_plane(void)
{
    struct plane p;
    open_limited(&p, 3, 3);
    plane_attach(&p, 0);
    struct client *a = &p.clients[0];
    struct marshal w = client_call(a, BUS, "Hello", "s");
    marshal_string(&w, SPAN("me"));
    client_send(a, &w);
    plane_event(&p, RELAY_EVENT_CALL);
    plane_close(&p);
}

static void second_hello_goes_to_the_control_plane(void)
{
    struct plane p;
    open_limited(&p, 3, 3);
    struct client *a = connect_greeted(&p, 0);
    struct marshal w = client_call(a, BUS, "Hello", NULL);
    client_send(a, &w);
    plane_event(&p, RELAY_EVENT_CALL);
    plane_close(&p);
}

/* An eavesdropper sees the call in order with the messages that it causes. */
static void hello_goes_to_the_control_plane_while_a_client_eavesdrops(void)
{
    struct plane p;
    open_limited(&p, 3, 3);
    struct client *root = &p.clients[0];
    struct relay_credentials credentials = {.uid = 0, .privileged = true, .loginfo = "uid=0"};
    int ends[2];
    CHECK_EQUAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    *root = (struct client){.fd = ends[0]};
    relay_attach(p.relay, 0, ends[1], -1, clock_now(), &credentials, NULL, 0, NULL, 0);
    relay_commit(p.relay);
    struct marshal w = client_call(root, BUS, "Hello", NULL);
    client_send(root, &w);
    client_expects(root, MESSAGE_METHOD_RETURN, NULL, BUS);
    client_expects(root, MESSAGE_SIGNAL, "NameAcquired", BUS);
    plane_event(&p, RELAY_EVENT_WELCOMED);
    client_match(root, "eavesdrop='true'");
    attach_and_hello(&p, 1);
    plane_event(&p, RELAY_EVENT_CALL);
    plane_close(&p);
}

/* As many as reports of a uid may be with the control plane: those of their end come when these are answered.
 */
static void welcome_of_a_lost_connection_ends_its_report(void)
{
    struct plane p;
    struct client lost[REPORTS_OF_UID];
    const struct relay_credentials credentials = {.uid = 1000, .loginfo = "uid=1000"};
    open_limited(&p, 9, 1);
    connect_greeted(&p, 0);
    for (uint32_t i = 0; i < REPORTS_OF_UID; i++) {
        int ends[2];
        REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
        lost[i] = (struct client){.fd = ends[0]};
        relay_attach(p.relay, 1 + i, ends[1], -1, clock_now(), &credentials, NULL, 0, NULL, 0);
        relay_commit(p.relay);
        struct marshal w = client_call(&lost[i], BUS, "Hello", NULL);
        client_send(&lost[i], &w);
        REQUIRE(plane_event(&p, RELAY_EVENT_CALL));
    }
    for (uint32_t i = 0; i < REPORTS_OF_UID; i++)
        relay_disconnect(p.relay, 1 + i);
    plane_settle(&p);
    for (uint32_t i = 0; i < REPORTS_OF_UID; i++)
        relay_welcome(p.relay, 1 + i, lost[i].serial);
    relay_commit(p.relay);
    for (uint32_t i = 0; i < REPORTS_OF_UID && plane_event(&p, RELAY_EVENT_GONE); i++) {
        CHECK_EQUAL(p.event.peer, 1 + i);
        relay_forget(p.relay, 1 + i);
        relay_commit(p.relay);
        client_close(&lost[i]);
    }
    plane_close(&p);
}

static const struct check_test tests[] = {
    TEST(hello_is_answered_at_once),
    TEST(hello_emits_name_owner_changed),
    TEST(control_plane_learns_of_a_connection_before_its_messages),
    TEST(hello_at_the_limit_of_connections_goes_to_the_control_plane),
    TEST(hello_at_the_limit_of_a_user_goes_to_the_control_plane),
    TEST(lost_connection_makes_room),
    TEST(hello_with_arguments_goes_to_the_control_plane),
    TEST(second_hello_goes_to_the_control_plane),
    TEST(hello_goes_to_the_control_plane_while_a_client_eavesdrops),
    TEST(welcome_of_a_lost_connection_ends_its_report),
};
CHECK_MAIN(tests)
