/* SPDX-License-Identifier: MIT */
#ifndef BUSBENCH_PAIR_H
#define BUSBENCH_PAIR_H

#include "options.h"
#include "relay.h"
#include "wire.h"

#define PATH "/org/busbench/Obj"
#define INTERFACE "org.busbench.Iface"
#define WELL_KNOWN "org.busbench.Echo"

/* Two clients: one calls, the other replies. */
struct pair {
    enum route route;
    int fd[2];
    bool echo; /* the reply carries the body back */
    bool one;  /* one call under way, with latencies */
    size_t size;
    int window;
    struct pids paid; /* processes charged with the CPU time */
};

void pair_server(void *pair); /* spawn it first: shared->name[0], shared->got[0] */
void pair_client(void *pair);
bool pair_agrees(void); /* both ends counted the same; else the case fails */
void pair_run(const char *name, const struct pair *pair);

#endif
