/* SPDX-License-Identifier: MIT */

/* What is learned from the daemon's reading and writing. */

#include "traffic.h"

#include "mapping.h"
#include "messages.h"

#define OBSERVER 9

static void begin(struct traffic *t, int n)
{
    traffic_init(t);
    t->observer = OBSERVER;
    for (int fd = 0; fd < n; fd++)
        traffic_open(t, fd, false);
}

static void deliver(struct traffic *t, int fd, struct marshal_header header)
{
    struct bytes bytes = message_of(header);
    traffic_write(t, fd, bytes.data, bytes.n, true);
    bytes_free(&bytes);
}

static void receive(struct traffic *t, int fd, struct marshal_header header)
{
    struct bytes bytes = message_of(header);
    const struct traffic_read read = {bytes.data, bytes.n, true, true, 0};
    traffic_read(t, fd, &read);
    bytes_free(&bytes);
}

static struct marshal_header probe(const char *destination)
{
    return (struct marshal_header){.type = MESSAGE_SIGNAL,
                                   .serial = 5,
                                   .path = SPAN(PROBE_PATH),
                                   .interface = SPAN(PROBE_INTERFACE),
                                   .member = SPAN(PROBE_MEMBER),
                                   .destination = span_of(destination),
                                   .sender = SPAN(":1.9")};
}

static void probes_show_the_descriptor(void)
{
    struct traffic t;
    struct sockets none = {0};
    const struct mapping_wanted wanted[] = {{20, 0}, {21, 0}};
    begin(&t, 3);
    deliver(&t, 2, probe(":1.20"));
    CHECK_EQUAL(mapping_conclude(&t, &none, wanted, 2), 1);
    CHECK_EQUAL(traffic_fd(&t, 20), 2);
    deliver(&t, 0, probe(":1.21"));
    CHECK_EQUAL(mapping_conclude(&t, &none, wanted, 2), 0);
    CHECK_EQUAL(traffic_fd(&t, 21), 0);
    CHECK_EQUAL(t.n_sightings, 0);
    traffic_close(&t, 2);
    CHECK_EQUAL(traffic_fd(&t, 20), -1);
    traffic_free(&t);
}

/* Only the observer's count: any client can send something that looks like one. */
static void probes_of_others_are_ignored(void)
{
    struct traffic t;
    struct marshal_header forged = probe(":1.20");
    begin(&t, 2);
    forged.sender = SPAN(":1.8");
    deliver(&t, 1, forged);
    CHECK_EQUAL(t.n_sightings, 0);
    traffic_free(&t);
}

/* One that eavesdrops sees all probes. */
static void eavesdropper_is_what_is_left(void)
{
    struct traffic t;
    struct sockets none = {0};
    const struct mapping_wanted wanted[] = {{20, 0}, {21, 0}, {22, 0}};
    begin(&t, 3);
    const char *const names[] = {":1.20", ":1.21", ":1.22"};
    for (int fd = 0; fd < 3; fd++) {
        deliver(&t, 1, probe(names[fd]));
        if (fd != 1)
            deliver(&t, fd, probe(names[fd]));
    }
    CHECK_EQUAL(mapping_conclude(&t, &none, wanted, 3), 0);
    CHECK_EQUAL(traffic_fd(&t, 20), 0);
    CHECK_EQUAL(traffic_fd(&t, 21), 1);
    CHECK_EQUAL(traffic_fd(&t, 22), 2);
    traffic_free(&t);
}

/* The process of a socket has to be the one that the daemon names. */
static void process_has_to_be_the_same(void)
{
    struct traffic t;
    struct socket_entry entries[2] = {{.kind = SOCKET_CLIENT, .peer.pid = 100},
                                      {.kind = SOCKET_CLIENT, .peer.pid = 101}};
    struct sockets sockets = {entries, 2};
    const struct mapping_wanted wanted = {20, 101};
    begin(&t, 2);
    deliver(&t, 0, probe(":1.20"));
    CHECK_EQUAL(mapping_conclude(&t, &sockets, &wanted, 1), 1);
    deliver(&t, 1, probe(":1.20"));
    CHECK_EQUAL(mapping_conclude(&t, &sockets, &wanted, 1), 0);
    CHECK_EQUAL(traffic_fd(&t, 20), 1);
    traffic_free(&t);
}

static void calls_without_reply(void)
{
    struct traffic t;
    begin(&t, 3);
    struct marshal_header call = {.type = MESSAGE_METHOD_CALL,
                                  .serial = 7,
                                  .path = SPAN("/"),
                                  .member = SPAN("M"),
                                  .sender = SPAN(":1.20"),
                                  .destination = SPAN(":1.21")};
    deliver(&t, 1, call);
    deliver(&t, 1, call);
    CHECK_EQUAL(t.calls.count, 1);
    call.serial = 8;
    call.flags = MESSAGE_NO_REPLY_EXPECTED;
    deliver(&t, 1, call);
    CHECK_EQUAL(t.calls.count, 1);
    const struct marshal_header reply = {.type = MESSAGE_METHOD_RETURN,
                                         .serial = 1,
                                         .reply_serial = 7,
                                         .sender = SPAN(":1.21"),
                                         .destination = SPAN(":1.20")};
    deliver(&t, 0, reply);
    CHECK_EQUAL(t.calls.count, 0);
    traffic_free(&t);
}

static struct marshal_header driver_call(const char *member)
{
    return (struct marshal_header){.type = MESSAGE_METHOD_CALL,
                                   .serial = 3,
                                   .path = SPAN("/"),
                                   .member = span_of(member),
                                   .destination = SPAN(BUS_NAME)};
}

static void changes_are_counted(void)
{
    static const char *const changing[] = {"AddMatch", "RemoveMatch", "RequestName", "ReleaseName", "Hello"};
    struct traffic t;
    begin(&t, 2);
    for (size_t i = 0; i < CHECK_COUNT(changing); i++) {
        uint64_t before = t.changes;
        receive(&t, 0, driver_call("GetId"));
        CHECK_EQUAL(t.changes, before);
        receive(&t, 0, driver_call(changing[i]));
        CHECK_EQUAL(t.changes, before + 1);
    }
    uint64_t before = t.changes;
    traffic_close(&t, 1);
    CHECK_EQUAL(t.changes, before + 1);
    traffic_close(&t, 17);
    traffic_open(&t, 1, true);
    CHECK_EQUAL(t.changes, before + 2);
    const struct traffic_read end = {NULL, 0, true, true, 0};
    traffic_read(&t, 0, &end);
    CHECK_EQUAL(t.changes, before + 3);
    CHECK(!t.reconfigured);
    receive(&t, 0, driver_call("ReloadConfig"));
    CHECK(t.reconfigured);
    traffic_free(&t);
}

/* In a stream that is out of step a call can't be seen: anything may have changed. */
static void stream_out_of_step_is_a_change(void)
{
    struct traffic t;
    begin(&t, 2);
    struct bytes bytes = message_of(driver_call("AddMatch"));
    const struct traffic_read rest = {bytes.data + 4, bytes.n - 4, true, true, 0};
    uint64_t before = t.changes;
    traffic_read(&t, 0, &rest);
    CHECK(t.changes > before);
    CHECK(!t.clients[0]->in.in_step);
    bytes_free(&bytes);
    traffic_free(&t);
}

/* "passed on" and "answered": both say that a message was read as a whole. */
static void serials_bring_streams_in_step(void)
{
    struct traffic t;
    begin(&t, 2);
    traffic_name(&t, 0, 20);
    traffic_name(&t, 1, 21);
    for (int fd = 0; fd < 2; fd++) {
        const struct traffic_read rest = {(const uint8_t *)"rest", 4, true, true, 0};
        traffic_read(&t, fd, &rest);
    }
    receive(&t, 0, driver_call("GetId"));
    CHECK(!t.clients[0]->in.in_step);
    deliver(&t, 0,
            (struct marshal_header){.type = MESSAGE_METHOD_RETURN,
                                    .serial = 1,
                                    .reply_serial = 3,
                                    .sender = SPAN(BUS_NAME),
                                    .destination = SPAN(":1.20")});
    CHECK(t.clients[0]->in.in_step);
    CHECK_EQUAL(t.clients[0]->in.size, 0);
    struct marshal_header signal = {.type = MESSAGE_SIGNAL, .serial = 40, .member = SPAN("S")};
    receive(&t, 1, signal);
    CHECK(!t.clients[1]->in.in_step);
    signal.sender = SPAN(":1.21");
    deliver(&t, 0, signal);
    CHECK(t.clients[1]->in.in_step);
    traffic_free(&t);
}

/* A connection that is accepted while we watch is known from its first byte. */
static void handshake_is_followed(void)
{
    static const char text[] = "\0AUTH EXTERNAL 30\r\nNEGOTIATE_UNIX_FD\r\nBEGIN\r\n";
    const size_t n = sizeof(text) - 1;
    for (size_t cut = 1; cut < n; cut++) {
        struct traffic t;
        begin(&t, 0);
        traffic_open(&t, 5, true);
        const struct traffic_read first = {(const uint8_t *)text, cut, true, false, 0};
        const struct traffic_read second = {(const uint8_t *)text + cut, n - cut, true, false, 0};
        traffic_read(&t, 5, &first);
        CHECK(t.clients[5]->handshake);
        traffic_read(&t, 5, &second);
        CHECK(!t.clients[5]->handshake);
        CHECK(t.clients[5]->fd_passing);
        uint64_t before = t.changes;
        receive(&t, 5, driver_call("Hello"));
        CHECK_EQUAL(t.changes, before + 1);
        CHECK_EQUAL(t.clients[5]->in.size, 0);
        traffic_free(&t);
    }
}

static void handshake_without_descriptors(void)
{
    static const char text[] = "\0AUTH EXTERNAL 30\r\nBEGIN\r\n";
    struct traffic t;
    begin(&t, 0);
    traffic_open(&t, 5, true);
    const struct traffic_read read = {(const uint8_t *)text, sizeof(text) - 1, true, false, 0};
    traffic_read(&t, 5, &read);
    CHECK(!t.clients[5]->handshake);
    CHECK(!t.clients[5]->fd_passing);
    traffic_free(&t);
}

/* The daemon reads with room for descriptors if, and only if, that was negotiated. */
static void reading_shows_what_was_negotiated(void)
{
    struct traffic t;
    begin(&t, 2);
    CHECK(t.clients[0]->fd_passing);
    struct bytes bytes = message_of(driver_call("GetId"));
    const struct traffic_read plain = {bytes.data, bytes.n, true, false, 0};
    traffic_read(&t, 0, &plain);
    traffic_read(&t, 1, &(struct traffic_read){bytes.data, bytes.n, true, true, 0});
    CHECK(!t.clients[0]->fd_passing);
    CHECK(t.clients[1]->fd_passing);
    bytes_free(&bytes);
    traffic_free(&t);
}

static void descriptors_of_half_messages(void)
{
    struct traffic t;
    begin(&t, 1);
    struct bytes bytes = message_of(driver_call("GetId"));
    const struct traffic_read whole = {bytes.data, bytes.n, true, true, 1};
    traffic_read(&t, 0, &whole);
    CHECK(t.clients[0]->fds_end <= t.clients[0]->in.begin);
    const struct traffic_read half = {bytes.data, 20, true, true, 1};
    traffic_read(&t, 0, &half);
    CHECK(t.clients[0]->fds_end > t.clients[0]->in.begin);
    bytes_free(&bytes);
    traffic_free(&t);
}

static void no_memory_is_noted(void)
{
    struct traffic t;
    begin(&t, 0);
    check_allocations = 0;
    traffic_open(&t, 70, true);
    check_allocations = -1;
    CHECK(t.failed);
    traffic_free(&t);
}

static const struct check_test tests[] = {
    TEST(probes_show_the_descriptor),
    TEST(probes_of_others_are_ignored),
    TEST(eavesdropper_is_what_is_left),
    TEST(process_has_to_be_the_same),
    TEST(calls_without_reply),
    TEST(changes_are_counted),
    TEST(stream_out_of_step_is_a_change),
    TEST(serials_bring_streams_in_step),
    TEST(handshake_is_followed),
    TEST(handshake_without_descriptors),
    TEST(reading_shows_what_was_negotiated),
    TEST(descriptors_of_half_messages),
    TEST(no_memory_is_noted),
};
CHECK_MAIN(tests)
