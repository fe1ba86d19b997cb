/* SPDX-License-Identifier: MIT */
#ifndef BUSBENCH_OPTIONS_H
#define BUSBENCH_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define MAX_PIDS 64
#define MAX_STEPS 16

struct pids {
    pid_t pid[MAX_PIDS];
    int n;
};

struct steps {
    int at[MAX_STEPS];
    int n;
};

/*
 * The command line; read-only once the cases run, except batch, which the floors run both ways, and what a
 * floor that clients connect to replaces while it runs.
 */
struct options {
    const char *address;
    const char *label;
    const char *rule_kind;
    const char *kernel_memory; /* a cgroup's memory.stat */
    double seconds, warm;
    size_t size;
    int window, rules, idle, clients;
    uid_t uid;                   /* of abusive clients, or of every other one */
    const char *service_address; /* of the bus of the pair that answers; NULL: the same */
    bool size_given, window_given, batch, json, pipelined_auth, wellknown, two_users;
    struct steps subs, conns;
    struct pids daemon;
};

extern struct options options;

#endif
