/* SPDX-License-Identifier: MIT */
#include "../../transport/relay/api/lifecycle.h"
#include "../../transport/relay/state/inbox.h"
#include "check.h"
#include "plane_policy.h"

#include "../../transport/relay/api/loop.h"
#include "../../transport/relay/route/input.h"
#include "../../transport/relay/send/judge.h"
#include "../../transport/relay/send/say.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

/* A bus without threads, and one connection that sends signals without receivers. */
struct room {
    struct bus bus;
    struct events events;
    struct peer *peer;
    int end;
};

static void nothing(void *context)
{
    (void)context;
}

static void room_open(struct room *r)
{
    int ends[2];
    struct relay_credentials credentials = {.uid = 0, .loginfo = "test"};
    memset(r, 0, sizeof(*r));
    r->events.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    CHECK_EQUAL(lifecycle_begin(&r->bus, &r->events, "0123456789abcdef0123456789abcdef"), 0);
    CHECK_EQUAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
    r->end = ends[0];
    r->peer = peer_new(0, ends[1], &credentials);
    r->peer->active = true;
    table_insert(&r->bus.peers, &r->peer->node, hash_number(&r->bus.peers.key, 0));
    r->peer->user = user_take(&r->bus, r->peer->credentials.uid);
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.ptr = &r->peer->source};
    CHECK_EQUAL(epoll_ctl(r->bus.epoll, EPOLL_CTL_ADD, ends[1], &event), 0);
}

static void room_close(struct room *r)
{
    for (struct stack_node *node = stack_take(&r->events.stack), *next; node; node = next) {
        next = node->next;
        event_drop(CONTAINER_OF(node, struct event, node));
    }
    close(r->end);
    lifecycle_end(&r->bus);
    close(r->events.fd);
}

static void put_signal(struct marshal *to, size_t body, uint32_t n_fds)
{
    static const uint8_t bytes[1u << 20];
    struct marshal w = {0};
    struct marshal_header header = {.type = MESSAGE_SIGNAL,
                                    .serial = 1,
                                    .path = SPAN("/t"),
                                    .interface = SPAN("t.t"),
                                    .member = SPAN("T"),
                                    .signature = SPAN("ay"),
                                    .n_fds = n_fds};
    marshal_begin(&w, &header);
    size_t mark = marshal_array_begin(&w, 1);
    marshal_raw(&w, bytes, body);
    marshal_array_end(&w, mark, 1);
    CHECK(marshal_end(&w));
    marshal_raw(to, w.data, w.size);
    marshal_free(&w);
}

static struct marshal signal_of(size_t body)
{
    struct marshal w = {0};
    put_signal(&w, body, 0);
    return w;
}

/* n signals at once */
static void send_signals(struct room *r, size_t body, uint32_t n)
{
    struct marshal w = signal_of(body);
    struct iovec iovecs[1000];
    for (uint32_t i = 0; i < n; i++)
        iovecs[i] = (struct iovec){w.data, w.size};
    struct msghdr header = {.msg_iov = iovecs, .msg_iovlen = n};
    CHECK_EQUAL(sendmsg(r->end, &header, MSG_DONTWAIT | MSG_NOSIGNAL), n * w.size);
    marshal_free(&w);
}

static void take_turns(struct room *r)
{
    while (!list_empty(&r->bus.ready))
        loop_once(&r->bus, 0, nothing, NULL);
}

/* Sends one signal in pieces, as the socket takes it. */
static void send_long_signal(struct room *r, size_t body)
{
    struct marshal w = signal_of(body);
    for (size_t at = 0; at < w.size;) {
        ssize_t n = send(r->end, w.data + at, w.size - at, MSG_DONTWAIT | MSG_NOSIGNAL);
        at += n > 0 ? (size_t)n : 0;
        loop_once(&r->bus, 0, nothing, NULL);
    }
    take_turns(r);
    marshal_free(&w);
}

/* A flood of short messages delays other clients only by the time of one turn. */
static void flood_of_short_messages_is_read_in_turns(void)
{
    struct room r;
    room_open(&r);
    send_signals(&r, 0, 1000);
    loop_once(&r.bus, 0, nothing, NULL);
    CHECK(r.peer->statistics.bytes_in > 0);
    CHECK(r.peer->statistics.bytes_in <=
          2 * INBOX_READ_SHORT); /* once when it is found readable, and once in its turn */
    CHECK(!list_empty(&r.bus.ready));
    take_turns(&r);
    CHECK_EQUAL(r.peer->statistics.messages_in, 1000);
    room_close(&r);
}

static void long_messages_are_read_together(void)
{
    struct room r;
    room_open(&r);
    send_signals(&r, 16000, 3);
    loop_once(&r.bus, 0, nothing, NULL);
    take_turns(&r);
    CHECK_EQUAL(r.peer->statistics.messages_in, 3);
    uint64_t reads = r.bus.totals.receives;
    send_signals(&r, 16000, 6);
    loop_once(&r.bus, 0, nothing, NULL);
    take_turns(&r);
    CHECK_EQUAL(r.peer->statistics.messages_in, 9);
    CHECK(r.bus.totals.receives - reads <= 2);
    room_close(&r);
}

static void next_message_reuses_a_long_buffer(void)
{
    struct room r;
    room_open(&r);
    send_long_signal(&r, 900000);
    CHECK_EQUAL(r.peer->statistics.messages_in, 1);
    CHECK(r.bus.pool.first);
    CHECK(r.bus.tick > 0 && r.bus.tick <= POOL_TIME);
    const struct buffer *first = r.bus.pool.first;
    send_long_signal(&r, 901000);
    CHECK_EQUAL(r.peer->statistics.messages_in, 2);
    CHECK(r.bus.pool.first == first && !first->next);
    r.bus.pool.used -= POOL_TIME;
    loop_once(&r.bus, 0, nothing, NULL);
    CHECK(!r.bus.pool.first);
    CHECK_EQUAL(r.bus.tick, -1);
    room_close(&r);
}

/* A method call without destination, which the control plane answers: the peer is stopped. */
static void send_call(struct room *r)
{
    struct marshal w = {0};
    struct marshal_header header = {
        .type = MESSAGE_METHOD_CALL, .serial = 1, .path = SPAN("/t"), .member = SPAN("T")};
    marshal_begin(&w, &header);
    CHECK(marshal_end(&w));
    CHECK_EQUAL(send(r->end, w.data, w.size, MSG_DONTWAIT | MSG_NOSIGNAL), w.size);
    marshal_free(&w);
}

/* Readiness that epoll reports before a resumed peer's turn must not append to buffered messages. */
static void buffered_messages_are_parsed_before_reading(void)
{
    struct room r;
    room_open(&r);
    send_call(&r);
    send_signals(&r, 0, 200);
    loop_once(&r.bus, 0, nothing, NULL);
    CHECK(r.peer->calls.stopped && r.peer->input.waiting);
    CHECK_EQUAL(r.peer->statistics.messages_in, 1);
    uint64_t read = r.peer->statistics.bytes_in;
    send_signals(&r, 0, 200);
    peer_end_call(r.peer);
    r.peer->calls.stopped = false;
    inbox_resume(&r.bus, r.peer);
    for (int i = 0; i < 100; i++)
        input_read(&r.bus, r.peer);
    CHECK_EQUAL(r.peer->statistics.bytes_in, read);
    take_turns(&r);
    CHECK(!r.peer->input.waiting);
    CHECK_EQUAL(r.peer->statistics.messages_in, 401);
    room_close(&r);
}

/* A short read with few complete messages must not count as one of long messages. */
static void short_read_is_not_counted_as_long_messages(void)
{
    struct room r;
    room_open(&r);
    send_call(&r);
    send_signals(&r, 0, 300);
    loop_once(&r.bus, 0, nothing, NULL);
    CHECK(r.peer->calls.stopped && r.peer->input.tail_size > 10 * BATCH_SMALL);
    CHECK_EQUAL(r.peer->input.read_size, INBOX_READ_SHORT);
    peer_end_call(r.peer);
    room_close(&r);
}

/* The bound of bytes copied in front of a read holds even if a tail violates the invariant. */
static void oversized_tail_is_not_copied(void)
{
    static const uint8_t zeros[BATCH_INPUT_SIZE];
    struct room r;
    room_open(&r);
    CHECK_EQUAL(inbox_begin(r.peer, zeros, sizeof(zeros), NULL, 0), 0);
    r.peer->input.waiting = false;
    send_signals(&r, 0, 1);
    loop_once(&r.bus, 0, nothing, NULL);
    CHECK(peer_is_gone(r.peer));
    CHECK_EQUAL(r.peer->statistics.bytes_in, 0);
    room_close(&r);
}

/* A turn also ends after INPUT_TURN_TIME, if its messages are compared with many rules. */
static void turn_is_bounded_in_time(void)
{
    struct room r;
    room_open(&r);
    struct match_list *list = r.peer->matches = match_list_new(r.peer);
    REQUIRE(list);
    for (unsigned i = 0; i < 1500; i++) {
        char text[160];
        snprintf(text, sizeof(text), "interface='t.t',arg%u='x',arg%u='x',arg%u='x'", i % 20,
                 20 + i / 20 % 20, 40 + i / 400);
        struct match_rule *rule;
        CHECK_EQUAL(match_rule_parse(span_of(text), &rule, text, sizeof(text)), 0);
        CHECK(match_index_add(r.bus.matches, list, rule));
    }
    send_signals(&r, 0, 300);
    loop_once(&r.bus, 0, nothing, NULL);
    CHECK(r.peer->statistics.messages_in < 300);
    CHECK(r.peer->input.waiting && list_linked(&r.peer->input.in_ready));
    take_turns(&r);
    CHECK_EQUAL(r.peer->statistics.messages_in, 300);
    room_close(&r);
}

/* A signal to a name without an owner: the control plane gets the event of the parked message. */
static void send_to_unowned_name(struct room *r)
{
    struct marshal w = {0};
    struct marshal_header header = {.type = MESSAGE_SIGNAL,
                                    .serial = 1,
                                    .path = SPAN("/t"),
                                    .interface = SPAN("t.t"),
                                    .member = SPAN("T"),
                                    .destination = SPAN("t.absent")};
    marshal_begin(&w, &header);
    CHECK(marshal_end(&w));
    CHECK_EQUAL(send(r->end, w.data, w.size, MSG_DONTWAIT | MSG_NOSIGNAL), w.size);
    marshal_free(&w);
}

/* Makes the peer's pending output in the batch unwritable: the next flush disconnects it. */
static void refuse_output(struct room *r)
{
    struct policy *strict = r->bus.policy;
    CHECK_EQUAL(policy_new(&r->bus.policy, plane_policy, sizeof(plane_policy), 2), 0);
    policy_free(strict);
    CHECK_EQUAL(shutdown(r->end, SHUT_RD), 0);
    say_error(&r->bus, r->peer, 1, ERROR_NO_REPLY, "test");
    CHECK(!peer_is_gone(r->peer));
}

static bool only_its_end_was_reported(struct room *r)
{
    struct stack_node *node = stack_take(&r->events.stack);
    return peer_is_gone(r->peer) && node && !node->next &&
           CONTAINER_OF(node, struct event, node)->view.kind == RELAY_EVENT_GONE;
}

/* No message of a lost peer is routed after the control plane got the event of its end. */
static void flush_between_messages_may_disconnect_their_sender(void)
{
    struct room r;
    room_open(&r);
    refuse_output(&r);
    r.bus.batch.n_cells = BATCH_DELIVERIES + 1;
    send_to_unowned_name(&r);
    loop_once(&r.bus, 0, nothing, NULL);
    CHECK(only_its_end_was_reported(&r));
    CHECK_EQUAL(r.peer->statistics.messages_in, 0);
    room_close(&r);
}

/* The peer's buffered beginning of a message, due to be copied before the read, is freed with it. */
static void flush_for_room_may_disconnect_the_peer_being_read(void)
{
    struct room r;
    room_open(&r);
    CHECK_EQUAL(send(r.end, "l", 1, MSG_DONTWAIT | MSG_NOSIGNAL), 1);
    loop_once(&r.bus, 0, nothing, NULL);
    CHECK_EQUAL(r.peer->input.tail_size, 1);
    refuse_output(&r);
    r.bus.batch.input_used = BATCH_INPUT_SIZE;
    uint64_t reads = r.bus.totals.receives;
    send_signals(&r, 0, 1);
    loop_once(&r.bus, 0, nothing, NULL);
    CHECK(peer_is_gone(r.peer) && !r.peer->input.tail);
    CHECK_EQUAL(r.bus.totals.receives, reads);
    room_close(&r);
}

/* One sendmsg with descriptors, and turns until all of it has been read. */
static void send_with_fds(struct room *r, const struct marshal *w, uint32_t n_fds)
{
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(2 * sizeof(int))];
    } control = {.header = {.cmsg_level = SOL_SOCKET,
                            .cmsg_type = SCM_RIGHTS,
                            .cmsg_len = CMSG_LEN(n_fds * sizeof(int))}};
    struct iovec iov = {w->data, w->size};
    struct msghdr header = {.msg_iov = &iov,
                            .msg_iovlen = 1,
                            .msg_control = &control,
                            .msg_controllen = CMSG_SPACE(n_fds * sizeof(int))};
    for (uint32_t i = 0; i < n_fds; i++)
        memcpy(CMSG_DATA(&control.header) + i * sizeof(int), &r->end, sizeof(int));
    r->peer->credentials.fd_passing = true;
    CHECK_EQUAL(sendmsg(r->end, &header, MSG_DONTWAIT | MSG_NOSIGNAL), w->size);
    loop_once(&r->bus, 0, nothing, NULL);
    take_turns(r);
}

/* Three messages and two descriptors in one sendmsg; the first read ends in the second message. */
static void send_three(struct room *r, uint32_t first, uint32_t third)
{
    struct marshal w = {0};
    put_signal(&w, 100, first);
    put_signal(&w, INBOX_READ_SHORT, 0);
    put_signal(&w, 100, third);
    send_with_fds(r, &w, 2);
    marshal_free(&w);
}

static void descriptors_of_joined_messages_may_come_in_an_earlier_read(void)
{
    struct room r;
    room_open(&r);
    send_three(&r, 1, 1);
    CHECK(!peer_is_gone(r.peer));
    CHECK_EQUAL(r.peer->statistics.messages_in, 3);
    CHECK_EQUAL(r.peer->input.n_fds, 0);
    room_close(&r);
}

static void unclaimed_descriptors_end_the_connection_after_several_reads(void)
{
    struct room r;
    room_open(&r);
    send_three(&r, 1, 0);
    CHECK_EQUAL(r.peer->statistics.messages_in, 3);
    CHECK(peer_is_gone(r.peer));
    room_close(&r);
}

/* What a later message may still claim is bounded by max_incoming_unix_fds. */
static void descriptors_of_later_messages_are_bounded(void)
{
    struct room r;
    room_open(&r);
    r.bus.limits.max_incoming_unix_fds = 1;
    send_three(&r, 0, 2);
    CHECK(peer_is_gone(r.peer));
    CHECK_EQUAL(r.peer->statistics.messages_in, 1);
    room_close(&r);
}

static const struct check_test tests[] = {
    TEST(flood_of_short_messages_is_read_in_turns),
    TEST(long_messages_are_read_together),
    TEST(next_message_reuses_a_long_buffer),
    TEST(buffered_messages_are_parsed_before_reading),
    TEST(short_read_is_not_counted_as_long_messages),
    TEST(oversized_tail_is_not_copied),
    TEST(turn_is_bounded_in_time),
    TEST(flush_between_messages_may_disconnect_their_sender),
    TEST(descriptors_of_joined_messages_may_come_in_an_earlier_read),
    TEST(unclaimed_descriptors_end_the_connection_after_several_reads),
    TEST(descriptors_of_later_messages_are_bounded),
    TEST(flush_for_room_may_disconnect_the_peer_being_read),
};
CHECK_MAIN(tests)
