/* SPDX-License-Identifier: MIT */
#ifndef FUZZ_WORLD_H
#define FUZZ_WORLD_H

#include "client.h"
#include "reached.h"

#include <stdio.h>

#define SLOTS_MAX NAMES_SLOTS
#define UIDS_MAX 8u
#define UNIQUE_SPENT UINT32_MAX

/* What the runner says of the bus: see config.py. */
struct settings {
    const char *path;      /* of its socket */
    const char *directory; /* of its configurations: conf.0 to conf.N-1, and the link bus.conf */
    int bus;               /* its process ID */
    uint64_t seed;
    uint32_t first_round, rounds;
    uint32_t seconds; /* no round begins later */
    uint32_t actions; /* of a round, at most */
    uint32_t uids[UIDS_MAX], n_uids;
    bool wide;         /* no limit is in reach, and the policy allows everything: all broadcasts arrive */
    bool fd_timeout;   /* a slow sender of descriptors may be cut off */
    bool auth_timeout; /* a client slow to say Hello may be cut off */
    bool reply_timeout;
    bool strays; /* the policy lets replies pass for which no call waits */
    bool services;
    uint32_t max_fds; /* of a message */
    uint32_t configurations;
    uint32_t slots;    /* clients at once, at most */
    uint32_t patience; /* milliseconds until the bus is taken to hang */
    bool trace;        /* print what each client gets */
    bool digests;      /* print one for each round */
};

/* The clients of one round, and the plan's place in it. */
struct world {
    struct settings settings;
    int epoll;
    struct client *control; /* the fuzzer's own: it asks for statistics, and stays for all rounds */
    struct client *clients[CLIENTS_MAX];
    uint32_t n_clients;
    struct client *slots[SLOTS_MAX];
    uint32_t *by_unique; /* client's ID + 1, or UNIQUE_SPENT: its round is over */
    uint32_t n_by_unique;
    struct prng plan;
    uint64_t digest; /* of all planned actions of the round */
    uint32_t round, action;
    bool reloaded;      /* in this round: rules of the policy, and limits, have changed */
    bool settling;      /* nothing new is said, and what was put off is done */
    bool watched;       /* there is a monitor, or was one */
    uint32_t strangers; /* connections whose unique names the fuzzer never learns */
};

/* A rule is broken: says which, how to see it again, and ends the program. */
void fail(const struct world *w, const char *format, ...) __attribute__((format(printf, 2, 3), noreturn));
int64_t now_ms(void);
/* Part of the plan: it goes into the digest. */
void plan_note(struct world *w, uint32_t a, uint32_t b, uint32_t c);
/* Reads and writes what can be, after waiting for that so long. */
void pump(struct world *w, int milliseconds);
/* Connects as the uid, as the next client in the slot; NULL: the bus accepts nothing for a while. */
struct client *world_connect(struct world *w, uint32_t slot, uint32_t uid);
/* The client says goodbye, or is to be forgotten. */
void world_end(struct world *w, struct client *c);
/* The bus has told the client its unique name. */
void world_named(struct world *w, struct client *c, const char *unique);
struct client *world_find(const struct world *w, const char *unique); /* NULL: none of ours */
void world_clear(struct world *w);                                    /* at the end of a round */

#endif
