/* SPDX-License-Identifier: MIT */
#ifndef ATTACK_H
#define ATTACK_H

#include "client.h"
#include "connection.h"
#include "hostile.h"
#include "options.h"
#include "process.h"

/*
 * One way in which a client may harm the bus and other clients. `run` is a process that becomes --uid, sets
 * up what the attack needs, calls process_ready(), and attacks until it is killed at the end of --seconds.
 * It counts its progress in shared->harm, and is bounded in connections, rules and bytes.
 */
struct attack {
    const char *name;
    void (*run)(void *argument);
    int count; /* the default of --count: connections, names or rounds, depending on the attack */
};

struct attack_options {
    int count;        /* --count */
    const char *name; /* --name: a destination, if the attack needs one */
};

extern struct attack_options attack_options;

void bystander_run(void);                     /* measures other clients' latencies; prints one JSON object */
_Noreturn void service_run(const char *name); /* a service that answers every call, started by the bus */

void denied_calls(void *argument);
void name_listing(void *argument);
void unknown_types(void *argument);
void nameless(void *argument);
void waiting_tail(void *argument);
void waiting_pool(void *argument);
void path_rules_leave(void *argument);
void path_rules_churn(void *argument);
void open_calls(void *argument);
void prefix_rules(void *argument);
void large_set(void *argument);
void driver_storm(void *argument);
void connection_churn(void *argument);
void handshakes(void *argument);
void slow_handshakes(void *argument);
void single_bytes(void *argument);
void empty_strings(void *argument);
void non_ascii(void *argument);
void deep_variants(void *argument);
void header_fields(void *argument);
void half_messages(void *argument);
void name_queues(void *argument);
void name_disputes(void *argument);
void rule_churn(void *argument);
void equal_rules(void *argument);
void eavesdroppers(void *argument);
void unread_errors(void *argument);
void start_storm(void *argument);

#endif
