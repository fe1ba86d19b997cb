/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* memmem */

/* Reports: the events that clients cause are bounded for each connection and each uid. */

#include "bus_fixture.h"

#include "plane_fixture.h"

#include "../../transport/relay/accept/door.h"
#include "../../transport/relay/state/log.h"
#include "../../transport/relay/state/report.h"

#define BUS "org.freedesktop.DBus"

static const uint32_t one_user[PEERS] = {1000, 1000, 1000, 1000};
static const uint32_t strangers[PEERS] = {1000, 1000, 1000, 1001};

static void open_yard(struct bus_fixture *y, const uint32_t uids[PEERS])
{
    bus_fixture_open(y, uids);
    y->bus.limits.max_outgoing_bytes = y->bus.limits.max_incoming_bytes = 1u << 30;
    policy_free(y->bus.policy);
    CHECK_EQUAL(policy_new(&y->bus.policy, plane_policy, sizeof(plane_policy), 1), 0);
}

/* At least four wake-ups, and until no peer has unread input: on a slow machine a wake-up ends by its time,
 * before all that is there was read. */
static void turns(struct bus_fixture *y)
{
    for (int i = 0; i < 4 || (!list_empty(&y->bus.ready) && i < 10000); i++)
        loop_once(&y->bus, 0, nothing, NULL);
}

static void write_message(struct bus_fixture *y, int from, uint8_t type, uint8_t flags,
                          const char *destination)
{
    struct marshal w = {0};
    struct marshal_header header = {.type = type,
                                    .flags = flags,
                                    .serial = 1,
                                    .path = SPAN("/t"),
                                    .interface = SPAN("t.t"),
                                    .member = SPAN("T"),
                                    .destination = span_of(destination)};
    marshal_begin(&w, &header);
    CHECK(marshal_end(&w));
    CHECK_EQUAL(send(y->ends[from], w.data, w.size, MSG_NOSIGNAL), w.size);
    marshal_free(&w);
}

static void write_parked(struct bus_fixture *y, int from, uint32_t n)
{
    char name[16];
    for (uint32_t i = 0; i < n; i++) {
        snprintf(name, sizeof(name), "t.n%u", i);
        write_message(y, from, MESSAGE_METHOD_CALL, 0, name);
    }
    turns(y);
}

/* An event that the control plane has taken: of a parked message, or of a peer. */
struct taken {
    uint32_t kind;
    uint64_t id;
    struct event *event; /* NULL: it has been answered */
};

/* Takes the waiting events, the oldest first. Returns their number. */
static uint32_t take(struct bus_fixture *y, struct taken *taken, uint32_t most)
{
    uint32_t n = 0;
    for (struct stack_node *node = stack_take(&y->events.stack); node; node = node->next) {
        struct event *event = CONTAINER_OF(node, struct event, node);
        uint64_t id = event->view.kind == RELAY_EVENT_PARKED ? event->view.parked : event->view.peer;
        if (n < most)
            taken[n] = (struct taken){event->view.kind, id, event};
        n++;
    }
    return n;
}

static void command(struct bus_fixture *y, enum command_kind kind, uint64_t id)
{
    const char *const texts[COMMAND_TEXTS] = {"t.Error", "no"};
    struct command_batch *batch = calloc(1, sizeof(*batch));
    if (CHECK(batch) && CHECK(batch->first = command_new(kind, id, texts, NULL, 0)))
        command_batch_apply(&y->bus, batch, INT64_MAX);
    turns(y);
}

static bool receive(struct bus_fixture *y, int who, struct message *m)
{
    static uint8_t bytes[4096];
    ssize_t n = recv(y->ends[who], bytes, sizeof(bytes), MSG_DONTWAIT);
    return CHECK(n > 0) && CHECK_EQUAL(message_parse(m, bytes, (uint32_t)n), MESSAGE_OK);
}

static void a_connection_with_many_reports_is_not_read(void)
{
    struct bus_fixture y;
    struct taken taken[64];
    open_yard(&y, one_user);
    write_parked(&y, 0, 100);
    CHECK_EQUAL(y.peers[0]->calls.n_parked, REPORTS_OF_PEER);
    CHECK(y.peers[0]->input.paused);
    REQUIRE(take(&y, taken, 64) == REPORTS_OF_PEER);
    uint64_t first = taken[0].id;
    CHECK_EQUAL(take(&y, taken, 64), 0); /* taking them is no answer */
    for (uint32_t i = 0; i < 3; i++)
        command(&y, COMMAND_REJECT, first + i);
    CHECK_EQUAL(y.peers[0]->calls.n_parked, REPORTS_OF_PEER);
    CHECK_EQUAL(take(&y, taken, 64), 3);
    bus_fixture_close(&y);
}

static void answered_reports_make_room_for_waiting_ones(void)
{
    struct bus_fixture y;
    struct taken taken[64];
    uint32_t done = 0;
    open_yard(&y, one_user);
    for (int i = 0; i < 3; i++)
        write_parked(&y, i, 100);
    for (uint32_t n; (n = take(&y, taken, 64)) > 0; done += n) {
        REQUIRE(n <= REPORTS_OF_UID);
        for (uint32_t i = 0; i < n; i++)
            command(&y, COMMAND_REJECT, taken[i].id);
    }
    CHECK_EQUAL(done, 300);
    CHECK_EQUAL(y.bus.parking.ids.count, 0);
    for (int i = 0; i < 3; i++) {
        CHECK(!y.peers[i]->input.paused);
        CHECK_EQUAL(y.peers[i]->reports.n, 0);
    }
    CHECK_EQUAL(y.peers[0]->user->n_reports, 0);
    bus_fixture_close(&y);
}

static void reports_of_one_uid_wait_in_order(void)
{
    struct bus_fixture y;
    struct taken taken[64];
    open_yard(&y, one_user);
    for (int i = 0; i < PEERS; i++)
        write_parked(&y, i, REPORTS_OF_PEER);
    CHECK_EQUAL(y.bus.parking.ids.count, PEERS * REPORTS_OF_PEER);
    REQUIRE(take(&y, taken, 64) == REPORTS_OF_UID);
    uint64_t last = taken[REPORTS_OF_UID - 1].id;
    uint64_t first = taken[0].id;
    for (uint32_t i = 0; i < 5; i++)
        command(&y, COMMAND_REJECT, first + i);
    REQUIRE(take(&y, taken, 64) == 5);
    for (uint32_t i = 0; i < 5; i++)
        CHECK_EQUAL(taken[i].id, last + 1 + i);
    bus_fixture_close(&y);
}

static void another_uid_waits_for_a_bounded_number_of_reports(void)
{
    struct bus_fixture y;
    struct taken taken[64];
    open_yard(&y, strangers);
    for (int i = 0; i < 3; i++)
        write_parked(&y, i, 100);
    write_message(&y, 3, MESSAGE_METHOD_CALL, 0, BUS);
    turns(&y);
    REQUIRE(take(&y, taken, 64) == REPORTS_OF_UID + 1);
    CHECK_EQUAL(taken[REPORTS_OF_UID].kind, RELAY_EVENT_CALL);
    CHECK_EQUAL(taken[REPORTS_OF_UID].id, 3);
    bus_fixture_close(&y);
}

static void messages_between_clients_are_not_delayed(void)
{
    struct bus_fixture y;
    struct message m;
    open_yard(&y, one_user);
    for (int i = 0; i < 3; i++)
        write_parked(&y, i, 100);
    write_message(&y, 3, MESSAGE_SIGNAL, 0, ":1.3");
    turns(&y);
    REQUIRE(receive(&y, 3, &m));
    CHECK_SPAN(m.member, "T");
    bus_fixture_close(&y);
}

static void a_call_is_a_report_until_its_answer(void)
{
    struct bus_fixture y;
    struct taken taken[4];
    open_yard(&y, one_user);
    for (int i = 0; i < 2; i++)
        write_message(&y, 0, MESSAGE_METHOD_CALL, 0, BUS);
    turns(&y);
    REQUIRE(take(&y, taken, 4) == 1);
    CHECK_EQUAL(y.peers[0]->reports.n, 1);
    command(&y, COMMAND_RESUME, 0);
    CHECK_EQUAL(take(&y, taken, 4), 1);
    CHECK_EQUAL(y.peers[0]->reports.n, 1);
    command(&y, COMMAND_RESUME, 0);
    CHECK_EQUAL(y.peers[0]->reports.n, 0);
    CHECK_EQUAL(y.peers[0]->user->n_reports, 0);
    bus_fixture_close(&y);
}

static void starts_under_way_are_bounded(void)
{
    struct bus_fixture y;
    struct message m;
    struct taken taken[8];
    open_yard(&y, one_user);
    y.bus.limits.max_pending_service_starts = 3;
    write_parked(&y, 0, 3);
    REQUIRE(take(&y, taken, 8) == 3);
    uint64_t first = taken[0].id;
    for (uint32_t i = 0; i < 3; i++)
        command(&y, COMMAND_SHOW, first + i);
    CHECK_EQUAL(y.peers[0]->reports.n, 0);
    y.bus.parking.n_starting = 3;
    write_message(&y, 0, MESSAGE_METHOD_CALL, 0, "t.One.more");
    turns(&y);
    CHECK_EQUAL(take(&y, taken, 8), 0);
    REQUIRE(receive(&y, 0, &m));
    CHECK_SPAN(m.error_name, "org.freedesktop.DBus.Error.LimitsExceeded");
    CHECK(memmem(m.data, m.size,
                 "The maximum number of pending activations has been reached, activation of t.One.more "
                 "failed (max_pending_service_starts=3)",
                 122));
    /* a message that starts nothing is not limited */
    write_message(&y, 0, MESSAGE_METHOD_CALL, MESSAGE_NO_AUTO_START, "t.One.more");
    turns(&y);
    REQUIRE(receive(&y, 0, &m));
    CHECK_SPAN(m.error_name, "org.freedesktop.DBus.Error.NameHasNoOwner");
    command(&y, COMMAND_REJECT, first);
    y.bus.parking.n_starting = 2;
    write_message(&y, 0, MESSAGE_METHOD_CALL, 0, "t.One.more");
    turns(&y);
    CHECK_EQUAL(take(&y, taken, 8), 1);
    bus_fixture_close(&y);
}

static void log_lines_are_charged_to_the_peer_of_the_turn(void)
{
    struct bus_fixture y;
    struct taken taken[64];
    open_yard(&y, strangers);
    y.bus.turn = y.peers[0];
    for (uint32_t i = 0; i < 40; i++)
        log_line(&y.bus, LOG_WARNING, "line %u", i);
    y.bus.turn = NULL;
    log_line(&y.bus, LOG_WARNING, "the bus's own");
    CHECK_EQUAL(y.peers[0]->reports.n, 40);
    CHECK(report_exceeded(y.peers[0]));
    CHECK(!report_exceeded(y.peers[1]));
    REQUIRE(take(&y, taken, 64) == REPORTS_OF_UID + 1);
    for (uint32_t i = 0; i <= REPORTS_OF_UID; i++) {
        report_end_event(&y.bus, y.peers[0], taken[i].event);
        free(taken[i].event);
    }
    CHECK_EQUAL(y.peers[0]->reports.n, 8);
    CHECK(!report_exceeded(y.peers[0]));
    bus_fixture_close(&y);
}

/* New connections of a uid are not read from before its lost ones are forgotten. */
static void lost_connections_are_bounded(void)
{
    struct bus_fixture y;
    struct taken taken[8];
    open_yard(&y, strangers);
    y.bus.n_lost = y.peers[0]->user->n_lost = REPORTS_OF_UID;
    write_parked(&y, 1, 1);
    write_parked(&y, 3, 1);
    CHECK_EQUAL(y.peers[1]->calls.n_parked, 0);
    CHECK_EQUAL(y.peers[3]->calls.n_parked, 1);
    y.peers[2]->reports.mentioned = true; /* this one is not new */
    write_parked(&y, 2, 1);
    CHECK_EQUAL(y.peers[2]->calls.n_parked, 1);
    close(y.ends[2]);
    y.ends[2] = -1;
    turns(&y);
    CHECK_EQUAL(y.bus.n_lost, REPORTS_OF_UID + 1);
    REQUIRE(take(&y, taken, 8) == 3);
    CHECK_EQUAL(taken[2].kind, RELAY_EVENT_GONE);
    y.bus.n_lost = y.peers[0]->user->n_lost = 1;
    command(&y, COMMAND_REJECT, taken[1].id);
    command(&y, COMMAND_FORGET, 2);
    CHECK_EQUAL(y.bus.n_lost, 0);
    CHECK_EQUAL(y.peers[1]->calls.n_parked, 1);
    bus_fixture_close(&y);
}

/* The message of a lost connection stays until the control plane has answered it. */
static void a_waiting_report_outlives_its_connection(void)
{
    struct bus_fixture y;
    struct taken taken[64];
    open_yard(&y, one_user);
    for (int i = 0; i < 3; i++)
        write_parked(&y, i, REPORTS_OF_PEER);
    close(y.ends[2]);
    y.ends[2] = -1;
    turns(&y);
    for (uint32_t n; (n = take(&y, taken, 64)) > 0;) {
        for (uint32_t i = 0; i < n; i++) {
            bool parked = taken[i].kind == RELAY_EVENT_PARKED;
            command(&y, parked ? COMMAND_REJECT : COMMAND_FORGET, taken[i].id);
        }
    }
    CHECK_EQUAL(y.bus.parking.ids.count, 0);
    CHECK(!bus_peer(&y.bus, 2));
    CHECK_EQUAL(y.peers[0]->user->n_reports, 0);
    CHECK_EQUAL(y.peers[0]->user->references, PEERS - 1);
    bus_fixture_close(&y);
}

static void write_name_calls(struct bus_fixture *y, int from, const char *name, uint32_t pairs)
{
    for (uint32_t i = 0; i < 2 * pairs; i++) {
        struct client client = {0};
        struct marshal w =
            client_call(&client, BUS, i % 2 ? "ReleaseName" : "RequestName", i % 2 ? "s" : "su");
        marshal_string(&w, span_of(name));
        if (i % 2 == 0)
            marshal_uint32(&w, 0);
        CHECK(marshal_end(&w));
        CHECK_EQUAL(send(y->ends[from], w.data, w.size, MSG_NOSIGNAL), w.size);
        marshal_free(&w);
    }
    turns(y);
}

static bool is_woken(const struct bus_fixture *y)
{
    uint64_t count;
    return read(y->events.fd, &count, sizeof(count)) == sizeof(count);
}

static void end_all(struct bus_fixture *y, const struct taken *taken, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        report_end_event(&y->bus, NULL, taken[i].event);
        free(taken[i].event);
    }
}

/* Lazy reports count like others; reports that wait behind them wake the control plane, in order. */
static void reports_behind_lazy_ones_wake_the_control_plane(void)
{
    struct bus_fixture y;
    struct taken taken[64];
    open_yard(&y, strangers);
    y.bus.limits.max_names_per_connection = 8;
    write_name_calls(&y, 0, "t.Name", REPORTS_OF_UID / 2);
    CHECK(!is_woken(&y));
    write_parked(&y, 1, 1);
    write_name_calls(&y, 0, "t.Name", 1);
    write_name_calls(&y, 3, "t.Other", 1);
    CHECK(is_woken(&y));
    REQUIRE(take(&y, taken, 64) == REPORTS_OF_UID + 2);
    for (uint32_t i = 0; i < REPORTS_OF_UID + 2; i++) {
        CHECK_EQUAL(taken[i].kind, i % 2 ? RELAY_EVENT_RELEASED : RELAY_EVENT_NAMED);
        CHECK_EQUAL(taken[i].id, i < REPORTS_OF_UID ? 0 : 3);
    }
    end_all(&y, taken, REPORTS_OF_UID + 2);
    REQUIRE(take(&y, taken, 64) == 2);
    CHECK_EQUAL(taken[0].kind, RELAY_EVENT_PARKED);
    CHECK_EQUAL(taken[1].kind, RELAY_EVENT_CALL);
    CHECK_EQUAL(y.peers[3]->user->n_reports, 0);
    bus_fixture_close(&y);
}

static void a_connection_without_memory_for_its_uid_is_lost(void)
{
    struct bus_fixture y;
    struct relay_credentials credentials = {.uid = 4242, .loginfo = "test"};
    open_yard(&y, one_user);
    struct peer *peer = peer_new(17, eventfd(0, EFD_CLOEXEC), &credentials);
    REQUIRE(peer);
    check_allocations = 0;
    bus_attach(&y.bus, peer, true);
    check_allocations = -1;
    CHECK(peer_is_gone(peer));
    bus_fixture_close(&y);
}

static const struct check_test tests[] = {
    TEST(a_connection_with_many_reports_is_not_read),
    TEST(answered_reports_make_room_for_waiting_ones),
    TEST(reports_of_one_uid_wait_in_order),
    TEST(another_uid_waits_for_a_bounded_number_of_reports),
    TEST(messages_between_clients_are_not_delayed),
    TEST(a_call_is_a_report_until_its_answer),
    TEST(starts_under_way_are_bounded),
    TEST(log_lines_are_charged_to_the_peer_of_the_turn),
    TEST(lost_connections_are_bounded),
    TEST(a_waiting_report_outlives_its_connection),
    TEST(reports_behind_lazy_ones_wake_the_control_plane),
    TEST(a_connection_without_memory_for_its_uid_is_lost),
};
CHECK_MAIN(tests)
