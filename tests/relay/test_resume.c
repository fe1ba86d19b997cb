/* SPDX-License-Identifier: MIT */

/* Freeze, dump and restore of the main tables: what a client sees of an upgrade is nothing. */

#include "upgrade_fixture.h"

#define BUS "org.freedesktop.DBus"

/* The control plane gives the name to the client. */
static void own(struct plane *p, uint64_t id, const char *name)
{
    CHECK_EQUAL(relay_set_queue(p->relay, name, &id, 1), 0);
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
    CHECK_EQUAL(relay_set_queue(p.relay, "a.b", queue, 2), 0);
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

static void dump_waits_for_leaving_connections(void)
{
    struct plane p;
    int fd = memfd_create("omnibus-state", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    plane_open(&p);
    plane_connect(&p, 0);
    REQUIRE(upgrade_freeze(&p));
    CHECK_EQUAL(relay_disconnect(p.relay, 0), 0);
    CHECK_EQUAL(relay_commit(p.relay), 0);
    plane_event(&p, RELAY_EVENT_GONE);
    CHECK_EQUAL(upgrade_dump_to(&p, fd), EAGAIN);
    CHECK(p.event.body_size > 0);
    CHECK_EQUAL(relay_forget(p.relay, 0), 0);
    CHECK_EQUAL(relay_commit(p.relay), 0);
    CHECK_EQUAL(upgrade_dump_to(&p, fd), 0);
    close(fd);
    plane_close(&p);
}

static void dump_needs_a_frozen_bus(void)
{
    struct plane p;
    int fd = memfd_create("omnibus-state", MFD_CLOEXEC);
    plane_open(&p);
    CHECK_EQUAL(upgrade_dump_to(&p, fd), EINVAL);
    close(fd);
    plane_close(&p);
}

static void dump_reports_a_full_disk(void)
{
    struct plane p;
    int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
    plane_open(&p);
    REQUIRE(upgrade_freeze(&p));
    CHECK(upgrade_dump_to(&p, fd) > 0);
    close(fd);
    CHECK(upgrade_dump_to(&p, fd) == EBADF);
    plane_close(&p);
}

static void dump_without_memory_fails(void)
{
    struct plane p;
    int fd = memfd_create("omnibus-state", MFD_CLOEXEC);
    plane_open(&p);
    plane_connect(&p, 0);
    REQUIRE(upgrade_freeze(&p));
    upgrade_drain(&p);
    struct resume_bytes names = resume_names(&p.relay->bus);
    for (long i = 0, error = ENOMEM; error == ENOMEM && i < 100; i++) {
        CHECK_EQUAL(relay_dump(p.relay, fd, names.data, names.size), 0);
        check_allocations = i;
        CHECK_EQUAL(relay_commit(p.relay), 0);
        upgrade_take(&p, RELAY_EVENT_DUMPED);
        check_allocations = -1;
        error = p.event.serial;
        CHECK(error == 0 || error == ENOMEM);
        CHECK(i > 0 || error == ENOMEM);
        upgrade_drain(&p);
    }
    free(names.data);
    close(fd);
    plane_close(&p);
}

static void sections_of_the_control_plane_are_found(void)
{
    struct plane p;
    struct upgrade_state state = {.fd = -1};
    const uint8_t *content;
    size_t size;
    plane_open(&p);
    REQUIRE(upgrade_freeze(&p) && upgrade_dump(&p, &state));
    CHECK_EQUAL(relay_state_section(state.bytes, state.size, RELAY_STATE_NAMES, &content, &size), 0);
    CHECK_EQUAL(size, 4);
    CHECK_EQUAL(relay_state_section(state.bytes, state.size, RELAY_STATE_CONTROL, &content, &size), -ENOENT);
    CHECK_EQUAL(relay_state_section(state.bytes, state.size, 1000, &content, &size), -ENOENT);
    CHECK_EQUAL(relay_state_section(state.bytes, 3, RELAY_STATE_NAMES, &content, &size), -EINVAL);
    upgrade_end(&state);
    plane_close(&p);
}

static void descriptors_are_listed(void)
{
    struct plane p;
    struct upgrade_state state = {.fd = -1};
    int fds[2] = {-1, -1};
    plane_open(&p);
    plane_connect(&p, 0);
    plane_connect(&p, 1);
    REQUIRE(upgrade_freeze(&p) && upgrade_dump(&p, &state));
    CHECK_EQUAL(relay_state_descriptors(state.bytes, state.size, fds, 1), 2);
    CHECK_EQUAL(fds[1], -1);
    CHECK_EQUAL(relay_state_descriptors(state.bytes, state.size, fds, 2), 2);
    CHECK_EQUAL(fds[0], bus_peer(&p.relay->bus, 0)->fd);
    CHECK_EQUAL(fds[1], bus_peer(&p.relay->bus, 1)->fd);
    CHECK_EQUAL(relay_state_descriptors(state.bytes, state.size - 1, fds, 2), -EINVAL);
    upgrade_end(&state);
    plane_close(&p);
}

static void only_a_sealed_memfd_is_mapped(void)
{
    const uint8_t *bytes;
    size_t size;
    int fd = memfd_create("omnibus-state", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    CHECK_EQUAL(relay_state_map(fd, &bytes, &size), -EPERM);
    CHECK_EQUAL(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE), 0);
    CHECK_EQUAL(relay_state_map(fd, &bytes, &size), -EPERM);
    CHECK_EQUAL(fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL), 0);
    CHECK_EQUAL(relay_state_map(fd, &bytes, &size), -EINVAL); /* it is empty */
    close(fd);
    CHECK_EQUAL(relay_state_map(fd, &bytes, &size), -EPERM);
    fd = memfd_create("other", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    CHECK_EQUAL(fcntl(fd, F_ADD_SEALS, UPGRADE_SEALS), 0);
    CHECK_EQUAL(relay_state_map(fd, &bytes, &size), -EPERM);
    close(fd);
}

/* A process that rehearses has no descriptor of the state. */
static void rehearsal_takes_nothing(void)
{
    struct plane p;
    struct upgrade_state state = {.fd = -1};
    char why[512];
    struct relay *other = NULL;
    plane_open(&p);
    struct client *a = plane_connect(&p, 0);
    REQUIRE(upgrade_freeze(&p) && upgrade_dump(&p, &state));
    CHECK_EQUAL(relay_restore(&other, state.bytes, state.size, true, why, sizeof(why)), 0);
    relay_free(other);
    upgrade_thaw(&p);
    client_sync(a);
    upgrade_end(&state);
    plane_close(&p);
}

static void descriptors_become_close_on_exec(void)
{
    struct plane p;
    struct upgrade_state state = {.fd = -1};
    plane_open(&p);
    plane_connect(&p, 0);
    REQUIRE(upgrade_freeze(&p) && upgrade_dump(&p, &state));
    int fd = bus_peer(&p.relay->bus, 0)->fd;
    CHECK_EQUAL(fcntl(fd, F_SETFD, 0), 0);
    upgrade_leave(&p);
    REQUIRE(upgrade_enter(&p, &state));
    CHECK_EQUAL(fcntl(fd, F_GETFD), FD_CLOEXEC);
    upgrade_end(&state);
    plane_close(&p);
}

static const struct check_test tests[] = {
    TEST(connections_go_on),
    TEST(admitted_says_who_is_there),
    TEST(match_rules_go_on_with_their_copies),
    TEST(names_keep_their_queues),
    TEST(replies_pass_once),
    TEST(timeout_of_a_reply_goes_on),
    TEST(freeze_stops_reading),
    TEST(freeze_writes_what_commands_say),
    TEST(freeze_stops_timeouts),
    TEST(what_came_during_the_upgrade_is_read),
    TEST(client_that_left_during_the_upgrade_is_lost),
    TEST(dump_waits_for_leaving_connections),
    TEST(dump_needs_a_frozen_bus),
    TEST(dump_reports_a_full_disk),
    TEST(dump_without_memory_fails),
    TEST(sections_of_the_control_plane_are_found),
    TEST(descriptors_are_listed),
    TEST(only_a_sealed_memfd_is_mapped),
    TEST(rehearsal_takes_nothing),
    TEST(descriptors_become_close_on_exec),
};

CHECK_MAIN(tests)
