/* SPDX-License-Identifier: MIT */
/* One that leaves makes nobody else wait, whatever it leaves behind. */
#include "plane_policy.h"
#include "yard.h"

#include "../../transport/relay/accept/leave.h"

#define N 20000u

enum { CALLER, CALLEE, BYSTANDER, OTHER };

static const uint32_t uids[PEERS] = {1000, 1001, 1002, 1003};

static void open_calls(struct yard *y)
{
    yard_open(y, uids);
    policy_free(y->bus.policy);
    CHECK_EQUAL(policy_new(&y->bus.policy, plane_policy, sizeof(plane_policy), 1), 0);
    for (uint32_t i = 1; i <= N; i++)
        REQUIRE(replies_add(&y->bus.replies, y->peers[CALLER], y->peers[CALLEE], i, 1));
}

/* As the control plane has it: it takes the event, which is the peer's, and has the peer forgotten. */
static void forget(struct yard *y, int i)
{
    stack_take(&y->events.stack);
    leave_forget(&y->bus, y->peers[i]);
}

static void drain(int fd)
{
    char bytes[1u << 16];
    while (recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
        continue;
}

static void say_ping(struct yard *y)
{
    struct marshal w = {0};
    marshal_begin(&w, &(struct marshal_header){.type = MESSAGE_SIGNAL,
                                               .serial = 1,
                                               .path = SPAN("/"),
                                               .interface = SPAN("i.f"),
                                               .member = SPAN("Ping"),
                                               .destination = SPAN(":1.3")});
    REQUIRE(marshal_end(&w));
    CHECK_EQUAL(send(y->ends[BYSTANDER], w.data, w.size, 0), w.size);
    marshal_free(&w);
}

/* How many turns until all are settled; a bystander's message goes through in the first. */
static unsigned turns_until_settled(struct yard *y)
{
    char byte;
    unsigned turns = 0;
    say_ping(y);
    while (y->bus.replies.table.count > 0 && turns < N) {
        loop_once(&y->bus, 0, nothing, NULL);
        drain(y->ends[CALLER]);
        turns++;
        if (turns == 1)
            CHECK_EQUAL(recv(y->ends[OTHER], &byte, 1, MSG_DONTWAIT), 1);
    }
    return turns;
}

/* Calls that wait for it are answered in turns of LEAVE_TIME, all of them and once. */
static void the_calls_that_it_owes(void)
{
    struct yard y;
    open_calls(&y);
    bus_lose(&y.bus, y.peers[CALLEE], RELAY_GONE_CLOSED);
    forget(&y, CALLEE);
    CHECK_EQUAL(y.bus.replies.table.count, N - LEAVE_STEPS);
    CHECK(turns_until_settled(&y) >= 5);
    CHECK(list_empty(&y.bus.unsettled));
    CHECK_EQUAL(y.peers[CALLER]->statistics.messages_out, N);
    yard_close(&y);
}

/* Its own calls are forgotten likewise; no answer to them is expected any more. */
static void the_calls_that_it_made(void)
{
    struct yard y;
    open_calls(&y);
    bus_lose(&y.bus, y.peers[CALLER], RELAY_GONE_CLOSED);
    CHECK(!reply_awaited(y.peers[CALLER]));
    forget(&y, CALLER);
    CHECK_EQUAL(y.bus.replies.table.count, N - LEAVE_STEPS);
    CHECK(turns_until_settled(&y) >= 2);
    CHECK_EQUAL(y.peers[CALLEE]->statistics.messages_out, 0);
    yard_close(&y);
}

/* The callee leaves while the caller, which is gone, still has calls to it. */
static void both_ends(void)
{
    struct yard y;
    open_calls(&y);
    bus_lose(&y.bus, y.peers[CALLER], RELAY_GONE_CLOSED);
    bus_lose(&y.bus, y.peers[CALLEE], RELAY_GONE_CLOSED);
    forget(&y, CALLEE);
    forget(&y, CALLER);
    turns_until_settled(&y);
    loop_once(&y.bus, 0, nothing, NULL);
    CHECK(list_empty(&y.bus.unsettled));
    yard_close(&y);
}

/* The bus ends meanwhile: nothing is leaked. */
static void the_bus_ends(void)
{
    struct yard y;
    open_calls(&y);
    bus_lose(&y.bus, y.peers[CALLEE], RELAY_GONE_CLOSED);
    forget(&y, CALLEE);
    CHECK(!list_empty(&y.bus.unsettled));
    yard_close(&y);
}

/* Calls whose time is over all at once are answered some a turn. */
static void calls_that_expire_together(void)
{
    struct yard y;
    unsigned turns = 0;
    open_calls(&y);
    y.bus.limits.reply_timeout = 1;
    for (; y.bus.replies.table.count > 0 && turns < N; turns++) {
        uint32_t before = y.bus.replies.table.count;
        loop_once(&y.bus, 0, nothing, NULL);
        CHECK(before - y.bus.replies.table.count <= 64);
        drain(y.ends[CALLER]);
    }
    CHECK_EQUAL(turns, (N + 63) / 64);
    yard_close(&y);
}

/* Commands of the control plane, one for each name of one that left: they are applied until the time is over.
 */
static void commands_wait_for_the_next_turn(void)
{
    struct yard y;
    uint64_t owner = CALLEE;
    char name[64];
    const char *const texts[COMMAND_TEXTS] = {name};
    yard_open(&y, uids);
    struct command_batch *batch = calloc(1, sizeof(*batch));
    REQUIRE(batch);
    for (unsigned i = 0; i < 100; i++) {
        snprintf(name, sizeof(name), "org.example.Name%u", i);
        struct command *command = command_new(COMMAND_SET_QUEUE, 0, texts, &owner, sizeof(owner));
        REQUIRE(command);
        command->serial = 1;
        *(batch->last ? &batch->last->next : &batch->first) = command;
        batch->last = command;
    }
    uint32_t before = 0;
    while (!command_batch_apply(&y.bus, batch, 0)) {
        CHECK(y.bus.registry.names.count > before && y.bus.registry.names.count <= before + 8);
        before = y.bus.registry.names.count;
    }
    CHECK_EQUAL(y.bus.registry.names.count, 100);
    yard_close(&y);
}

static const struct check_test tests[] = {
    TEST(the_calls_that_it_owes), TEST(the_calls_that_it_made),     TEST(both_ends),
    TEST(the_bus_ends),           TEST(calls_that_expire_together), TEST(commands_wait_for_the_next_turn),
};

CHECK_MAIN(tests)
