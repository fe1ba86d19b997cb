/* SPDX-License-Identifier: MIT */
#include "yard.h"

#include "../../transport/relay/send/output.h"
#include "../../transport/relay/send/transit.h"
#include "../../transport/relay/state/quota.h"

#define BODY 60000u

/* Says a message of BODY bytes, if there is room for it. */
static bool say(struct yard *y, uint32_t from, uint32_t to)
{
    static uint8_t body[BODY];
    if (!quota_has_room(&y->bus, y->peers[from], y->peers[to]))
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
    struct transit t = {.bus = &y->bus, .sender = y->peers[from], .m = &m};
    CHECK(transit_deliver(&t, y->peers[to]));
    output_flush(&y->bus);
    marshal_free(&w);
    return true;
}

static uint32_t say_until_refused(struct yard *y, uint32_t from, uint32_t to)
{
    uint32_t n = 0;
    while (n < 10000 && say(y, from, to))
        n++;
    CHECK(n < 10000);
    return n;
}

/* As if the time had passed. */
static void let_pass(struct yard *y, int64_t milliseconds)
{
    for (uint32_t i = 0; i < PEERS; i++) {
        y->peers[i]->output.progress -= milliseconds;
        y->peers[i]->input.fds_since -= milliseconds;
    }
    y->bus.next_tick = 0;
    y->bus.tick = quota_tick(&y->bus);
}

static const uint32_t one_user[PEERS] = {1000, 1000, 1000, 1000};
static const uint32_t strangers[PEERS] = {1000, 1001, 1002, 1003};

static void a_backlog_slows_its_sender(void)
{
    struct yard y;
    yard_open(&y, one_user);
    while (!quota_exceeded(&y.bus, y.peers[0]) && say(&y, 0, 1))
        continue;
    CHECK(quota_exceeded(&y.bus, y.peers[0]));
    CHECK(!quota_exceeded(&y.bus, y.peers[2]));
    CHECK(say(&y, 2, 3));
    yard_close(&y);
}

static void a_stalled_reader_pays_itself(void)
{
    struct yard y;
    yard_open(&y, one_user);
    say_until_refused(&y, 0, 1);
    CHECK(y.peers[0]->account->bytes > 0);
    let_pass(&y, QUOTA_STALL_TIME / 2);
    CHECK(y.peers[0]->account->bytes > 0);
    let_pass(&y, QUOTA_STALL_TIME);
    CHECK_EQUAL(y.peers[0]->account->bytes, 0);
    CHECK_EQUAL(y.peers[1]->account->bytes, y.peers[1]->output.queued_bytes);
    CHECK(!quota_exceeded(&y.bus, y.peers[0]));
    CHECK(!peer_is_gone(y.peers[1]));
    yard_close(&y);
}

static void a_stuck_reader_is_cut_off_when_full_and_late(void)
{
    struct yard y;
    yard_open(&y, one_user);
    say_until_refused(&y, 0, 1);
    let_pass(&y, QUOTA_STUCK_TIME - 1000);
    CHECK(!peer_is_gone(y.peers[1]));
    let_pass(&y, 1500);
    CHECK(peer_is_gone(y.peers[1]));
    CHECK_EQUAL(y.peers[1]->reports.gone.view.reason, RELAY_GONE_OVERFLOW);
    yard_close(&y);
}

static void a_late_reader_with_little_waiting_is_kept(void)
{
    struct yard y;
    yard_open(&y, one_user);
    while (!y.peers[1]->output.queue.first)
        REQUIRE(say(&y, 0, 1));
    let_pass(&y, 100 * QUOTA_STUCK_TIME);
    CHECK(!peer_is_gone(y.peers[1]));
    yard_close(&y);
}

static void a_reader_that_reads_is_never_cut_off(void)
{
    struct yard y;
    static char bytes[1 << 16];
    yard_open(&y, one_user);
    say_until_refused(&y, 0, 1);
    for (int i = 0; i < 10; i++) {
        while (recv(y.ends[1], bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
            continue;
        loop_once(&y.bus, 0, nothing, NULL);
        let_pass(&y, QUOTA_STUCK_TIME - 1000);
    }
    CHECK(!peer_is_gone(y.peers[1]));
    yard_close(&y);
}

static void everything_arrives_when_it_reads_again(void)
{
    struct yard y;
    static char bytes[1 << 16];
    yard_open(&y, one_user);
    uint64_t n = say_until_refused(&y, 0, 1);
    let_pass(&y, QUOTA_STALL_TIME + 1);
    uint64_t got = 0;
    for (ssize_t size = 1; size > 0;) {
        size = recv(y.ends[1], bytes, sizeof(bytes), MSG_DONTWAIT);
        got += size > 0 ? (uint64_t)size : 0;
        loop_once(&y.bus, 0, nothing, NULL);
    }
    CHECK(got > n * BODY);
    CHECK_EQUAL(y.peers[1]->output.queued_bytes, 0);
    CHECK_EQUAL(y.peers[1]->account->bytes, 0);
    CHECK_EQUAL(y.bus.uids.count, 0);
    CHECK_EQUAL(y.bus.tick = quota_tick(&y.bus), -1);
    yard_close(&y);
}

static void a_stranger_leaves_room_for_others(void)
{
    struct yard y;
    yard_open(&y, strangers);
    uint32_t first = say_until_refused(&y, 1, 0);
    uint32_t second = say_until_refused(&y, 2, 0);
    uint32_t own = 0;
    while (own < 1000 && quota_has_room(&y.bus, y.peers[0], y.peers[0]) && say(&y, 0, 0))
        own++;
    CHECK(first > second);
    CHECK(second > 0);
    CHECK(own > 0);
    yard_close(&y);
}

static void one_uid_shares_what_it_has(void)
{
    struct yard y;
    yard_open(&y, one_user);
    y.bus.limits.max_outgoing_bytes = QUOTA_UID_BYTES; /* one queue may take all that the uid has */
    REQUIRE(say(&y, 0, 1));
    while (!y.peers[1]->output.queue.first || !y.peers[2]->output.queue.first) {
        REQUIRE(say(&y, 0, 1));
        REQUIRE(say(&y, 0, 2));
    }
    uint64_t before = y.peers[1]->output.queued_bytes;
    y.peers[1]->output.usage->bytes += QUOTA_UID_BYTES;
    y.peers[1]->output.queued_bytes = QUOTA_UID_BYTES / 2 + 1;
    CHECK(!quota_has_room(&y.bus, y.peers[0], y.peers[1]));
    CHECK(quota_has_room(&y.bus, y.peers[0], y.peers[2]));
    y.peers[1]->output.queued_bytes = before;
    y.peers[1]->output.usage->bytes -= QUOTA_UID_BYTES;
    yard_close(&y);
}

/* The copy is what the receiver gets later, so nothing may be missing from it. */
static void a_long_message_is_kept_whole_when_the_batch_is_full(void)
{
    struct yard y;
    yard_open(&y, one_user);
    for (int i = 0; i < 100 && y.peers[1]->output.queue.count < 2; i++)
        REQUIRE(say(&y, 0, 1));
    uint64_t size = outgoing_size(y.peers[1]->output.queue.last->out);
    y.bus.batch.stamped_used = BATCH_STAMPED_SIZE;
    REQUIRE(say(&y, 0, 1));
    CHECK_EQUAL(y.peers[1]->output.queue.count, 3);
    CHECK_EQUAL(outgoing_size(y.peers[1]->output.queue.last->out), size);
    yard_close(&y);
}

/* The first connection has sent a descriptor and not yet the rest of its message; it may wait a second. */
static bool a_descriptor_waits(struct yard *y)
{
    struct peer *peer = y->peers[0];
    y->bus.limits.pending_fd_timeout = 1000;
    peer->input.fds = malloc(sizeof(*peer->input.fds));
    if (!CHECK(peer->input.fds))
        return false;
    peer->input.fds[0] = eventfd(0, EFD_CLOEXEC);
    peer->input.n_fds = 1;
    quota_fds_wait(&y->bus, peer);
    return true;
}

static void descriptors_do_not_wait_for_ever(void)
{
    struct yard y;
    yard_open(&y, one_user);
    const struct peer *peer = y.peers[0];
    REQUIRE(a_descriptor_waits(&y));
    let_pass(&y, 900);
    CHECK(!peer_is_gone(peer));
    let_pass(&y, 200);
    CHECK(peer_is_gone(peer));
    CHECK_EQUAL(peer->reports.gone.view.reason, RELAY_GONE_FDS);
    yard_close(&y);
}

static void root_may_let_descriptors_wait(void)
{
    struct yard y;
    const uint32_t root[PEERS] = {0};
    yard_open(&y, root);
    const struct peer *peer = y.peers[0];
    REQUIRE(a_descriptor_waits(&y));
    let_pass(&y, 5000);
    CHECK(!peer_is_gone(peer));
    yard_close(&y);
}

static const struct check_test tests[] = {
    TEST(a_backlog_slows_its_sender),
    TEST(a_stalled_reader_pays_itself),
    TEST(a_stuck_reader_is_cut_off_when_full_and_late),
    TEST(a_late_reader_with_little_waiting_is_kept),
    TEST(a_reader_that_reads_is_never_cut_off),
    TEST(everything_arrives_when_it_reads_again),
    TEST(a_stranger_leaves_room_for_others),
    TEST(one_uid_shares_what_it_has),
    TEST(a_long_message_is_kept_whole_when_the_batch_is_full),
    TEST(descriptors_do_not_wait_for_ever),
    TEST(root_may_let_descriptors_wait),
};
CHECK_MAIN(tests)
