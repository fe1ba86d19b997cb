/* SPDX-License-Identifier: MIT */
#include "check.h"
#include "policy_draft.h"

#include "../../transport/relay/send/judge.h"

#include <errno.h>

#define PEERS 3u
#define A "org.example.A"

/* Messages of "An.Interface" to A are denied; the rest is allowed. */
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

struct policy_fixture {
    struct bus bus;
    struct peer *peers[PEERS];
};

static struct policy_draft draft;

static bool fixture_open(struct policy_fixture *fixture)
{
    memset(fixture, 0, sizeof(*fixture));
    fixture->bus.n_log = UINT32_MAX; /* discard log lines */
    policy_draft(&draft, rules, CHECK_COUNT(rules));
    if (policy_new(&fixture->bus.policy, draft.data, draft.size, 1) < 0 ||
        registry_init(&fixture->bus.registry, &fixture->bus.policy) < 0)
        return CHECK(false && "no fixture");
    for (uint32_t i = 0; i < PEERS; i++) {
        const struct relay_credentials credentials = {.uid = i, .loginfo = "uid=0"};
        fixture->peers[i] = peer_new(i, -1, &credentials);
        if (!CHECK(fixture->peers[i] != NULL))
            return false;
    }
    return true;
}

static void fixture_close(struct policy_fixture *fixture)
{
    registry_free(&fixture->bus.registry);
    for (uint32_t i = 0; i < PEERS; i++)
        peer_free(fixture->peers[i]);
    policy_free(fixture->bus.policy);
}

static void fixture_own(struct policy_fixture *fixture, const char *name, uint32_t peer)
{
    struct peer *const queue[] = {fixture->peers[peer % PEERS]};
    CHECK_EQUAL(registry_set_queue(&fixture->bus.registry, span_of(name), queue, peer < PEERS), 0);
}

static bool fixture_judge(struct policy_fixture *fixture, uint32_t sender, uint32_t recipient)
{
    const struct policy_case c = {
        .m = &call, .sender = fixture->peers[sender], .recipient = fixture->peers[recipient]};
    return judge(&fixture->bus, &c, NULL);
}

static void malformed_block_is_refused(void)
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

static void policy_load_without_memory_fails(void)
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

/* Without memory for a verdict the message is denied; later it is judged again. */
static void verdict_without_memory_is_a_denial(void)
{
    struct policy_fixture fixture;
    REQUIRE(fixture_open(&fixture));
    fixture_own(&fixture, "org.example.B", 1);
    long n = 0;
    for (bool allowed = false; n < 100 && !allowed; n++) {
        check_allocations = n;
        allowed = fixture_judge(&fixture, 0, 1);
    }
    check_allocations = -1;
    CHECK(n > 3 && n < 100);
    CHECK(fixture_judge(&fixture, 0, 1));
    fixture_close(&fixture);
}

static void name_changes_affect_verdicts_at_once(void)
{
    struct policy_fixture fixture;
    REQUIRE(fixture_open(&fixture));
    CHECK(fixture_judge(&fixture, 0, 1));
    fixture_own(&fixture, A, 1);
    CHECK(!fixture_judge(&fixture, 0, 1));
    CHECK(fixture_judge(&fixture, 0, 2));
    fixture_own(&fixture, A, 2);
    CHECK(fixture_judge(&fixture, 0, 1));
    CHECK(!fixture_judge(&fixture, 0, 2));
    /* waiting in the queue counts as owning the name */
    struct peer *const queue[] = {fixture.peers[2], fixture.peers[1]};
    CHECK_EQUAL(registry_set_queue(&fixture.bus.registry, SPAN(A), queue, 2), 0);
    CHECK(!fixture_judge(&fixture, 0, 1));
    fixture_own(&fixture, A, PEERS);
    CHECK(fixture_judge(&fixture, 0, 1));
    CHECK(fixture_judge(&fixture, 0, 2));
    fixture_close(&fixture);
}

/* Otherwise each request would cost a connection as much as it has names. */
static void names_without_rules_leave_the_role(void)
{
    struct policy_fixture fixture;
    REQUIRE(fixture_open(&fixture));
    CHECK(fixture_judge(&fixture, 0, 1));
    const struct role *role = fixture.peers[1]->policy.role;
    fixture_own(&fixture, "org.example.B", 1);
    fixture_own(&fixture, "org.example.A.C", 1); /* no rule is about a prefix */
    fixture_own(&fixture, "org.example.B", PEERS);
    CHECK_EQUAL(fixture.peers[1]->policy.generation, fixture.bus.policy->generation);
    fixture_own(&fixture, A, 1);
    CHECK(fixture.peers[1]->policy.generation != fixture.bus.policy->generation);
    CHECK(!fixture_judge(&fixture, 0, 1));
    CHECK(fixture.peers[1]->policy.role != role);
    fixture_close(&fixture);
}

/* A rule about a prefix is about all names below it. */
static void names_below_a_prefix_change_the_role(void)
{
    static const struct rule_draft prefix[] = {
        {.kind = POLICY_SEND, .allow = true},
        {.kind = POLICY_SEND, .destination = A, .flags = POLICY_PREFIX, .interface = "An.Interface"},
    };
    struct policy_fixture fixture;
    REQUIRE(fixture_open(&fixture));
    policy_free(fixture.bus.policy);
    policy_draft(&draft, prefix, CHECK_COUNT(prefix));
    REQUIRE(policy_new(&fixture.bus.policy, draft.data, draft.size, 2) == 0);
    CHECK(policy_mentions(fixture.bus.policy, SPAN(A)));
    CHECK(policy_mentions(fixture.bus.policy, SPAN(A ".C.D")));
    CHECK(!policy_mentions(fixture.bus.policy, SPAN("org.example.AC")));
    CHECK(!policy_mentions(fixture.bus.policy, SPAN("org.example")));
    fixture_close(&fixture);
}

static void absent_recipient_is_judged_by_its_destination(void)
{
    struct policy_fixture fixture;
    struct message other = call;
    other.destination = SPAN("org.example.Other");
    REQUIRE(fixture_open(&fixture));
    struct policy_case c = {.m = &call, .sender = fixture.peers[0]};
    CHECK(!judge(&fixture.bus, &c, NULL));
    c.m = &other;
    CHECK(judge(&fixture.bus, &c, NULL));
    fixture_close(&fixture);
}

/* Changing names create new roles; old ones are dropped together, and verdicts stay the same. */
static void unused_roles_are_dropped(void)
{
    enum { NAMES = 11 };
    struct policy_fixture fixture;
    char names[NAMES][32];
    REQUIRE(fixture_open(&fixture));
    policy_draft_begin(&draft);
    for (size_t i = 0; i < CHECK_COUNT(rules); i++)
        policy_draft_add(&draft, &rules[i]);
    for (int i = 0; i < NAMES; i++) {
        snprintf(names[i], sizeof(names[i]), "org.example.N%d", i);
        const struct rule_draft rule = {.kind = POLICY_SEND, .allow = true, .destination = names[i]};
        policy_draft_add(&draft, &rule);
    }
    policy_draft_end(&draft);
    policy_free(fixture.bus.policy);
    REQUIRE(policy_new(&fixture.bus.policy, draft.data, draft.size, 1) == 0);
    fixture_own(&fixture, A, 1);
    const uint64_t generation = fixture.bus.policy->generation;
    for (unsigned chosen = 0; chosen < 1u << NAMES; chosen++) {
        for (int i = 0; i < NAMES; i++)
            fixture_own(&fixture, names[i], chosen >> i & 1 ? 1 : PEERS);
        /* an allow rule about one of the names follows the deny rule about A */
        CHECK_EQUAL(fixture_judge(&fixture, 0, 1), chosen != 0);
        CHECK(fixture_judge(&fixture, 0, 2));
        CHECK(fixture.bus.policy->roles.count < 1100);
    }
    CHECK(fixture.bus.policy->generation > generation);
    fixture_close(&fixture);
}

/* Users and groups that no rule mentions are equivalent, and no group counts twice. */
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
    const struct rule_set *identity = policy_rule_set(policy, 5, gids, 3, false);
    REQUIRE(identity != NULL);
    CHECK_EQUAL(identity->n_sections, 2);
    CHECK(policy_rule_set(policy, 6, others, 4, true) == identity);
    CHECK(policy_rule_set(policy, POLICY_ANY, gids, 2, false) == identity);
    CHECK(policy_rule_set(policy, 1, gids, 3, false) != identity);
    CHECK(policy_rule_set(policy, 5, gids, 1, false) != identity);
    policy_free(policy);
}

/* Among the rules about a name and its prefixes the last one decides. */
static void last_matching_own_rule_decides(void)
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
    const struct rule_set *other = policy_rule_set(policy, 5, NULL, 0, false);
    const struct rule_set *user = policy_rule_set(policy, 1, NULL, 0, false);
    REQUIRE(other && user);
    for (size_t i = 0; i < CHECK_COUNT(cases); i++) {
        check_case = cases[i].name;
        CHECK_EQUAL(policy_can_own(other, span_of(cases[i].name)), cases[i].may);
        CHECK_EQUAL(policy_can_own(user, span_of(cases[i].name)), cases[i].may_user);
    }
    policy_free(policy);
}

static const struct check_test tests[] = {
    TEST(malformed_block_is_refused),
    TEST(policy_load_without_memory_fails),
    TEST(verdict_without_memory_is_a_denial),
    TEST(name_changes_affect_verdicts_at_once),
    TEST(names_without_rules_leave_the_role),
    TEST(names_below_a_prefix_change_the_role),
    TEST(absent_recipient_is_judged_by_its_destination),
    TEST(unused_roles_are_dropped),
    TEST(identities_are_shared),
    TEST(last_matching_own_rule_decides),
};

CHECK_MAIN(tests)
