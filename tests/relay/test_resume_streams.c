/* SPDX-License-Identifier: MIT */

/* Streams that an upgrade cuts in the middle: input that is incomplete, output that a client has not read. */

#include "upgrade_fixture.h"

#include "../../transport/relay/state/quota.h"

#include <linux/sockios.h>
#include <sys/ioctl.h>

#define BUS "org.freedesktop.DBus"
#define LONG (4u << 20) /* more than sockets take */

static void send_part(struct client *c, const void *bytes, size_t size)
{
    CHECK_EQUAL(send(c->fd, bytes, size, MSG_NOSIGNAL), (ssize_t)size);
}

/* Sends bytes with copies of standard output. */
static void send_fds(struct client *c, const void *bytes, size_t size, uint32_t n)
{
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(8 * sizeof(int))];
    } control = {0};
    struct iovec iov = {(void *)bytes, size};
    struct msghdr header = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control};
    header.msg_controllen = CMSG_SPACE(n * sizeof(int));
    struct cmsghdr *cmsg = CMSG_FIRSTHDR(&header);
    *cmsg = (struct cmsghdr){
        .cmsg_len = CMSG_LEN(n * sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    for (uint32_t i = 0; i < n; i++) {
        int fd = STDOUT_FILENO;
        memcpy(CMSG_DATA(cmsg) + i * sizeof(fd), &fd, sizeof(fd));
    }
    CHECK_EQUAL(sendmsg(c->fd, &header, MSG_NOSIGNAL), (ssize_t)size);
}

static struct marshal with_body(struct client *c, const char *destination, const char *member, size_t size,
                                uint32_t n_fds)
{
    struct marshal w = {0};
    struct marshal_header header = {.type = MESSAGE_SIGNAL,
                                    .serial = ++c->serial,
                                    .path = SPAN("/test"),
                                    .interface = SPAN("test.Interface"),
                                    .member = span_of(member),
                                    .destination = span_of(destination),
                                    .n_fds = n_fds,
                                    .signature = SPAN("ay")};
    uint8_t *body = calloc(1, size + 1);
    marshal_begin(&w, &header);
    size_t mark = marshal_array_begin(&w, 1);
    marshal_raw(&w, body, size);
    marshal_array_end(&w, mark, 1);
    CHECK(marshal_end(&w));
    free(body);
    return w;
}

/* Waits until the bus has read all that the client sent, and the wake-up in which it did is over. */
static void wait_until_read(struct plane *p, const struct client *c)
{
    int left = 1;
    for (int i = 0; i < PLANE_DEADLINE && left > 0; i++) {
        CHECK_EQUAL(ioctl(c->fd, SIOCOUTQ, &left), 0);
        usleep(left > 0 ? 1000 : 0);
    }
    CHECK_EQUAL(left, 0);
    plane_settle(p);
    plane_settle(p);
}

static void message_is_cut_at_every_byte(void)
{
    struct plane p;
    plane_open(&p);
    struct client *a = plane_connect(&p, 0), *b = plane_connect(&p, 1);
    struct marshal w = client_signal(a, ":1.1", "Whole");
    CHECK(marshal_end(&w));
    for (size_t at = 1; at < w.size; at++) {
        send_part(a, w.data, at);
        wait_until_read(&p, a);
        REQUIRE(plane_upgrade(&p, 2));
        send_part(a, w.data + at, w.size - at);
        REQUIRE(client_expects(b, MESSAGE_SIGNAL, "Whole", ":1.0"));
    }
    marshal_free(&w);
    plane_close(&p);
}

static void long_message_is_cut(void)
{
    struct plane p;
    plane_open(&p);
    struct client *a = plane_connect(&p, 0), *b = plane_connect(&p, 1);
    struct marshal w = with_body(a, ":1.1", "Long", LONG, 0);
    size_t half = 100000;
    send_part(a, w.data, half);
    wait_until_read(&p, a);
    REQUIRE(plane_upgrade(&p, 2));
    CHECK_EQUAL(fcntl(a->fd, F_SETFL, O_NONBLOCK), 0);
    struct message m;
    for (size_t at = half; at < w.size;) {
        ssize_t n = send(a->fd, w.data + at, w.size - at, MSG_NOSIGNAL);
        at += n > 0 ? (size_t)n : 0;
        if (n < 0)
            plane_settle(&p);
    }
    CHECK(client_expect(b, &m));
    CHECK_SPAN(m.member, "Long");
    CHECK_EQUAL(m.body_size, LONG + 4);
    marshal_free(&w);
    plane_close(&p);
}

static void descriptors_wait_for_their_message(void)
{
    struct plane p;
    plane_open(&p);
    struct client *a = plane_connect(&p, 0), *b = plane_connect(&p, 1);
    struct marshal w = with_body(a, ":1.1", "Fds", 10, 2);
    send_fds(a, w.data, 30, 2);
    wait_until_read(&p, a);
    REQUIRE(plane_upgrade(&p, 2));
    CHECK_EQUAL(bus_peer(&p.relay->bus, 0)->input.n_fds, 2);
    send_part(a, w.data + 30, w.size - 30);
    CHECK(client_expects(b, MESSAGE_SIGNAL, "Fds", ":1.0"));
    CHECK_EQUAL(b->n_fds, 2);
    marshal_free(&w);
    plane_close(&p);
}

static void time_of_waiting_descriptors_goes_on(void)
{
    struct plane p;
    struct relay_limits limits = plane_limits();
    plane_open(&p);
    limits.pending_fd_timeout = 400;
    CHECK_EQUAL(relay_set_limits(p.relay, &limits), 0);
    struct client *a = plane_connect(&p, 0);
    struct marshal w = with_body(a, ":1.1", "Fds", 10, 1);
    send_fds(a, w.data, 30, 1);
    wait_until_read(&p, a);
    REQUIRE(plane_upgrade(&p, 1));
    plane_event(&p, RELAY_EVENT_LOG);
    plane_event(&p, RELAY_EVENT_GONE);
    CHECK_EQUAL(p.event.reason, RELAY_GONE_FDS);
    marshal_free(&w);
    plane_close(&p);
}

/* Sends until the bus keeps messages for the receiver. Returns how many were sent. */
static uint32_t fill(struct plane *p, struct client *from, const char *to, uint64_t receiver, size_t size,
                     uint32_t n_fds)
{
    uint32_t n = 0;
    while (n < 1000 && !bus_peer(&p->relay->bus, receiver)->output.queue.first) {
        struct marshal w = with_body(from, to, "Queued", size, n == 0 ? n_fds : 0);
        if (n == 0 && n_fds > 0)
            send_fds(from, w.data, w.size, n_fds);
        else
            send_part(from, w.data, w.size);
        marshal_free(&w);
        wait_until_read(p, from);
        n++;
    }
    CHECK(n < 1000);
    return n;
}

static void unread_messages_follow(void)
{
    struct plane p;
    plane_open(&p);
    struct client *a = plane_connect(&p, 0), *b = plane_connect(&p, 1);
    uint32_t n = fill(&p, a, ":1.1", 1, 60000, 0);
    REQUIRE(plane_upgrade(&p, 2));
    const struct peer *receiver = bus_peer(&p.relay->bus, 1);
    CHECK(receiver->output.queue.count > 0);
    CHECK(receiver->output.queued_bytes >= 60000);
    CHECK_EQUAL(receiver->user->n_backlogs, 1);
    for (uint32_t i = 0; i < n; i++)
        REQUIRE(client_expects(b, MESSAGE_SIGNAL, "Queued", ":1.0"));
    struct marshal w = client_signal(a, ":1.1", "Last");
    client_send(a, &w);
    CHECK(client_expects(b, MESSAGE_SIGNAL, "Last", ":1.0"));
    client_sync(b);
    CHECK_EQUAL(bus_peer(&p.relay->bus, 1)->output.queued_bytes, 0);
    CHECK_EQUAL(bus_peer(&p.relay->bus, 0)->account->bytes, 0);
    plane_close(&p);
}

/* The socket has taken the beginning of a message. */
static void half_written_message_is_completed(void)
{
    struct plane p;
    plane_open(&p);
    struct client *a = plane_connect(&p, 0), *b = plane_connect(&p, 1);
    struct marshal w = with_body(a, ":1.1", "Long", LONG, 0);
    for (size_t at = 0; at < w.size;) {
        ssize_t n = send(a->fd, w.data + at, w.size - at, MSG_NOSIGNAL | MSG_DONTWAIT);
        at += n > 0 ? (size_t)n : 0;
        if (n < 0)
            plane_settle(&p);
    }
    marshal_free(&w);
    wait_until_read(&p, a);
    const struct peer *receiver = bus_peer(&p.relay->bus, 1);
    CHECK(receiver->output.queue.first && receiver->output.queue_offset > 0);
    for (int i = 0; i < 3; i++)
        REQUIRE(plane_upgrade(&p, 2));
    struct message m;
    REQUIRE(client_expect(b, &m));
    CHECK_EQUAL(m.body_size, LONG + 4);
    client_drop(b, &m);
    client_sync(b);
    plane_close(&p);
}

static void unread_descriptors_follow(void)
{
    struct plane p;
    plane_open(&p);
    struct client *a = plane_connect(&p, 0), *b = plane_connect(&p, 1);
    fill(&p, a, ":1.1", 1, 60000, 0);
    struct marshal w = with_body(a, ":1.1", "Fds", 10, 3);
    send_fds(a, w.data, w.size, 3);
    marshal_free(&w);
    wait_until_read(&p, a);
    REQUIRE(plane_upgrade(&p, 2));
    CHECK_EQUAL(bus_peer(&p.relay->bus, 1)->output.queued_fds, 3);
    CHECK_EQUAL(bus_peer(&p.relay->bus, 0)->account->fds, 3);
    struct message m;
    bool found = false;
    while (!found && client_expect(b, &m)) {
        found = span_equal(m.member, SPAN("Fds"));
        client_drop(b, &m);
    }
    CHECK(found);
    CHECK_EQUAL(b->n_fds, 3);
    client_sync(b);
    CHECK_EQUAL(bus_peer(&p.relay->bus, 0)->account->fds, 0);
    plane_close(&p);
}

/* One message in two queues is one message in the state, and its sender is charged for it once. */
static void broadcast_is_kept_once(void)
{
    struct plane p;
    plane_open(&p);
    struct client *a = plane_connect(&p, 0), *b = plane_connect(&p, 1), *c = plane_connect(&p, 2);
    client_match(b, "member='Queued'");
    client_match(c, "member='Queued'");
    uint32_t n = fill(&p, a, NULL, 1, 60000, 0);
    REQUIRE(plane_upgrade(&p, 3));
    const struct bus *bus = &p.relay->bus;
    const struct delivery *one = bus_peer(bus, 1)->output.queue.last;
    const struct delivery *two = bus_peer(bus, 2)->output.queue.last;
    REQUIRE(one && two);
    CHECK(one->out == two->out);
    CHECK_EQUAL(one->out->references, 2);
    for (uint32_t i = 0; i < n; i++) {
        CHECK(client_expects(b, MESSAGE_SIGNAL, "Queued", ":1.0"));
        CHECK(client_expects(c, MESSAGE_SIGNAL, "Queued", ":1.0"));
    }
    plane_close(&p);
}

static void messages_of_a_peer_that_left_follow(void)
{
    struct plane p;
    plane_open(&p);
    struct client *a = plane_connect(&p, 0), *b = plane_connect(&p, 1);
    uint32_t n = fill(&p, a, ":1.1", 1, 60000, 0);
    client_close(a);
    plane_event(&p, RELAY_EVENT_GONE);
    CHECK_EQUAL(relay_forget(p.relay, 0), 0);
    CHECK_EQUAL(relay_commit(p.relay), 0);
    plane_settle(&p);
    REQUIRE(plane_upgrade(&p, 1));
    for (uint32_t i = 0; i < n; i++)
        CHECK(client_expects(b, MESSAGE_SIGNAL, "Queued", ":1.0"));
    plane_close(&p);
}

static void full_queue_stays_full(void)
{
    struct plane p;
    struct relay_limits limits = plane_limits();
    plane_open(&p);
    limits.max_outgoing_bytes = 100000;
    CHECK_EQUAL(relay_set_limits(p.relay, &limits), 0);
    struct client *a = plane_connect(&p, 0);
    plane_connect(&p, 1);
    fill(&p, a, ":1.1", 1, 60000, 0);
    struct peer *receiver = bus_peer(&p.relay->bus, 1);
    while (quota_has_room(&p.relay->bus, bus_peer(&p.relay->bus, 0), receiver)) {
        struct marshal w = with_body(a, ":1.1", "Queued", 30000, 0);
        client_send(a, &w);
        wait_until_read(&p, a);
    }
    REQUIRE(plane_upgrade(&p, 2));
    struct marshal w = with_body(a, ":1.1", "Refused", 10, 0);
    client_send(a, &w);
    CHECK(client_expects(a, MESSAGE_ERROR, "org.freedesktop.DBus.Error.LimitsExceeded", BUS));
    CHECK_EQUAL(bus_peer(&p.relay->bus, 1)->statistics.refused, 1);
    plane_close(&p);
}

/* A receiver that is charged for its queue itself stays charged, and the bus does not begin to wait anew. */
static void stalled_receiver_stays_stalled(void)
{
    struct plane p;
    plane_open(&p);
    struct client *a = plane_connect(&p, 0);
    plane_connect(&p, 1);
    fill(&p, a, ":1.1", 1, 60000, 0);
    REQUIRE(upgrade_freeze(&p)); /* so that the data plane rests while this thread changes its tables */
    bus_peer(&p.relay->bus, 1)->output.progress -= QUOTA_STALL_TIME;
    upgrade_thaw(&p);
    for (int i = 0; i < PLANE_DEADLINE && !bus_peer(&p.relay->bus, 1)->output.stalled; i++)
        usleep(1000);
    int64_t progress = bus_peer(&p.relay->bus, 1)->output.progress;
    REQUIRE(plane_upgrade(&p, 2));
    const struct peer *receiver = bus_peer(&p.relay->bus, 1);
    CHECK(receiver->output.stalled);
    CHECK_EQUAL(receiver->output.progress, progress);
    CHECK_EQUAL(receiver->account->bytes, receiver->output.queued_bytes);
    CHECK_EQUAL(bus_peer(&p.relay->bus, 0)->account->bytes, 0);
    plane_close(&p);
}

static const struct check_test tests[] = {
    TEST(message_is_cut_at_every_byte),
    TEST(long_message_is_cut),
    TEST(descriptors_wait_for_their_message),
    TEST(time_of_waiting_descriptors_goes_on),
    TEST(unread_messages_follow),
    TEST(half_written_message_is_completed),
    TEST(unread_descriptors_follow),
    TEST(broadcast_is_kept_once),
    TEST(messages_of_a_peer_that_left_follow),
    TEST(full_queue_stays_full),
    TEST(stalled_receiver_stays_stalled),
};

CHECK_MAIN(tests)
