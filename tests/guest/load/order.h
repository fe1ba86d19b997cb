/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_ORDER_H
#define OMNIBUS_ORDER_H

#include "load.h"

/*
 * Every message contains its sender, its number among all messages of that sender, of any kind and to any
 * receiver, and the number of casts (broadcasts to all clients) that the sender had received before.
 */

enum kind {
    CAST,  /* a broadcast to all clients, which all have the rule */
    EXTRA, /* a broadcast to the clients that have the rule at the time */
    NOTE,  /* a unicast signal */
    ASK,   /* a call */
    SEEK,  /* a call to a name that may have no owner; others may overtake it while it waits for one */
    TELL,  /* a call without a reply */
    ANSWER,
    BYE, /* a cast: its sender makes no more calls */
    END, /* a cast: its sender sends only casts from now on */
    KINDS
};

struct words {
    uint32_t kind, from, number, casts, padding; /* the last: bytes that follow */
};

#define ALL 255
#define SOME 254

struct sent { /* one message, by its sender */
    _Atomic uint8_t to, refused;
};

struct records {
    struct sent sent[MAX_CLIENTS][MAX_MESSAGES];
    _Atomic uint8_t got[MAX_CLIENTS][MAX_CLIENTS][MAX_MESSAGES]; /* count by receiver and sender */
    uint32_t casts[MAX_CLIENTS][MAX_CLIENTS * MAX_MESSAGES];     /* by receiver: sender << 24 | number */
    _Atomic uint32_t n_sent[MAX_CLIENTS], n_casts[MAX_CLIENTS];
    _Atomic uint32_t kinds[KINDS];
    _Atomic uint32_t big, descriptors, refused, extras, monitors;
};

extern struct records *records;

struct talker {
    struct connection c;
    int number;
    uint32_t state; /* of random_below */
    uint32_t sent, casts;
    uint32_t next[MAX_CLIENTS][2]; /* lowest number still expected from that sender; [1]: of SEEK */
    bool asked[MAX_MESSAGES];      /* without a reply so far */
    uint32_t unanswered, byes, ends;
    uint32_t release; /* serial of ReleaseName; 0: it owns the name again */
    bool is_released; /* the bus has replied to it */
    bool owns_name, has_rule, calm;
};

enum how { BY_UNIQUE, BY_STEADY, BY_FLEETING }; /* the kind of name */

void talker_name(int number, enum how how, char name[64]);                /* a well-known one */
void talker_send(struct talker *t, enum kind kind, int to, enum how how); /* a message, perhaps a big one */
void answer(struct talker *t, int to, uint32_t serial);
void receive(struct talker *t, const struct message *m); /* checks it, and reacts */
bool receive_all(struct talker *t, bool wait);           /* all available messages; waits for the first */
void talk(void *talker);

/* Checks the records after all clients have ended. */
void verdict(void);

#endif
