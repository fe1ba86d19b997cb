/* SPDX-License-Identifier: MIT */
#include "bus_fixture.h"

#include "../../transport/relay/send/output.h"
#include "../../transport/relay/send/transit.h"
#include "../../transport/relay/state/quota.h"

#define BODY 60000u

/* Sends a message of BODY bytes, if there is room for it. */
static bool send_body(struct bus_fixture *f, uint32_t from, uint32_t to)
{
    static uint8_t body[BODY];
    if (!quota_has_room(&f->bus, f->peers[from], f->peers[to]))
        return false;
    struct marshal w = {0};
    struct marshal_header header = {.type = MESSAGE_SIGNAL,
                                    .serial = 1,
                                    .path = SPAN("/t"),
                                    .interface = SPAN("t.t"),
                                    .member = SPAN("T"),
                                    .signature = SPAN("ay")};
    marshal_begin(&w, &header);
    size_t mark = marshal_array_begin(&w, 1);
    marshal_raw(&w, body, sizeof(body));
    marshal_array_end(&w, mark, 1);
    struct message m;
    CHECK(marshal_end(&w));
    CHECK_EQUAL(message_parse(&m, w.data, (uint32_t)w.size), MESSAGE_OK);
    struct transit t = {.bus = &f->bus, .sender = f->peers[from], .m = &m};
    CHECK(transit_deliver(&t, f->peers[to]));
    output_flush(&f->bus);
    marshal_free(&w);
    return true;
}

static uint32_t send_until_refused(struct bus_fixture *f, uint32_t from, uint32_t to)
{
    uint32_t n = 0;
    while (n < 10000 && send_body(f, from, to))
        n++;
    CHECK(n < 10000);
    return n;
}

/* Simulates the passing of time. */
static void let_pass(struct bus_fixture *f, int64_t milliseconds)
{
    for (uint32_t i = 0; i < PEERS; i++) {
        f->peers[i]->output.progress -= milliseconds;
        f->peers[i]->input.fds_since -= milliseconds;
    }
    f->bus.next_tick = 0;
    f->bus.tick = quota_tick(&f->bus);
}

static const uint32_t one_user[PEERS] = {1000, 1000, 1000, 1000};
static const uint32_t strangers[PEERS] = {1000, 1001, 1002, 1003};

static void backlog_slows_its_sender(void)
{
    struct bus_fixture f;
    bus_fixture_open(&f, one_user);
    while (!quota_exceeded(&f.bus, f.peers[0]) && send_body(&f, 0, 1))
        continue;
    CHECK(quota_exceeded(&f.bus, f.peers[0]));
    CHECK(!quota_exceeded(&f.bus, f.peers[2]));
    CHECK(send_body(&f, 2, 3));
    bus_fixture_close(&f);
}

static void stalled_reader_is_charged_itself(void)
{
    struct bus_fixture f;
    bus_fixture_open(&f, one_user);
    send_until_refused(&f, 0, 1);
    CHECK(f.peers[0]->account->bytes > 0);
    let_pass(&f, QUOTA_STALL_TIME / 2);
    CHECK(f.peers[0]->account->bytes > 0);
    let_pass(&f, QUOTA_STALL_TIME);
    CHECK_EQUAL(f.peers[0]->account->bytes, 0);
    CHECK_EQUAL(f.peers[1]->account->bytes, f.peers[1]->output.queued_bytes);
    CHECK(!quota_exceeded(&f.bus, f.peers[0]));
    CHECK(!peer_is_gone(f.peers[1]));
    bus_fixture_close(&f);
}

static void stuck_reader_is_disconnected_when_full_and_late(void)
{
    struct bus_fixture f;
    bus_fixture_open(&f, one_user);
    send_until_refused(&f, 0, 1);
    let_pass(&f, QUOTA_STUCK_TIME - 1000);
    CHECK(!peer_is_gone(f.peers[1]));
    let_pass(&f, 1500);
    CHECK(peer_is_gone(f.peers[1]));
    CHECK_EQUAL(f.peers[1]->reports.gone.view.reason, RELAY_GONE_OVERFLOW);
    bus_fixture_close(&f);
}

static void late_reader_with_a_short_queue_is_kept(void)
{
    struct bus_fixture f;
    bus_fixture_open(&f, one_user);
    while (!f.peers[1]->output.queue.first)
        REQUIRE(send_body(&f, 0, 1));
    let_pass(&f, 100 * QUOTA_STUCK_TIME);
    CHECK(!peer_is_gone(f.peers[1]));
    bus_fixture_close(&f);
}

static void active_reader_is_never_disconnected(void)
{
    struct bus_fixture f;
    static char bytes[1 << 16];
    bus_fixture_open(&f, one_user);
    send_until_refused(&f, 0, 1);
    for (int i = 0; i < 10; i++) {
        while (recv(f.ends[1], bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
            continue;
        loop_once(&f.bus, 0, nothing, NULL);
        let_pass(&f, QUOTA_STUCK_TIME - 1000);
    }
    CHECK(!peer_is_gone(f.peers[1]));
    bus_fixture_close(&f);
}

static void queued_messages_arrive_when_the_peer_reads_again(void)
{
    struct bus_fixture f;
    static char bytes[1 << 16];
    bus_fixture_open(&f, one_user);
    uint64_t n = send_until_refused(&f, 0, 1);
    let_pass(&f, QUOTA_STALL_TIME + 1);
    uint64_t got = 0;
    for (ssize_t size = 1; size > 0;) {
        size = recv(f.ends[1], bytes, sizeof(bytes), MSG_DONTWAIT);
        got += size > 0 ? (uint64_t)size : 0;
        loop_once(&f.bus, 0, nothing, NULL);
    }
    CHECK(got > n * BODY);
    CHECK_EQUAL(f.peers[1]->output.queued_bytes, 0);
    CHECK_EQUAL(f.peers[1]->account->bytes, 0);
    CHECK_EQUAL(f.peers[1]->user->n_backlogs, 0);
    CHECK_EQUAL(f.bus.tick = quota_tick(&f.bus), -1);
    bus_fixture_close(&f);
}

static void one_uid_leaves_room_for_others(void)
{
    struct bus_fixture f;
    bus_fixture_open(&f, strangers);
    uint32_t first = send_until_refused(&f, 1, 0);
    uint32_t second = send_until_refused(&f, 2, 0);
    uint32_t own = 0;
    while (own < 1000 && quota_has_room(&f.bus, f.peers[0], f.peers[0]) && send_body(&f, 0, 0))
        own++;
    CHECK(first > second);
    CHECK(second > 0);
    CHECK(own > 0);
    bus_fixture_close(&f);
}

static void connections_of_one_uid_share_its_quota(void)
{
    struct bus_fixture f;
    bus_fixture_open(&f, one_user);
    f.bus.limits.max_outgoing_bytes = QUOTA_UID_BYTES; /* one queue may take the uid's whole quota */
    REQUIRE(send_body(&f, 0, 1));
    while (!f.peers[1]->output.queue.first || !f.peers[2]->output.queue.first) {
        REQUIRE(send_body(&f, 0, 1));
        REQUIRE(send_body(&f, 0, 2));
    }
    uint64_t before = f.peers[1]->output.queued_bytes;
    f.peers[1]->user->queued_bytes += QUOTA_UID_BYTES;
    f.peers[1]->output.queued_bytes = QUOTA_UID_BYTES / 2 + 1;
    CHECK(!quota_has_room(&f.bus, f.peers[0], f.peers[1]));
    CHECK(quota_has_room(&f.bus, f.peers[0], f.peers[2]));
    f.peers[1]->output.queued_bytes = before;
    f.peers[1]->user->queued_bytes -= QUOTA_UID_BYTES;
    bus_fixture_close(&f);
}

/* The receiver gets the copy later, so it must be complete. */
static void long_message_is_queued_whole_when_the_batch_is_full(void)
{
    struct bus_fixture f;
    bus_fixture_open(&f, one_user);
    for (int i = 0; i < 100 && f.peers[1]->output.queue.count < 2; i++)
        REQUIRE(send_body(&f, 0, 1));
    uint64_t size = outgoing_size(f.peers[1]->output.queue.last->out);
    f.bus.batch.stamped_used = BATCH_STAMPED_SIZE;
    REQUIRE(send_body(&f, 0, 1));
    CHECK_EQUAL(f.peers[1]->output.queue.count, 3);
    CHECK_EQUAL(outgoing_size(f.peers[1]->output.queue.last->out), size);
    bus_fixture_close(&f);
}

/* The first connection has sent a descriptor, but not the rest of its message; it may wait a second. */
static bool a_descriptor_waits(struct bus_fixture *f)
{
    struct peer *peer = f->peers[0];
    f->bus.limits.pending_fd_timeout = 1000;
    peer->input.fds = malloc(sizeof(*peer->input.fds));
    if (!CHECK(peer->input.fds))
        return false;
    peer->input.fds[0] = eventfd(0, EFD_CLOEXEC);
    peer->input.n_fds = 1;
    quota_fds_wait(&f->bus, peer);
    return true;
}

static void pending_descriptors_time_out(void)
{
    struct bus_fixture f;
    bus_fixture_open(&f, one_user);
    const struct peer *peer = f.peers[0];
    REQUIRE(a_descriptor_waits(&f));
    let_pass(&f, 900);
    CHECK(!peer_is_gone(peer));
    let_pass(&f, 200);
    CHECK(peer_is_gone(peer));
    CHECK_EQUAL(peer->reports.gone.view.reason, RELAY_GONE_FDS);
    bus_fixture_close(&f);
}

static void root_is_exempt_from_pending_fd_timeout(void)
{
    struct bus_fixture f;
    const uint32_t root[PEERS] = {0};
    bus_fixture_open(&f, root);
    const struct peer *peer = f.peers[0];
    REQUIRE(a_descriptor_waits(&f));
    let_pass(&f, 5000);
    CHECK(!peer_is_gone(peer));
    bus_fixture_close(&f);
}

static const struct check_test tests[] = {
    TEST(backlog_slows_its_sender),
    TEST(stalled_reader_is_charged_itself),
    TEST(stuck_reader_is_disconnected_when_full_and_late),
    TEST(late_reader_with_a_short_queue_is_kept),
    TEST(active_reader_is_never_disconnected),
    TEST(queued_messages_arrive_when_the_peer_reads_again),
    TEST(one_uid_leaves_room_for_others),
    TEST(connections_of_one_uid_share_its_quota),
    TEST(long_message_is_queued_whole_when_the_batch_is_full),
    TEST(pending_descriptors_time_out),
    TEST(root_is_exempt_from_pending_fd_timeout),
};
CHECK_MAIN(tests)
