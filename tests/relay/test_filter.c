/* SPDX-License-Identifier: MIT */
#include "check.h"

#include "../../transport/multicast/bpf/filter.h"
#include "../../transport/relay/wire/message.h"

#include <errno.h>

/* The verdicts of filters are tested in tests/multicast. */

#define MANY 300u

static struct filter_flow flows[MANY];
static struct filter_rule rules[MANY];
static char names[MANY][32];
static const uint8_t sides[] = {FILTER_SIDE_YES, FILTER_SIDE_NO};

static void fill(void)
{
    for (uint32_t i = 0; i < MANY; i++) {
        snprintf(names[i], sizeof(names[i]), "org.example.Name%u", i);
        flows[i] = (struct filter_flow){
            .destination = span_of(names[i]),
            .index = i,
            .types = 1 << MESSAGE_METHOD_CALL,
            .member = SPAN("Frobnicate"),
            .path = SPAN("/org/example/Object"),
        };
        rules[i] = (struct filter_rule){
            .interface = span_of(names[i]),
            .path_namespace = SPAN("/org/example"),
            .unclear = i % 2,
            .arg0 = SPAN("some text"),
        };
    }
}

static struct filter_egress egress_of(uint32_t n)
{
    return (struct filter_egress){.max_size = FILTER_MAX_MESSAGE, .flows = flows, .n_flows = n};
}

static struct filter_ingress ingress_of(uint32_t n)
{
    return (struct filter_ingress){.rules = rules, .n_rules = n, .sides = sides, .n_sides = 2};
}

static bool is_empty(const struct filter *filter)
{
    return !filter->instructions && !filter->count;
}

/* The programs end in a return, and none is too long. */
static void check_chain(const struct filter *filter)
{
    uint32_t at = 0;
    CHECK(filter->count >= 1 && filter->count <= CHECK_COUNT(filter->lengths));
    for (uint32_t i = 0; i < filter->count; i++) {
        CHECK(filter->lengths[i] >= 1 && filter->lengths[i] <= BPF_MAXINSNS);
        at += filter->lengths[i];
        CHECK_EQUAL(BPF_CLASS(filter->instructions[at - 1].code), BPF_RET);
    }
}

static void long_egress_is_a_chain_of_programs(void)
{
    struct filter one, many;
    const struct filter_egress few = egress_of(1), all = egress_of(MANY);
    fill();
    CHECK_EQUAL(filter_compile_egress(&few, &one), 0);
    CHECK_EQUAL(one.count, 1);
    check_chain(&one);
    CHECK_EQUAL(filter_compile_egress(&all, &many), 0);
    CHECK(many.count > 1);
    check_chain(&many);
    filter_free(&one);
    filter_free(&many);
    CHECK(is_empty(&many));
}

static void long_ingress_is_a_chain_of_programs(void)
{
    struct filter one, many;
    const struct filter_ingress few = ingress_of(1), all = ingress_of(MANY);
    fill();
    CHECK_EQUAL(filter_compile_ingress(&few, &one), 0);
    CHECK_EQUAL(one.count, 1);
    check_chain(&one);
    CHECK_EQUAL(filter_compile_ingress(&all, &many), 0);
    CHECK(many.count > 1);
    check_chain(&many);
    filter_free(&one);
    filter_free(&many);
}

static void ingress_without_rules_refuses_all(void)
{
    struct filter filter;
    const struct filter_ingress none = ingress_of(0);
    CHECK_EQUAL(filter_compile_ingress(&none, &filter), 0);
    CHECK_EQUAL(filter.count, 1);
    REQUIRE(filter.lengths[0] == 1);
    CHECK_EQUAL(filter.instructions[0].k, UMC_NO);
    filter_free(&filter);
}

/* Flows to one destination, too many for 64 programs */
static void too_many_flows_are_refused(void)
{
    const uint32_t n = 20000;
    struct filter filter;
    struct filter_flow *all = calloc(n, sizeof(*all));
    char(*texts)[200] = calloc(n, sizeof(*texts));
    REQUIRE(all && texts);
    for (uint32_t i = 0; i < n; i++) {
        snprintf(texts[i], sizeof(texts[i]), "/%0150u", i);
        all[i] =
            (struct filter_flow){.destination = SPAN(":1.1"), .types = 1 << 1, .path = span_of(texts[i])};
    }
    struct filter_egress egress = egress_of(n);
    egress.flows = all;
    CHECK_EQUAL(filter_compile_egress(&egress, &filter), -E2BIG);
    CHECK(is_empty(&filter));
    free(all);
    free(texts);
}

/* A text alone that is longer than a program */
static void text_longer_than_a_program_is_refused(void)
{
    struct filter filter;
    char *text = malloc(20000);
    REQUIRE(text);
    memset(text, 'x', 20000);
    struct filter_rule rule = {.arg0 = {text, 20000}};
    struct filter_ingress ingress = ingress_of(1);
    ingress.rules = &rule;
    CHECK_EQUAL(filter_compile_ingress(&ingress, &filter), -E2BIG);
    CHECK(is_empty(&filter));
    free(text);
}

static void any_failed_allocation_is_an_error(void)
{
    struct filter filter;
    const struct filter_egress egress = egress_of(MANY);
    const struct filter_ingress ingress = ingress_of(MANY);
    fill();
    int error = -ENOMEM;
    long n = 0;
    for (; error && n < 10000; n++) {
        check_allocations = n;
        error = filter_compile_egress(&egress, &filter);
        CHECK(error ? error == -ENOMEM && is_empty(&filter) : filter.count > 1);
        filter_free(&filter);
    }
    CHECK(n > 10 && !error);
    for (error = -ENOMEM, n = 0; error && n < 10000; n++) {
        check_allocations = n;
        error = filter_compile_ingress(&ingress, &filter);
        CHECK(error ? error == -ENOMEM && is_empty(&filter) : filter.count > 1);
        filter_free(&filter);
    }
    CHECK(n > 10 && !error);
}

static const struct check_test tests[] = {
    TEST(long_egress_is_a_chain_of_programs),    TEST(long_ingress_is_a_chain_of_programs),
    TEST(ingress_without_rules_refuses_all),     TEST(too_many_flows_are_refused),
    TEST(text_longer_than_a_program_is_refused), TEST(any_failed_allocation_is_an_error),
};
CHECK_MAIN(tests)
