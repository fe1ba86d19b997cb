/* SPDX-License-Identifier: MIT */
#ifndef FUZZ_WORLD_H
#define FUZZ_WORLD_H

#include "client.h"
#include "reached.h"

#include <stdio.h>

#define SLOTS_MAX NAMES_SLOTS
#define UIDS_MAX 8u
#define UNIQUE_SPENT UINT32_MAX

/* The runner's settings: see config.py. */
struct settings {
    const char *path;      /* of its socket */
    const char *directory; /* of its configurations: conf.0 to conf.N-1, and the link bus.conf */
    int bus;               /* its process ID */
    uint64_t seed;
    uint32_t first_round, rounds;
    uint32_t seconds; /* no round begins later */
    uint32_t actions; /* limit of a round */
    uint32_t uids[UIDS_MAX], n_uids;
    bool wide;         /* no limit is in reach, and the policy allows everything: all broadcasts arrive */
    bool fd_timeout;   /* a slow sender of descriptors may be disconnected */
    bool auth_timeout; /* a client slow to call Hello may be disconnected */
    bool reply_timeout;
    bool strays; /* the policy allows replies without a pending call */
    bool services;
    bool containers;
    uint32_t max_fds; /* of a message */
    uint32_t configurations;
    uint32_t slots;    /* limit of concurrent clients */
    uint32_t patience; /* milliseconds until the bus is considered hung */
    bool trace;        /* print each client's input */
    bool digests;      /* print one for each round */
};

/* The clients of one round, and the plan's position in it. */
struct world {
    struct settings settings;
    int epoll;
    struct client *control; /* the fuzzer's own connection, for statistics, for all rounds */
    struct client *clients[CLIENTS_MAX];
    uint32_t n_clients;
    struct client *slots[SLOTS_MAX];
    uint32_t *by_unique; /* client's ID + 1, or UNIQUE_SPENT: its round is over */
    uint32_t n_by_unique;
    struct prng plan;
    uint64_t digest; /* of all planned actions of the round */
    uint32_t round, action;
    bool reloaded;      /* in this round the policy or the limits have changed */
    bool settling;      /* no new messages, and deferred actions are done */
    bool watched;       /* there is or was a monitor */
    uint32_t strangers; /* connections with unique names that the fuzzer never learns */
};

/* Reports a violation and how to reproduce it, and ends the program. */
void fail(const struct world *w, const char *format, ...) __attribute__((format(printf, 2, 3), noreturn));
int64_t now_ms(void);
/* Adds a part of the plan to the digest. */
void plan_note(struct world *w, uint32_t a, uint32_t b, uint32_t c);
/* Waits at most so long for events, then reads and writes. */
void pump(struct world *w, int milliseconds);
/*
 * Connects as the uid, as the next client in the slot; through the container's server, if there is one and it
 * still listens. NULL: the bus accepts no connection for now.
 */
struct client *world_connect(struct world *w, uint32_t slot, uint32_t uid, struct container_server server);
/* Disconnects the client. */
void world_end(struct world *w, struct client *c);
/* Records the client's unique name. */
void world_named(struct world *w, struct client *c, const char *unique);
struct client *world_find(const struct world *w, const char *unique); /* NULL: none of ours */
void world_clear(struct world *w);                                    /* at the end of a round */

#endif
