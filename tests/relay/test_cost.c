/* SPDX-License-Identifier: MIT */

/*
 * Queued data is charged at its cost: wherever a message can be queued, the memory that it occupies is
 * at most twice the charge for it.
 */

#define _GNU_SOURCE /* memmem */
#include "bus_fixture.h"

#include "plane_policy.h"

#include "../../transport/relay/send/monitor.h"
#include "../../transport/relay/send/output.h"

#include <errno.h>

#define SENDER 0
#define STUCK 1  /* its socket is full */
#define READER 2 /* read() empties its socket */
#define BUS "org.freedesktop.DBus"

static const uint32_t one_user[PEERS] = {1000, 1000, 1000, 1000};

struct costs {
    struct bus_fixture fixture;
    struct marshal w;
    long memory;
    uint64_t charge;
};

static void turns(struct costs *c)
{
    for (int i = 0; i < 4; i++)
        loop_once(&c->fixture.bus, 0, nothing, NULL);
}

static void drain(struct costs *c, int client)
{
    static char bytes[1 << 16];
    while (recv(c->fixture.ends[client], bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
        continue;
}

/* Writes all of it, however small the socket is. */
static void write_bytes(struct costs *c, const uint8_t *bytes, size_t size)
{
    for (size_t at = 0; at < size;) {
        ssize_t n = send(c->fixture.ends[SENDER], bytes + at, size - at, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && !CHECK(errno == EAGAIN))
            return;
        at += n > 0 ? (size_t)n : 0;
        turns(c);
        drain(c, READER);
    }
    turns(c);
}

static void write_message(struct costs *c)
{
    write_bytes(c, c->w.data, c->w.size);
}

static void make(struct costs *c, uint8_t type, const char *destination, size_t body)
{
    static uint8_t zeros[1 << 16];
    struct marshal_header header = {.type = type,
                                    .serial = 1,
                                    .path = SPAN("/t"),
                                    .interface = SPAN("t.t"),
                                    .member = SPAN("T"),
                                    .destination = span_of(destination),
                                    .signature = SPAN("ay")};
    marshal_begin(&c->w, &header);
    size_t mark = marshal_array_begin(&c->w, 1);
    for (size_t n; body > 0; body -= n) {
        n = body < sizeof(zeros) ? body : sizeof(zeros);
        marshal_raw(&c->w, zeros, n);
    }
    marshal_array_end(&c->w, mark, 1);
    CHECK(marshal_end(&c->w));
}

static void fill(struct costs *c, int client)
{
    char name[16];
    snprintf(name, sizeof(name), ":1.%d", client);
    make(c, MESSAGE_SIGNAL, name, 2000);
    for (int i = 0; i < 1000 && !c->fixture.peers[client]->output.queue.first; i++)
        write_message(c);
    CHECK(c->fixture.peers[client]->output.queue.first);
}

static void costs_open(struct costs *c)
{
    memset(c, 0, sizeof(*c));
    bus_fixture_open(&c->fixture, one_user);
    struct bus *bus = &c->fixture.bus;
    bus->limits.max_outgoing_bytes = bus->limits.max_incoming_bytes = 1u << 30;
    policy_free(bus->policy);
    CHECK_EQUAL(policy_new(&bus->policy, plane_policy, sizeof(plane_policy), 1), 0);
    fill(c, STUCK);
}

static void costs_close(struct costs *c)
{
    bus_fixture_close(&c->fixture);
    marshal_free(&c->w);
}

static void before(struct costs *c, uint64_t charge)
{
    c->memory = check_memory;
    c->charge = charge;
}

/* Checks that everything queued since before() is charged enough. */
static void after(struct costs *c, uint64_t charge)
{
    long grown = check_memory - c->memory;
    long charged = (long)(charge - c->charge);
    if (CHECK(grown > 0) && CHECK(charged > 0) && CHECK(grown <= 2 * charged) && CHECK(charged <= 2 * grown))
        return;
    printf("# %ld bytes more, %ld charged\n", grown, charged);
}

static uint64_t charged(const struct costs *c)
{
    return c->fixture.peers[SENDER]->account->bytes;
}

static void small_messages_in_a_queue(void)
{
    struct costs c;
    costs_open(&c);
    make(&c, MESSAGE_SIGNAL, ":1.1", 20);
    uint64_t queued = c.fixture.peers[STUCK]->output.queued_bytes;
    before(&c, charged(&c));
    for (int i = 0; i < 1000; i++)
        write_message(&c);
    after(&c, charged(&c));
    c.charge = queued;
    after(&c, c.fixture.peers[STUCK]->output.queued_bytes);
    costs_close(&c);
}

/* An emptied queue returns its whole charge. */
static void emptied_queue_returns_its_charge(void)
{
    struct costs c;
    costs_open(&c);
    make(&c, MESSAGE_SIGNAL, ":1.1", 20);
    for (int i = 0; i < 1000; i++)
        write_message(&c);
    for (int i = 0; i < 1000 && c.fixture.peers[STUCK]->output.queue.first; i++) {
        drain(&c, STUCK);
        turns(&c);
    }
    CHECK_EQUAL(c.fixture.peers[STUCK]->output.queued_bytes, 0);
    CHECK_EQUAL(charged(&c), 0);
    costs_close(&c);
}

static void resume(struct costs *c)
{
    struct command_batch *batch = calloc(1, sizeof(*batch));
    if (!CHECK(batch) || !CHECK(batch->first = command_new(COMMAND_RESUME, SENDER, NULL, NULL, 0)))
        return;
    command_batch_apply(&c->fixture.bus, batch, INT64_MAX);
    turns(c);
}

/* Its sender was stopped, so all its messages are in one buffer. */
static void one_message_of_a_long_buffer(void)
{
    struct costs c;
    struct marshal all = {0};
    costs_open(&c);
    marshal_begin(&all, &(struct marshal_header){.type = MESSAGE_SIGNAL});
    all.size = 0;
    make(&c, MESSAGE_METHOD_CALL, BUS, 0);
    marshal_raw(&all, c.w.data, c.w.size);
    make(&c, MESSAGE_SIGNAL, ":1.1", 2200);
    marshal_raw(&all, c.w.data, c.w.size);
    make(&c, MESSAGE_SIGNAL, ":1.2", 2600);
    for (int i = 0; i < 10; i++)
        marshal_raw(&all, c.w.data, c.w.size);
    before(&c, charged(&c));
    for (int i = 0; i < 100; i++) {
        write_bytes(&c, all.data, all.size);
        CHECK(c.fixture.peers[SENDER]->calls.stopped);
        /* the event is taken, as it sits in the peer */
        stack_take(&c.fixture.events.stack);
        resume(&c);
        drain(&c, READER);
        turns(&c);
    }
    CHECK(!c.fixture.peers[SENDER]->input.tail);
    after(&c, charged(&c));
    marshal_free(&all);
    costs_close(&c);
}

/* A buffer from the pool that held a much longer message before. */
static void long_messages_after_a_longer_one(void)
{
    struct costs c;
    costs_open(&c);
    before(&c, charged(&c));
    for (int i = 0; i < 5; i++) {
        make(&c, MESSAGE_SIGNAL, ":1.2", (4u << 20) - 4096);
        write_message(&c);
        for (int j = 0; j < 100 && c.fixture.peers[READER]->output.queue.first; j++) {
            drain(&c, READER);
            turns(&c);
        }
        make(&c, MESSAGE_SIGNAL, ":1.1", (256u << 10) + 2048);
        write_message(&c);
    }
    pool_free(&c.fixture.bus.pool);
    marshal_free(&c.w);
    c.w = (struct marshal){0};
    after(&c, charged(&c));
    costs_close(&c);
}

static void a_long_message_keeps_its_buffer(void)
{
    struct costs c;
    costs_open(&c);
    make(&c, MESSAGE_SIGNAL, ":1.1", 1u << 20);
    before(&c, charged(&c));
    write_message(&c);
    after(&c, charged(&c));
    CHECK(c.fixture.peers[STUCK]->output.queue.last->out->buffer);
    costs_close(&c);
}

/* One copy, and a delivery for each receiver. */
static void a_broadcast_in_several_queues(void)
{
    struct costs c;
    char why[256];
    costs_open(&c);
    for (int i = STUCK; i < PEERS; i += 2) {
        struct match_rule *rule;
        fill(&c, i);
        CHECK_EQUAL(match_rule_parse(SPAN("interface='t.b'"), &rule, why, sizeof(why)), 0);
        struct match_list *list = c.fixture.peers[i]->matches = match_list_new(c.fixture.peers[i]);
        CHECK(list && match_index_add(c.fixture.bus.matches, list, rule));
    }
    make(&c, MESSAGE_SIGNAL, NULL, 20);
    memcpy(memmem(c.w.data, c.w.size, "t.t", 4), "t.b", 3);
    before(&c, charged(&c));
    for (int i = 0; i < 500; i++)
        write_message(&c);
    CHECK(c.fixture.peers[3]->output.queue.count >= 500);
    after(&c, charged(&c));
    costs_close(&c);
}

static void the_queue_of_a_monitor(void)
{
    struct costs c;
    struct monitor *monitor;
    costs_open(&c);
    struct bus *bus = &c.fixture.bus;
    fill(&c, 3);
    CHECK_EQUAL(monitor_new(&monitor, NULL, 0, NULL, 0), 0);
    CHECK_EQUAL(monitor_begin(bus, c.fixture.peers[3], monitor), 0);
    monitor_watch(bus, c.fixture.peers[3]);
    make(&c, MESSAGE_SIGNAL, NULL, 20);
    before(&c, bus->monitors.account->bytes);
    for (int i = 0; i < 500; i++)
        write_message(&c);
    after(&c, bus->monitors.account->bytes);
    costs_close(&c);
}

static void parked_messages(void)
{
    struct costs c;
    costs_open(&c);
    before(&c, charged(&c));
    for (int i = 0; i < 10; i++) {
        char name[16];
        snprintf(name, sizeof(name), "t.n%d", i);
        make(&c, MESSAGE_SIGNAL, name, 20);
        write_message(&c);
    }
    CHECK_EQUAL(c.fixture.peers[SENDER]->calls.n_parked, 10);
    after(&c, charged(&c));
    costs_close(&c);
}

static void a_call_for_the_control_plane(void)
{
    struct costs c;
    costs_open(&c);
    make(&c, MESSAGE_METHOD_CALL, BUS, 100);
    before(&c, charged(&c));
    write_message(&c);
    CHECK(c.fixture.peers[SENDER]->calls.held);
    after(&c, charged(&c));
    costs_close(&c);
}

/* The beginning of an incomplete message is charged to its connection. */
static void the_beginning_of_a_message(void)
{
    const size_t sizes[] = {1u << 20, 100u << 10, 3000, 100};
    for (size_t i = 0; i < CHECK_COUNT(sizes); i++) {
        struct costs c;
        costs_open(&c);
        make(&c, MESSAGE_SIGNAL, ":1.2", 2 * sizes[i]);
        before(&c, peer_waiting_bytes(c.fixture.peers[SENDER]));
        write_bytes(&c, c.w.data, sizes[i]);
        after(&c, peer_waiting_bytes(c.fixture.peers[SENDER]));
        costs_close(&c);
    }
}

static void descriptors_of_a_message_that_has_begun(void)
{
    struct costs c;
    int fds[16];
    char space[CMSG_SPACE(sizeof(fds))] = {0};
    costs_open(&c);
    for (size_t i = 0; i < CHECK_COUNT(fds); i++)
        fds[i] = c.fixture.events.fd;
    make(&c, MESSAGE_SIGNAL, ":1.2", 100);
    struct iovec iov = {c.w.data, 30};
    struct msghdr header = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof(space)};
    *CMSG_FIRSTHDR(&header) = (struct cmsghdr){
        .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(fds))};
    memcpy(CMSG_DATA(CMSG_FIRSTHDR(&header)), fds, sizeof(fds));
    before(&c, peer_waiting_bytes(c.fixture.peers[SENDER]));
    CHECK_EQUAL(sendmsg(c.fixture.ends[SENDER], &header, 0), 30);
    turns(&c);
    CHECK_EQUAL(c.fixture.peers[SENDER]->input.n_fds, 16);
    after(&c, peer_waiting_bytes(c.fixture.peers[SENDER]));
    costs_close(&c);
}

static const struct check_test tests[] = {
    TEST(small_messages_in_a_queue),
    TEST(emptied_queue_returns_its_charge),
    TEST(one_message_of_a_long_buffer),
    TEST(long_messages_after_a_longer_one),
    TEST(a_long_message_keeps_its_buffer),
    TEST(a_broadcast_in_several_queues),
    TEST(the_queue_of_a_monitor),
    TEST(parked_messages),
    TEST(a_call_for_the_control_plane),
    TEST(the_beginning_of_a_message),
    TEST(descriptors_of_a_message_that_has_begun),
};
CHECK_MAIN(tests)
