/* SPDX-License-Identifier: MIT */
#include "check.h"
#include "policy_draft.h"

#include "../../transport/relay/send/judge.h"

#include <errno.h>

#define PEERS 3u
#define A "org.example.A"

/* Whoever says "An.Interface" to A is refused; the rest is allowed. */
static const struct rule_draft rules[] = {
    {.kind = POLICY_SEND, .allow = true},
    {.kind = POLICY_RECEIVE, .allow = true},
    {.kind = POLICY_SEND, .destination = A, .interface = "An.Interface"},
    {.kind = POLICY_OWN, .allow = true, .destination = A},
};

static const struct message call = {.type = MESSAGE_METHOD_CALL,
                                    .destination = {A, sizeof(A) - 1},
                                    .path = {"/", 1},
                                    .interface = {"An.Interface", 12},
                                    .member = {"Member", 6}};

struct court {
    struct bus bus;
    struct peer *peers[PEERS];
};

static struct policy_draft draft;

static bool court_open(struct court *court)
{
    memset(court, 0, sizeof(*court));
    court->bus.n_log = UINT32_MAX; /* nobody reads it */
    policy_draft(&draft, rules, CHECK_COUNT(rules));
    if (policy_new(&court->bus.policy, draft.data, draft.size, 1) < 0 ||
        registry_init(&court->bus.registry) < 0)
        return CHECK(!"no court");
    for (uint32_t i = 0; i < PEERS; i++) {
        const struct relay_credentials credentials = {.uid = i, .loginfo = "uid=0"};
        court->peers[i] = peer_new(i, -1, &credentials);
        if (!CHECK(court->peers[i] != NULL))
            return false;
    }
    return true;
}

static void court_close(struct court *court)
{
    registry_free(&court->bus.registry);
    for (uint32_t i = 0; i < PEERS; i++)
        peer_free(court->peers[i]);
    policy_free(court->bus.policy);
}

static void court_own(struct court *court, const char *name, uint32_t peer)
{
    struct peer *const queue[] = {court->peers[peer % PEERS]};
    CHECK_EQUAL(registry_set_queue(&court->bus.registry, span_of(name), queue, peer < PEERS), 0);
}

static bool court_judge(struct court *court, uint32_t sender, uint32_t recipient)
{
    const struct policy_case c = {
        .m = &call, .sender = court->peers[sender], .recipient = court->peers[recipient]};
    return judge(&court->bus, &c, NULL);
}

static void a_block_is_one_or_is_refused(void)
{
    struct policy *policy;
    policy_draft(&draft, rules, CHECK_COUNT(rules));
    static uint8_t changed[sizeof(draft.data)];
    const struct {
        const char *what;
        uint32_t at;
        uint8_t value;
    } cases[] = {{"magic", 0, 'o'},
                 {"size of a rule", 12, 65},
                 {"more rules than there are", 8, 6},
                 {"strings in rules", 16, 0},
                 {"longer strings", 21, 0xff},
                 {"no strings", 20, 0},
                 {"kind", 32, 0},
                 {"kind", 32, 6},
                 {"context", 34, 6},
                 {"type", 35, 5},
                 {"text", 32 + 64 * 2 + 9, 1},
                 {"text", 32 + 64 * 2 + 19, 0xff},
                 {"name", 32 + 64 * 3 + 9, 1}};
    for (size_t i = 0; i < CHECK_COUNT(cases); i++) {
        check_case = cases[i].what;
        memcpy(changed, draft.data, draft.size);
        changed[cases[i].at] = cases[i].value;
        CHECK_EQUAL(policy_new(&policy, changed, draft.size, 1), -EINVAL);
    }
    check_case = "cut short";
    for (uint32_t n = 0; n < draft.size; n++)
        CHECK_EQUAL(policy_new(&policy, draft.data, n, 1), -EINVAL);
}

static void no_memory_for_a_policy(void)
{
    struct policy *policy;
    int error = -ENOMEM;
    policy_draft(&draft, rules, CHECK_COUNT(rules));
    for (long n = 0; n < 100 && error < 0; n++) {
        check_allocations = n;
        error = policy_new(&policy, draft.data, draft.size, 1);
        CHECK(error == 0 || error == -ENOMEM);
    }
    check_allocations = -1;
    REQUIRE(error == 0);
    policy_free(policy);
}

/* Who can't be judged is refused, and judged when there is memory again. */
static void no_memory_for_a_verdict(void)
{
    struct court court;
    REQUIRE(court_open(&court));
    court_own(&court, "org.example.B", 1);
    long n = 0;
    for (bool allowed = false; n < 100 && !allowed; n++) {
        check_allocations = n;
        allowed = court_judge(&court, 0, 1);
    }
    check_allocations = -1;
    CHECK(n > 3 && n < 100);
    CHECK(court_judge(&court, 0, 1));
    court_close(&court);
}

static void names_count_from_the_moment_they_change(void)
{
    struct court court;
    REQUIRE(court_open(&court));
    CHECK(court_judge(&court, 0, 1));
    court_own(&court, A, 1);
    CHECK(!court_judge(&court, 0, 1));
    CHECK(court_judge(&court, 0, 2));
    court_own(&court, A, 2);
    CHECK(court_judge(&court, 0, 1));
    CHECK(!court_judge(&court, 0, 2));
    /* waiting for it is as good as having it */
    struct peer *const queue[] = {court.peers[2], court.peers[1]};
    CHECK_EQUAL(registry_set_queue(&court.bus.registry, SPAN(A), queue, 2), 0);
    CHECK(!court_judge(&court, 0, 1));
    court_own(&court, A, PEERS);
    CHECK(court_judge(&court, 0, 1));
    CHECK(court_judge(&court, 0, 2));
    court_close(&court);
}

static void who_is_not_there_is_judged_by_the_name_in_the_message(void)
{
    struct court court;
    struct message other = call;
    other.destination = SPAN("org.example.Other");
    REQUIRE(court_open(&court));
    struct policy_case c = {.m = &call, .sender = court.peers[0]};
    CHECK(!judge(&court.bus, &c, NULL));
    c.m = &other;
    CHECK(judge(&court.bus, &c, NULL));
    court_close(&court);
}

/* Ever other names make ever other roles; they are forgotten together, and verdicts stay the same. */
static void roles_do_not_pile_up(void)
{
    enum { NAMES = 11 };
    struct court court;
    char names[NAMES][32];
    REQUIRE(court_open(&court));
    policy_draft_begin(&draft);
    for (size_t i = 0; i < CHECK_COUNT(rules); i++)
        policy_draft_add(&draft, &rules[i]);
    for (int i = 0; i < NAMES; i++) {
        snprintf(names[i], sizeof(names[i]), "org.example.N%d", i);
        const struct rule_draft rule = {.kind = POLICY_SEND, .allow = true, .destination = names[i]};
        policy_draft_add(&draft, &rule);
    }
    policy_draft_end(&draft);
    policy_free(court.bus.policy);
    REQUIRE(policy_new(&court.bus.policy, draft.data, draft.size, 1) == 0);
    court_own(&court, A, 1);
    const uint64_t generation = court.bus.policy->generation;
    for (unsigned chosen = 0; chosen < 1u << NAMES; chosen++) {
        for (int i = 0; i < NAMES; i++)
            court_own(&court, names[i], chosen >> i & 1 ? 1 : PEERS);
        /* an allow rule about one of the names comes after the deny rule about A */
        CHECK_EQUAL(court_judge(&court, 0, 1), chosen != 0);
        CHECK(court_judge(&court, 0, 2));
        CHECK(court.bus.policy->roles.count < 1100);
    }
    CHECK(court.bus.policy->generation > generation);
    court_close(&court);
}

/* Users and groups that no rule mentions are all the same, and no group counts twice. */
static void identities_are_shared(void)
{
    const uint32_t gids[] = {7, 4, 7}, others[] = {4, 9, 7, 1};
    const struct rule_draft more[] = {
        {.kind = POLICY_SEND, .allow = true, .context = POLICY_GROUP, .principal = 4},
        {.kind = POLICY_SEND, .context = POLICY_GROUP, .principal = 7},
        {.kind = POLICY_SEND, .allow = true, .context = POLICY_USER, .principal = 1},
    };
    struct policy *policy;
    policy_draft(&draft, more, CHECK_COUNT(more));
    REQUIRE(policy_new(&policy, draft.data, draft.size, 1) == 0);
    const struct identity *identity = policy_identity(policy, 5, gids, 3, false);
    REQUIRE(identity != NULL);
    CHECK_EQUAL(identity->n_sections, 2);
    CHECK(policy_identity(policy, 6, others, 4, true) == identity);
    CHECK(policy_identity(policy, POLICY_ANY, gids, 2, false) == identity);
    CHECK(policy_identity(policy, 1, gids, 3, false) != identity);
    CHECK(policy_identity(policy, 5, gids, 1, false) != identity);
    policy_free(policy);
}

/* Of the rules about a name, and about those that it is below, the last decides. */
static void names_may_be_owned(void)
{
    const struct rule_draft more[] = {
        {.kind = POLICY_OWN, .allow = true, .destination = "void"},
        {.kind = POLICY_OWN},
        {.kind = POLICY_SEND, .allow = true},
        {.kind = POLICY_OWN, .allow = true, .destination = A, .flags = POLICY_PREFIX},
        {.kind = POLICY_OWN, .destination = A ".B"},
        {.kind = POLICY_OWN, .allow = true, .destination = A ".B", .context = POLICY_USER, .principal = 1},
    };
    const struct {
        const char *name;
        bool may, may_user;
    } cases[] = {{A, true, true},       {A ".C", true, true},  {A ".B", false, true}, {A ".B.C", true, true},
                 {A "B", false, false}, {"org", false, false}, {"void", false, false}};
    struct policy *policy;
    policy_draft(&draft, more, CHECK_COUNT(more));
    REQUIRE(policy_new(&policy, draft.data, draft.size, 1) == 0);
    const struct identity *other = policy_identity(policy, 5, NULL, 0, false);
    const struct identity *user = policy_identity(policy, 1, NULL, 0, false);
    REQUIRE(other && user);
    for (size_t i = 0; i < CHECK_COUNT(cases); i++) {
        check_case = cases[i].name;
        CHECK_EQUAL(policy_can_own(other, span_of(cases[i].name)), cases[i].may);
        CHECK_EQUAL(policy_can_own(user, span_of(cases[i].name)), cases[i].may_user);
    }
    policy_free(policy);
}

static const struct check_test tests[] = {
    TEST(a_block_is_one_or_is_refused),
    TEST(no_memory_for_a_policy),
    TEST(no_memory_for_a_verdict),
    TEST(names_count_from_the_moment_they_change),
    TEST(who_is_not_there_is_judged_by_the_name_in_the_message),
    TEST(roles_do_not_pile_up),
    TEST(identities_are_shared),
    TEST(names_may_be_owned),
};

CHECK_MAIN(tests)
