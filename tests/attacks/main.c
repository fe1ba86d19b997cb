/* SPDX-License-Identifier: MIT */

/*
 * Attacks on a message bus, one at a time, each with bounded resources and ended after --seconds; and a
 * bystander, which measures the cost of an attack to other clients. See README.md.
 */

#include "abuse.h"
#include "attack.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#define UNPRIVILEGED 65534
#define LATEST 3.0 /* extra seconds for an attack without progress */

struct options options = {.seconds = 2, .size = 64};
struct attack_options attack_options;

/* No attack: the baseline of a bystander. */
static void alone(void *argument)
{
    (void)argument;
    process_ready();
    atomic_store(&shared->harm, 1);
    pause();
}

static const struct attack attacks[] = {
    {"alone", alone, 0},
    {"denied-calls", denied_calls, 4},
    {"name-listing", name_listing, 5000},
    {"unknown-types", unknown_types, 60},
    {"nameless", nameless, 0},
    {"waiting-tail", waiting_tail, 1500},
    {"waiting-pool", waiting_pool, 120},
    {"path-rules-leave", path_rules_leave, 60},
    {"path-rules-churn", path_rules_churn, 60},
    {"open-calls", open_calls, 16000},
    {"prefix-rules", prefix_rules, 60},
    {"large-set", large_set, 8000000},
    {"driver-storm", driver_storm, 1},
    {"connection-churn", connection_churn, 100},
    {"handshakes", handshakes, 20},
    {"slow-handshakes", slow_handshakes, 40},
    {"single-bytes", single_bytes, 100},
    {"empty-strings", empty_strings, 30},
    {"non-ascii", non_ascii, 30},
    {"deep-variants", deep_variants, 30},
    {"header-fields", header_fields, 30},
    {"half-messages", half_messages, 100},
    {"name-queues", name_queues, 100},
    {"name-disputes", name_disputes, 10},
    {"rule-churn", rule_churn, 20},
    {"equal-rules", equal_rules, 500},
    {"eavesdroppers", eavesdroppers, 20},
    {"unread-errors", unread_errors, 20},
    {"start-storm", start_storm, 50},
};

static const struct option long_options[] = {{"address", 1, 0, 'a'}, {"seconds", 1, 0, 's'},
                                             {"uid", 1, 0, 'u'},     {"count", 1, 0, 'c'},
                                             {"name", 1, 0, 'n'},    {0}};

static _Noreturn void usage(void)
{
    puts("attack --address unix:path=... [--seconds 2] [--uid 65534] [--count N] [--name NAME] ATTACK\n"
         "attack --address unix:path=... [--seconds 2] bystander\n"
         "attack service NAME\n"
         "Prints \"ready\" once all is in place, and a JSON object at the end. The attacks, and --count:");
    for (size_t i = 0; i < sizeof(attacks) / sizeof(*attacks); i++)
        printf("  %-20s %d\n", attacks[i].name, attacks[i].count);
    for (const struct abuse *abuse = abuses; abuse->name; abuse++)
        printf("  %s\n", abuse->name);
    exit(2);
}

static void set_option(int option, const char *value)
{
    switch (option) {
    case 'a':
        options.address = value;
        break;
    case 's':
        options.seconds = atof(value);
        break;
    case 'u':
        options.uid = (uid_t)atol(value);
        break;
    case 'c':
        attack_options.count = atoi(value);
        break;
    case 'n':
        attack_options.name = value;
        break;
    default:
        usage();
    }
}

/*
 * Ends the attackers when their time is over and they have made progress, or when one fails; their
 * resources are released with them.
 */
static int play(void (*run)(void *), void (*victim)(void *))
{
    process_spawn("attacker", process_deadline(), run, NULL);
    if (victim)
        process_spawn("victim", process_deadline(), victim, NULL);
    bool well = process_start(victim ? 2 : 1);
    if (well) {
        puts("ready");
        fflush(stdout);
    }
    uint64_t end = clock_ns() + clock_span(options.seconds), latest = end + clock_span(LATEST);
    while (well && !atomic_load(&shared->failed) && clock_ns() < (atomic_load(&shared->harm) ? end : latest))
        usleep(10000);
    process_wait_first(0);
    printf("{\"harm\": %llu, \"cut_off\": %llu, \"error\": \"%s\"}\n",
           (unsigned long long)atomic_load(&shared->harm), (unsigned long long)atomic_load(&shared->cut_off),
           shared->error);
    return atomic_load(&shared->failed) ? 1 : 0;
}

static int play_named(const char *name)
{
    for (size_t i = 0; i < sizeof(attacks) / sizeof(*attacks); i++) {
        if (!same(attacks[i].name, name))
            continue;
        if (attack_options.count < 0)
            attack_options.count = attacks[i].count;
        return play(attacks[i].run, NULL);
    }
    for (const struct abuse *abuse = abuses; abuse->name; abuse++)
        if (same(abuse->name, name))
            return play(abuse->abuser, abuse->victim);
    usage();
}

static void allow_many_descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit))
        return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

int main(int argc, char **argv)
{
    options.uid = getuid() ? getuid() : UNPRIVILEGED;
    attack_options.count = -1;
    for (int option; (option = getopt_long(argc, argv, "", long_options, NULL)) >= 0;)
        set_option(option, optarg);
    if (optind == argc)
        usage();
    signal(SIGPIPE, SIG_IGN);
    process_init();
    allow_many_descriptors();
    if (same(argv[optind], "service") && optind + 1 < argc)
        service_run(argv[optind + 1]);
    if (same(argv[optind], "bystander")) {
        bystander_run();
        return atomic_load(&shared->failed) ? 1 : 0;
    }
    return play_named(argv[optind]);
}
