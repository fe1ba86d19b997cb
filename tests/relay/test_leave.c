/* SPDX-License-Identifier: MIT */
/* A leaving peer delays no other peer, however many objects it leaves behind. */
#include "bus_fixture.h"
#include "plane_policy.h"

#include "../../transport/relay/accept/leave.h"

#define N 20000u

enum { CALLER, CALLEE, BYSTANDER, OTHER };

static const uint32_t uids[PEERS] = {1000, 1001, 1002, 1003};

static void open_calls(struct bus_fixture *f)
{
    bus_fixture_open(f, uids);
    policy_free(f->bus.policy);
    CHECK_EQUAL(policy_new(&f->bus.policy, plane_policy, sizeof(plane_policy), 1), 0);
    for (uint32_t i = 1; i <= N; i++)
        REQUIRE(replies_add(&f->bus.replies, f->peers[CALLER], f->peers[CALLEE], i, 1));
}

/* Acts as the control plane: takes the event, which is part of the peer, and forgets the peer. */
static void forget(struct bus_fixture *f, int i)
{
    stack_take(&f->events.stack);
    leave_forget(&f->bus, f->peers[i]);
}

static void drain(int fd)
{
    char bytes[1u << 16];
    while (recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
        continue;
}

static void send_ping(struct bus_fixture *f)
{
    struct marshal w = {0};
    marshal_begin(&w, &(struct marshal_header){.type = MESSAGE_SIGNAL,
                                               .serial = 1,
                                               .path = SPAN("/"),
                                               .interface = SPAN("i.f"),
                                               .member = SPAN("Ping"),
                                               .destination = SPAN(":1.3")});
    REQUIRE(marshal_end(&w));
    CHECK_EQUAL(send(f->ends[BYSTANDER], w.data, w.size, 0), w.size);
    marshal_free(&w);
}

/* The number of turns until all are settled; a bystander's message is delivered in the first. */
static unsigned turns_until_settled(struct bus_fixture *f)
{
    char byte;
    unsigned turns = 0;
    send_ping(f);
    while (f->bus.replies.table.count > 0 && turns < N) {
        loop_once(&f->bus, 0, nothing, NULL);
        drain(f->ends[CALLER]);
        turns++;
        if (turns == 1)
            CHECK_EQUAL(recv(f->ends[OTHER], &byte, 1, MSG_DONTWAIT), 1);
    }
    return turns;
}

/* Pending calls to it are answered in turns of LEAVE_TIME, each exactly once. */
static void pending_calls_to_a_leaving_peer_are_answered_in_turns(void)
{
    struct bus_fixture f;
    open_calls(&f);
    bus_lose(&f.bus, f.peers[CALLEE], RELAY_GONE_CLOSED);
    forget(&f, CALLEE);
    CHECK_EQUAL(f.bus.replies.table.count, N - LEAVE_STEPS);
    CHECK(turns_until_settled(&f) >= 5);
    CHECK(list_empty(&f.bus.unsettled));
    CHECK_EQUAL(f.peers[CALLER]->statistics.messages_out, N);
    bus_fixture_close(&f);
}

/* Its own calls are dropped likewise; no reply to them is expected any more. */
static void pending_calls_of_a_leaving_peer_are_dropped_in_turns(void)
{
    struct bus_fixture f;
    open_calls(&f);
    bus_lose(&f.bus, f.peers[CALLER], RELAY_GONE_CLOSED);
    CHECK(!reply_awaited(f.peers[CALLER]));
    forget(&f, CALLER);
    CHECK_EQUAL(f.bus.replies.table.count, N - LEAVE_STEPS);
    CHECK(turns_until_settled(&f) >= 2);
    CHECK_EQUAL(f.peers[CALLEE]->statistics.messages_out, 0);
    bus_fixture_close(&f);
}

/* The callee leaves while the departed caller still has pending calls to it. */
static void caller_and_callee_may_both_leave(void)
{
    struct bus_fixture f;
    open_calls(&f);
    bus_lose(&f.bus, f.peers[CALLER], RELAY_GONE_CLOSED);
    bus_lose(&f.bus, f.peers[CALLEE], RELAY_GONE_CLOSED);
    forget(&f, CALLEE);
    forget(&f, CALLER);
    turns_until_settled(&f);
    loop_once(&f.bus, 0, nothing, NULL);
    CHECK(list_empty(&f.bus.unsettled));
    bus_fixture_close(&f);
}

/* The bus ends meanwhile, without leaks. */
static void bus_end_frees_leaving_peers(void)
{
    struct bus_fixture f;
    open_calls(&f);
    bus_lose(&f.bus, f.peers[CALLEE], RELAY_GONE_CLOSED);
    forget(&f, CALLEE);
    CHECK(!list_empty(&f.bus.unsettled));
    bus_fixture_close(&f);
}

/* Calls that expire all at once are answered a few per turn. */
static void expired_calls_are_answered_in_turns(void)
{
    struct bus_fixture f;
    unsigned turns = 0;
    open_calls(&f);
    f.bus.limits.reply_timeout = 1;
    for (; f.bus.replies.table.count > 0 && turns < N; turns++) {
        uint32_t before = f.bus.replies.table.count;
        loop_once(&f.bus, 0, nothing, NULL);
        CHECK(before - f.bus.replies.table.count <= 64);
        drain(f.ends[CALLER]);
    }
    CHECK_EQUAL(turns, (N + 63) / 64);
    bus_fixture_close(&f);
}

/* Commands of the control plane, one for each name of a departed peer: applied until the turn's time is over.
 */
static void commands_wait_for_the_next_turn(void)
{
    struct bus_fixture f;
    uint64_t owner = CALLEE;
    char name[64];
    const char *const texts[COMMAND_TEXTS] = {name};
    bus_fixture_open(&f, uids);
    struct command_batch *batch = calloc(1, sizeof(*batch));
    REQUIRE(batch);
    for (unsigned i = 0; i < 100; i++) {
        snprintf(name, sizeof(name), "org.example.Name%u", i);
        struct command *command = command_new(COMMAND_SET_QUEUE, 0, texts, &owner, sizeof(owner));
        REQUIRE(command && (command->name = name_new(command->text[0], 1)));
        *(batch->last ? &batch->last->next : &batch->first) = command;
        batch->last = command;
    }
    uint32_t before = 0;
    while (!command_batch_apply(&f.bus, batch, 0)) {
        CHECK(f.bus.registry.names.count > before && f.bus.registry.names.count <= before + 8);
        before = f.bus.registry.names.count;
    }
    CHECK_EQUAL(f.bus.registry.names.count, 100);
    bus_fixture_close(&f);
}

static const struct check_test tests[] = {
    TEST(pending_calls_to_a_leaving_peer_are_answered_in_turns),
    TEST(pending_calls_of_a_leaving_peer_are_dropped_in_turns),
    TEST(caller_and_callee_may_both_leave),
    TEST(bus_end_frees_leaving_peers),
    TEST(expired_calls_are_answered_in_turns),
    TEST(commands_wait_for_the_next_turn),
};

CHECK_MAIN(tests)
