/* SPDX-License-Identifier: MIT */
/* Tables that are bounded by constants, not by a <limit>. */
#include "bus_fixture.h"
#include "policy_draft.h"

#include "../../transport/relay/send/judge.h"
#include "../../transport/relay/state/log.h"

static const uint32_t uids[PEERS] = {1000, 1001, 1002, 1003};

static void log_lines_are_bounded(void)
{
    struct bus_fixture f;
    size_t bytes = 0;
    bus_fixture_open(&f, uids);
    for (uint32_t i = 0; i < LOG_LINES_MAX; i++) {
        CHECK_EQUAL(f.bus.n_log, i);
        log_line(&f.bus, LOG_WARNING,
                 "a line of a hundred bytes, as they mostly are: %s (%s) was disconnected %u", ":1.4711",
                 "uid=1000 pid=1 comm=\"/usr/bin/x\"", i);
    }
    CHECK_EQUAL(f.bus.log_lost, 0);
    log_line(&f.bus, LOG_WARNING, "one too many");
    CHECK_EQUAL(f.bus.n_log, LOG_LINES_MAX);
    CHECK_EQUAL(f.bus.log_lost, 1);
    struct stack_node *node = atomic_load(&f.events.stack.top);
    for (; node; node = node->next)
        bytes += sizeof(struct event) + CONTAINER_OF(node, struct event, node)->view.body_size;
    printf("# a line: %zu bytes\n", bytes / LOG_LINES_MAX);
    CHECK(bytes / LOG_LINES_MAX < 600);
    f.bus.n_log = LOG_LINES_ENOUGH - 1; /* after the others were read, the next line reports the lost ones */
    log_line(&f.bus, LOG_WARNING, "there is room again");
    CHECK_EQUAL(f.bus.n_log, LOG_LINES_ENOUGH + 1);
    CHECK_EQUAL(f.bus.log_lost, 0);
    bus_fixture_close(&f);
}

/* Only a client that owns many different sets of the policy's names creates so many roles. */
static void policy_roles_are_bounded(void)
{
    static struct policy_draft draft;
    static char names[POLICY_TOGETHER_MAX + 1][32];
    struct policy *policy;
    policy_draft_begin(&draft);
    for (uint32_t i = 0; i <= POLICY_TOGETHER_MAX; i++) {
        snprintf(names[i], sizeof(names[i]), "org.example.N%u", i);
        const struct rule_draft rule = {.kind = POLICY_SEND, .allow = true, .destination = names[i]};
        policy_draft_add(&draft, &rule);
    }
    policy_draft_end(&draft);
    REQUIRE(policy_new(&policy, draft.data, draft.size, 1) == 0);
    struct bus bus = {.policy = policy};
    const struct message m = {.type = MESSAGE_SIGNAL};
    const struct policy_case bus_says = {.m = &m};
    for (uint32_t i = 0; i < POLICY_TOGETHER_MAX; i++) {
        REQUIRE(policy_role_of_name(policy, span_of(names[i])));
        CHECK_EQUAL(policy->roles.count, i + 1);
        CHECK(!policy_is_full(policy));
    }
    const uint64_t generation = policy->generation;
    REQUIRE(policy_role_of_name(policy, span_of(names[POLICY_TOGETHER_MAX])));
    CHECK(policy_is_full(policy));
    judge_outcome(&bus, &bus_says);
    CHECK(!policy_is_full(policy));
    CHECK_EQUAL(policy->generation, generation + 1);
    policy_free(policy);
}

static const struct check_test tests[] = {
    TEST(log_lines_are_bounded),
    TEST(policy_roles_are_bounded),
};

CHECK_MAIN(tests)
