/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_ORDER_H
#define OMNIBUS_ORDER_H

#include "load.h"

/*
 * Every message says who sent it, its number among all that he sends, whatever its kind and whoever gets it,
 * and how many casts, broadcasts for all, he has got before.
 */

enum kind {
    CAST,  /* a signal to everybody, who all have the rule */
    EXTRA, /* one to whoever has the rule just now */
    NOTE,  /* a signal to one */
    ASK,   /* a call */
    SEEK,  /* a call to a name that may have no owner; it waits for one while others overtake it */
    TELL,  /* a call without a reply */
    ANSWER,
    BYE, /* a cast: makes no calls any more */
    END, /* a cast: nothing more comes but casts */
    KINDS
};

struct words {
    uint32_t kind, from, number, casts, padding; /* the last: bytes that follow */
};

#define EVERYBODY 255
#define SOME 254

struct sent { /* one message, by its sender */
    _Atomic uint8_t to, refused;
};

struct records {
    struct sent sent[MAX_CLIENTS][MAX_MESSAGES];
    _Atomic uint8_t got[MAX_CLIENTS][MAX_CLIENTS][MAX_MESSAGES]; /* by receiver and sender: how often */
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
    uint32_t next[MAX_CLIENTS][2]; /* numbers below this have come from that sender; [1]: those that sought */
    bool asked[MAX_MESSAGES];      /* and has no answer yet */
    uint32_t unanswered, byes, ends;
    uint32_t release; /* the call that has given its name back, 0: it has it again */
    bool is_released; /* the bus has said so */
    bool owns_name, has_rule, calm;
};

enum how { BY_UNIQUE, BY_STEADY, BY_FLEETING }; /* the kind of name */

void talker_name(int number, enum how how, char name[64]);        /* a well-known one */
void say(struct talker *t, enum kind kind, int to, enum how how); /* a message, perhaps a big one */
void answer(struct talker *t, int to, uint32_t serial);
void hear(struct talker *t, const struct message *m); /* checks it, and reacts */
bool hear_all(struct talker *t, bool wait);           /* what is here; the first is waited for */
void talk(void *talker);

/* What the records say when all have ended. */
void verdict(void);

#endif
