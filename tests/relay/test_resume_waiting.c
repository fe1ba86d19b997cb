/* SPDX-License-Identifier: MIT */

/* What waits for the control plane during an upgrade is reported again; monitors and handshakes go on. */

#include "upgrade_fixture.h"

#include "accept_fixture.h"

#include "../../transport/relay/state/monitor_rules.h"

#include <sys/stat.h>
#include <sys/un.h>

#define BUS "org.freedesktop.DBus"

static void call_is_reported_again(void)
{
    struct plane p;
    plane_open(&p);
    struct client *a = plane_connect(&p, 0);
    struct marshal w = client_call(a, BUS, "ReloadConfig", NULL);
    client_send(a, &w);
    plane_event(&p, RELAY_EVENT_CALL);
    w = client_call(a, BUS, "GetId", NULL); /* waits behind it */
    client_send(a, &w);
    REQUIRE(plane_upgrade(&p, 1));
    plane_event(&p, RELAY_EVENT_CALL);
    CHECK_EQUAL(p.event.peer, 0);
    CHECK_SPAN(span_of(p.event.member), "ReloadConfig");
    CHECK(p.event.active && !p.event.current);
    CHECK_EQUAL(relay_reply(p.relay, 0, p.event.serial, NULL, NULL, 0, false), 0);
    CHECK_EQUAL(relay_resume(p.relay, 0), 0);
    CHECK_EQUAL(relay_commit(p.relay), 0);
    client_expects(a, MESSAGE_METHOD_RETURN, NULL, BUS);
    client_expects(a, MESSAGE_METHOD_RETURN, NULL, BUS);
    CHECK_EQUAL(bus_peer(&p.relay->bus, 0)->account->bytes, 0);
    plane_close(&p);
}

/* The name that a call is about stays with the control plane until the answer. */
static void name_stays_handed_up(void)
{
    struct plane p;
    struct relay_limits limits = plane_limits();
    plane_open(&p);
    limits.max_names_per_connection = 10;
    CHECK_EQUAL(relay_set_limits(p.relay, &limits), 0);
    struct client *a = plane_connect(&p, 0), *b = plane_connect(&p, 1);
    struct marshal w = client_call(a, BUS, "StartServiceByName", "su");
    marshal_string(&w, SPAN("a.b"));
    marshal_uint32(&w, 0);
    client_send(a, &w);
    plane_event(&p, RELAY_EVENT_CALL);
    REQUIRE(plane_upgrade(&p, 2));
    plane_event(&p, RELAY_EVENT_CALL);
    w = client_call(b, BUS, "RequestName", "su");
    marshal_string(&w, SPAN("a.b"));
    marshal_uint32(&w, 0);
    client_send(b, &w);
    plane_event(&p, RELAY_EVENT_CALL);
    CHECK_EQUAL(p.event.peer, 1);
    plane_close(&p);
}

static void awaited_name_stays_handed_up(void)
{
    struct plane p;
    struct relay_limits limits = plane_limits();
    plane_open(&p);
    limits.max_names_per_connection = 10;
    CHECK_EQUAL(relay_set_limits(p.relay, &limits), 0);
    struct client *a = plane_connect(&p, 0);
    CHECK_EQUAL(relay_await_name(p.relay, "a.b", true), 0);
    CHECK_EQUAL(relay_commit(p.relay), 0);
    plane_settle(&p);
    REQUIRE(plane_upgrade(&p, 1));
    struct marshal w = client_call(a, BUS, "RequestName", "su");
    marshal_string(&w, SPAN("a.b"));
    marshal_uint32(&w, 0);
    client_send(a, &w);
    plane_event(&p, RELAY_EVENT_CALL);
    CHECK_EQUAL(relay_await_name(p.relay, "a.b", false), 0);
    plane_close(&p);
}

static void hello_is_reported_again(void)
{
    struct plane p;
    plane_open(&p);
    plane_attach(&p, 0);
    struct client *a = &p.clients[0];
    struct marshal w = client_call(a, BUS, "Hello", NULL);
    client_send(a, &w);
    plane_event(&p, RELAY_EVENT_CALL);
    REQUIRE(plane_upgrade(&p, 1));
    plane_event(&p, RELAY_EVENT_CALL);
    CHECK(!p.event.active);
    CHECK_EQUAL(relay_welcome(p.relay, 0, p.event.serial), 0);
    CHECK_EQUAL(relay_commit(p.relay), 0);
    client_expects(a, MESSAGE_METHOD_RETURN, NULL, BUS);
    client_expects(a, MESSAGE_SIGNAL, "NameAcquired", BUS);
    plane_close(&p);
}

static void park(struct client *c, const char *member)
{
    struct marshal w = client_signal(c, "a.service", member);
    client_send(c, &w);
}

static void parked_messages_are_reported_again(void)
{
    struct plane p;
    plane_open(&p);
    struct client *a = plane_connect(&p, 0), *b = plane_connect(&p, 1);
    const uint64_t owner = 1;
    uint64_t parked[2];
    park(a, "One");
    plane_event(&p, RELAY_EVENT_PARKED);
    parked[0] = p.event.parked;
    CHECK_EQUAL(relay_show(p.relay, parked[0]), 0); /* a start has begun */
    CHECK_EQUAL(relay_commit(p.relay), 0);
    park(a, "Two");
    plane_event(&p, RELAY_EVENT_PARKED);
    parked[1] = p.event.parked;
    REQUIRE(plane_upgrade(&p, 2));
    for (int i = 0; i < 2; i++) {
        plane_event(&p, RELAY_EVENT_PARKED);
        CHECK_EQUAL(p.event.parked, parked[i]);
        CHECK_SPAN(span_of(p.event.member), i == 0 ? "One" : "Two");
        CHECK_SPAN(span_of(p.event.destination), "a.service");
        CHECK(!p.event.denied && !p.event.current);
    }
    park(a, "Three");
    plane_event(&p, RELAY_EVENT_PARKED);
    CHECK_EQUAL(p.event.parked, parked[1] + 1);
    CHECK_EQUAL(relay_set_queue(p.relay, "a.service", &owner, NULL, 1), 0);
    for (uint64_t i = 0; i < 3; i++)
        CHECK_EQUAL(relay_deliver(p.relay, parked[0] + i), 0);
    CHECK_EQUAL(relay_commit(p.relay), 0);
    client_expects(b, MESSAGE_SIGNAL, "NameAcquired", BUS);
    client_expects(b, MESSAGE_SIGNAL, "One", ":1.0");
    client_expects(b, MESSAGE_SIGNAL, "Two", ":1.0");
    client_expects(b, MESSAGE_SIGNAL, "Three", ":1.0");
    client_sync(b);
    CHECK_EQUAL(bus_peer(&p.relay->bus, 0)->account->bytes, 0);
    plane_close(&p);
}

/* The sender has left; the control plane of before would have answered, the next one knows nothing of it. */
static void parked_message_of_a_peer_that_left_is_dropped(void)
{
    struct plane p;
    plane_open(&p);
    struct client *a = plane_connect(&p, 0);
    park(a, "One");
    plane_event(&p, RELAY_EVENT_PARKED);
    client_close(a);
    plane_event(&p, RELAY_EVENT_GONE);
    CHECK_EQUAL(relay_forget(p.relay, 0), 0);
    CHECK_EQUAL(relay_commit(p.relay), 0);
    plane_settle(&p);
    CHECK_EQUAL(p.relay->bus.parking.ids.count, 1);
    REQUIRE(plane_upgrade(&p, 0));
    CHECK_EQUAL(p.relay->bus.parking.ids.count, 0);
    plane_close(&p);
}

static void become_monitor(struct plane *p, uint64_t id, const char *rule)
{
    struct client *c = &p->clients[id];
    struct marshal w = client_call(c, BUS, "BecomeMonitor", NULL);
    client_send(c, &w);
    plane_event(p, RELAY_EVENT_CALL);
    CHECK_EQUAL(relay_become_monitor(p->relay, id, p->event.serial, &rule, 1, NULL, 0), 0);
    CHECK_EQUAL(relay_resume(p->relay, id), 0);
    CHECK_EQUAL(relay_commit(p->relay), 0);
    client_expects(c, MESSAGE_METHOD_RETURN, NULL, BUS);
    client_expects(c, MESSAGE_SIGNAL, "NameLost", BUS);
}

static void monitor_goes_on(void)
{
    struct plane p;
    plane_open(&p);
    struct client *a = plane_connect(&p, 0), *b = plane_connect(&p, 1), *m = plane_connect(&p, 2);
    become_monitor(&p, 2, "member='Seen'");
    REQUIRE(plane_upgrade_frozen(&p));
    for (int i = 0; i < 3; i++)
        plane_event(&p, RELAY_EVENT_ADMITTED);
    CHECK_EQUAL(p.event.peer, 2);
    CHECK(p.event.monitor && p.event.active);
    upgrade_thaw(&p);
    struct marshal w = client_signal(a, ":1.1", "Unseen");
    client_send(a, &w);
    w = client_signal(a, ":1.1", "Seen");
    client_send(a, &w);
    client_expects(b, MESSAGE_SIGNAL, "Unseen", ":1.0");
    client_expects(b, MESSAGE_SIGNAL, "Seen", ":1.0");
    client_expects(m, MESSAGE_SIGNAL, "Seen", ":1.0");
    plane_close(&p);
}

/* With sixteen keys besides eavesdrop, which every rule of a monitor has: one more than AddMatch reads. */
static void longest_rule_of_a_monitor_is_carried_over(void)
{
    struct plane p;
    char rule[MATCH_MAX_RULE_TEXT], text[MATCH_MAX_CANONICAL];
    size_t n = 0;
    plane_open(&p);
    struct client *a = plane_connect(&p, 0), *m = plane_connect(&p, 1);
    for (int i = 0; i < 15; i++)
        n += (size_t)snprintf(rule + n, sizeof(rule) - n, "arg%d=\\'\\'\\'\\'\\'\\'\\'\\'\\'\\'\\'\\',", i);
    snprintf(rule + n, sizeof(rule) - n, "member=Seen");
    become_monitor(&p, 1, rule);
    REQUIRE(plane_upgrade(&p, 2));
    const struct match_list *list = bus_peer(&p.relay->bus, 1)->monitor->list;
    CHECK(match_rule_text(match_list_next(list, NULL), text, sizeof(text)) > MATCH_MAX_RULE_TEXT / 2);
    CHECK(strstr(text, "arg14=") && strstr(text, "member='Seen'"));
    struct marshal w = client_signal(a, NULL, "Seen");
    client_send(a, &w);
    client_sync(a);
    client_close(m);
    plane_event(&p, RELAY_EVENT_GONE);
    plane_close(&p);
}

/* A plane with a door. Returns its address. */
static struct sockaddr_un open_door(struct plane *p, socklen_t *size)
{
    struct sockaddr_un address;
    struct relay_limits limits = plane_limits();
    plane_open(p);
    limits.max_completed_connections = limits.max_connections_per_user = 10;
    limits.max_incomplete_connections = 10;
    CHECK_EQUAL(relay_set_limits(p->relay, &limits), 0);
    int fd = accept_listen(&address, size);
    CHECK_EQUAL(relay_listen(p->relay, fd, ACCEPT_NUMBER, ACCEPT_GUID, true, false), 0);
    CHECK_EQUAL(relay_commit(p->relay), 0);
    close(fd);
    return address;
}

static void wait_for_incomplete(struct plane *p, uint32_t n)
{
    for (int i = 0; i < PLANE_DEADLINE && relay_incomplete(p->relay) != n; i++)
        usleep(1000);
    CHECK_EQUAL(relay_incomplete(p->relay), n);
    plane_settle(p);
}

/* The listening socket accepts all the time: what connects during an upgrade waits in its backlog. */
static void doors_stay_open(void)
{
    struct plane p;
    socklen_t size;
    struct sockaddr_un address = open_door(&p, &size);
    plane_settle(&p);
    REQUIRE(plane_upgrade_frozen(&p));
    struct client *c = &p.clients[0];
    uint8_t text[1024];
    char said[64];
    *c = (struct client){.fd = accept_dial(&address, size)};
    size_t n = accept_handshake_and_hello(c, text);
    CHECK_EQUAL(send(c->fd, text, n, 0), (ssize_t)n);
    upgrade_thaw(&p);
    CHECK_EQUAL(recv(c->fd, said, sizeof(ACCEPT_OK ACCEPT_AGREE) - 1, MSG_WAITALL),
                sizeof(ACCEPT_OK ACCEPT_AGREE) - 1);
    client_expects(c, MESSAGE_METHOD_RETURN, NULL, ACCEPT_BUS);
    plane_close(&p);
}

/* Returns when no connection is left. Its LEFT, if any, precedes the table that says so. */
static void wait_until_empty(struct plane *p)
{
    for (int i = 0; i < PLANE_DEADLINE; i++) {
        relay_export(p->relay, RELAY_EXPORT_CONNECTIONS, NULL, 0);
        relay_commit(p->relay);
        if (!upgrade_take(p, RELAY_EVENT_EXPORT) || p->event.body_size == 2)
            return;
        usleep(1000);
    }
    CHECK(false && "the connection did not end");
}

static void handshake_is_cut_at_every_byte(void)
{
    const char *script = accept_handshake("BEGIN\r\n");
    const size_t whole = strlen(script) + 1;
    struct plane p;
    socklen_t size;
    struct sockaddr_un address = open_door(&p, &size);
    for (size_t at = 0; at < whole; at++) {
        uint8_t text[1024];
        char said[64];
        struct client c = {.fd = accept_dial(&address, size)};
        size_t n = accept_handshake_and_hello(&c, text);
        CHECK_EQUAL(send(c.fd, text, at, 0), (ssize_t)at);
        wait_for_incomplete(&p, 1);
        REQUIRE(plane_upgrade(&p, 0));
        CHECK_EQUAL(relay_incomplete(p.relay), 1);
        CHECK_EQUAL(send(c.fd, text + at, n - at, 0), (ssize_t)(n - at));
        CHECK_EQUAL(recv(c.fd, said, sizeof(ACCEPT_OK ACCEPT_AGREE) - 1, MSG_WAITALL),
                    sizeof(ACCEPT_OK ACCEPT_AGREE) - 1);
        REQUIRE(client_expects(&c, MESSAGE_METHOD_RETURN, NULL, ACCEPT_BUS));
        CHECK(client_expects(&c, MESSAGE_SIGNAL, "NameAcquired", ACCEPT_BUS));
        client_close(&c);
        wait_until_empty(&p);
    }
    plane_close(&p);
}

static void time_to_authenticate_goes_on(void)
{
    struct plane p;
    socklen_t size;
    struct sockaddr_un address = open_door(&p, &size);
    struct relay_limits limits = plane_limits();
    limits.max_incomplete_connections = 10;
    limits.auth_timeout = 400;
    CHECK_EQUAL(relay_set_limits(p.relay, &limits), 0);
    CHECK_EQUAL(relay_commit(p.relay), 0);
    p.clients[0] = (struct client){.fd = accept_dial(&address, size)};
    wait_for_incomplete(&p, 1);
    REQUIRE(plane_upgrade(&p, 0));
    CHECK(client_closed(&p.clients[0]));
    plane_close(&p);
}

/* A connection that the control plane authenticates is in a section of its own. */
static void connection_is_handed_up_again(void)
{
    struct plane p;
    struct upgrade_state state = {.fd = memfd_create("omnibus-state", MFD_CLOEXEC | MFD_ALLOW_SEALING)};
    int ends[2], spare = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3), fds[8];
    struct stat found[2];
    plane_open(&p);
    CHECK_EQUAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    CHECK_EQUAL(fstat(ends[1], &found[0]), 0);
    CHECK_EQUAL(fstat(spare, &found[1]), 0);
    REQUIRE(upgrade_freeze(&p));
    upgrade_drain(&p);
    struct resume_bytes b = {0}, all = resume_names(&p.relay->bus);
    resume_number(&b, 1, 4);
    resume_number(&b, 77, 8);
    resume_number(&b, 5, 4);
    resume_number(&b, 1234, 8);
    resume_number(&b, 9, 8);
    resume_text(&b, "AUTH\r\n", 6);
    resume_number(&b, 2, 4);
    for (int i = 0; i < 2; i++) {
        resume_number(&b, (uint64_t)(i == 0 ? ends[1] : spare), 4);
        resume_number(&b, found[i].st_dev, 8);
        resume_number(&b, found[i].st_ino, 8);
    }
    struct resume_bytes section = resume_section(RELAY_STATE_HANDED_UP, 1, STATE_CRITICAL, b);
    resume_put(&all, section.data, section.size);
    free(section.data);
    CHECK_EQUAL(relay_dump(p.relay, state.fd, all.data, all.size), 0);
    CHECK_EQUAL(relay_commit(p.relay), 0);
    free(all.data);
    REQUIRE(upgrade_take(&p, RELAY_EVENT_DUMPED) && upgrade_map(&state));
    upgrade_keep_seed(&state);
    CHECK_EQUAL(relay_state_descriptors(state.bytes, state.size, fds, 8), 2);
    CHECK_EQUAL(fds[0], ends[1]);
    upgrade_leave(&p);
    REQUIRE(upgrade_enter(&p, &state));
    plane_event(&p, RELAY_EVENT_HANDED_UP);
    CHECK_EQUAL(p.event.peer, 77);
    CHECK_EQUAL(p.event.listener, 5);
    CHECK_EQUAL(p.event.began, 1234);
    CHECK_EQUAL(p.event.parked, 9);
    CHECK_EQUAL(p.event.fd, ends[1]);
    CHECK_EQUAL(p.event.n_fds, 1);
    CHECK_EQUAL(p.event.fds[0], spare);
    CHECK_SPAN(((struct span){(const char *)p.event.body, p.event.body_size}), "AUTH\r\n");
    CHECK_EQUAL(relay_incomplete(p.relay), 1);
    close(ends[0]);
    close(ends[1]);
    close(spare);
    upgrade_end(&state);
    plane_close(&p);
}

static const struct check_test tests[] = {
    TEST(call_is_reported_again),
    TEST(name_stays_handed_up),
    TEST(awaited_name_stays_handed_up),
    TEST(hello_is_reported_again),
    TEST(parked_messages_are_reported_again),
    TEST(parked_message_of_a_peer_that_left_is_dropped),
    TEST(monitor_goes_on),
    TEST(longest_rule_of_a_monitor_is_carried_over),
    TEST(doors_stay_open),
    TEST(handshake_is_cut_at_every_byte),
    TEST(time_to_authenticate_goes_on),
    TEST(connection_is_handed_up_again),
};

CHECK_MAIN(tests)
