/* SPDX-License-Identifier: MIT */
#include "check.h"
#include "policy_draft.h"

#include "../../transport/relay/api/relay.h"

#include <errno.h>

#define A "org.example.A"
#define B "org.example.B"
#define FILE_NAME "/etc/bus.conf"
#define ANSWERED 100 /* allocations that are enough for any question */

static const uint32_t groups[] = {50, 7};

/* All may talk to A, group 7 may not to B. */
static const struct rule_draft rules[] = {
    {.kind = POLICY_SEND, .allow = true, .destination = A},
    {.kind = POLICY_SEND, .allow = true, .destination = B},
    {.kind = POLICY_SEND,
     .destination = B,
     .context = POLICY_GROUP,
     .principal = 7,
     .file = FILE_NAME,
     .line = 12},
    {.kind = POLICY_OWN, .allow = true, .destination = A, .context = POLICY_USER, .principal = 1},
    {.kind = POLICY_CONNECT_GROUP, .allow = true, .principal = 7},
};

static struct policy_draft draft;

static struct policy *policy_open(void)
{
    struct policy *policy = NULL;
    policy_draft(&draft, rules, CHECK_COUNT(rules));
    CHECK_EQUAL(relay_policy_new(&policy, draft.data, draft.size), 0);
    return policy;
}

static int ask(struct policy *policy, const char *destination, struct relay_verdict *verdict)
{
    const struct relay_header call = {.type = MESSAGE_METHOD_CALL, .destination = destination};
    return relay_policy_can_send(policy, 5, groups, 2, false, &call, verdict);
}

static void a_bad_block_is_refused(void)
{
    struct policy *policy = NULL;
    policy_draft(&draft, rules, CHECK_COUNT(rules));
    draft.data[0] ^= 1;
    CHECK_EQUAL(relay_policy_new(&policy, draft.data, draft.size), -EINVAL);
    CHECK(!policy);
    relay_policy_free(NULL);
}

static void policy_load_without_memory_fails(void)
{
    struct policy *policy = NULL;
    policy_draft(&draft, rules, CHECK_COUNT(rules));
    int error = -ENOMEM;
    long n = 0;
    for (; n < ANSWERED && error == -ENOMEM; n++) {
        check_allocations = n;
        error = relay_policy_new(&policy, draft.data, draft.size);
    }
    check_allocations = -1;
    CHECK(n > 1 && error == 0);
    relay_policy_free(policy);
}

/* A question is an error without memory for it, and answered as soon as there is some again. */
static void no_memory_for_a_question(void)
{
    struct relay_verdict verdict = {.matched = 17};
    long n = 0;
    for (int error = -ENOMEM; n < ANSWERED && error < 0; n++) {
        struct policy *policy = policy_open();
        check_allocations = n;
        error = ask(policy, A, &verdict);
        check_allocations = -1;
        CHECK(error == 0 || (error == -ENOMEM && verdict.matched == 17));
        CHECK_EQUAL(ask(policy, A, &verdict), 0);
        CHECK(verdict.allow && verdict.matched == 1);
        verdict.matched = 17;
        relay_policy_free(policy);
    }
    CHECK(n > 2 && n < ANSWERED);
    int answer = -ENOMEM;
    for (n = 0; n < ANSWERED && answer < 0; n++) {
        struct policy *policy = policy_open();
        check_allocations = n;
        answer = relay_policy_can_own(policy, 1, NULL, 0, false, A);
        check_allocations = -1;
        CHECK(answer == 1 || answer == -ENOMEM);
        relay_policy_free(policy);
    }
    CHECK(n > 2 && answer == 1);
}

static void a_verdict_names_its_rule(void)
{
    struct policy *policy = policy_open();
    struct relay_verdict verdict;
    CHECK_EQUAL(ask(policy, A, &verdict), 0);
    CHECK(verdict.allow && !verdict.file && verdict.line == 0);
    CHECK_EQUAL(ask(policy, B, &verdict), 0);
    CHECK(!verdict.allow && verdict.matched == 2);
    CHECK_SPAN(span_of(verdict.file), FILE_NAME);
    CHECK_EQUAL(verdict.line, 12);
    CHECK_EQUAL(ask(policy, "org.example.Other", &verdict), 0);
    CHECK(!verdict.allow && verdict.matched == 0 && !verdict.file);
    relay_policy_free(policy);
}

static void the_peer_that_asks_counts(void)
{
    struct policy *policy = policy_open();
    CHECK_EQUAL(relay_policy_can_own(policy, 1, groups, 2, false, A), 1);
    CHECK_EQUAL(relay_policy_can_own(policy, 1, groups, 2, false, B), 0);
    CHECK_EQUAL(relay_policy_can_own(policy, 2, groups, 2, false, A), 0);
    CHECK_EQUAL(relay_policy_can_own(policy, POLICY_ANY, NULL, 0, false, A), 0);
    CHECK(relay_policy_can_connect(policy, 5, groups, 2, 0));
    CHECK(!relay_policy_can_connect(policy, 5, groups, 1, 0));
    CHECK(relay_policy_can_connect(policy, 5, NULL, 0, 5));
    relay_policy_free(policy);
}

/* Identities and roles are forgotten when they have become many, although no message is judged here. */
static void questions_do_not_pile_up(void)
{
    enum { USERS = 3 * POLICY_TOGETHER_MAX / 2 };
    struct policy *policy;
    policy_draft_begin(&draft);
    for (uint32_t i = 0; i < USERS; i++) {
        const struct rule_draft rule = {
            .kind = POLICY_OWN, .allow = i % 2, .destination = A, .context = POLICY_USER, .principal = i};
        policy_draft_add(&draft, &rule);
    }
    policy_draft_end(&draft);
    REQUIRE(relay_policy_new(&policy, draft.data, draft.size) == 0);
    for (uint32_t i = 0; i < USERS; i++) {
        CHECK_EQUAL(relay_policy_can_own(policy, i, NULL, 0, false, A), i % 2);
        CHECK(policy->identities.count <= POLICY_TOGETHER_MAX + 1);
    }
    CHECK(policy->identities.count < USERS);
    relay_policy_free(policy);
}

static const struct check_test tests[] = {
    TEST(a_bad_block_is_refused),   TEST(policy_load_without_memory_fails), TEST(no_memory_for_a_question),
    TEST(a_verdict_names_its_rule), TEST(the_peer_that_asks_counts),        TEST(questions_do_not_pile_up),
};

CHECK_MAIN(tests)
