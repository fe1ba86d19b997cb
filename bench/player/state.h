/* SPDX-License-Identifier: MIT */
#ifndef PLAYER_STATE_H
#define PLAYER_STATE_H

#include "plan.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MOST_PROCESSES 64
#define MOST_UNIQUE 65536u /* unique names :1.N of the measured bus, by N */
#define NAME_SIZE 24
#define REMARKS 4096u /* bytes for the first differences */

struct name {
    char text[NAME_SIZE];
};

/* What all processes of the player share. */
struct state {
    _Atomic uint64_t go;   /* the time of the first message, 0: not yet */
    _Atomic uint64_t last; /* the time of the last receipt that was waited for */
    _Atomic uint32_t ops_left, start_left, events_left;
    _Atomic uint32_t sent, received, unexpected, different, failed, done;
    _Atomic uint32_t wakes[MOST_PROCESSES];
    _Atomic uint32_t remarked;
    char remarks[REMARKS];
    /* behind it: */
    _Atomic uint32_t *got;            /* receipts of each event */
    _Atomic uint64_t *sent_at, *took; /* of each event that answers a call: nanoseconds */
    struct name *names;               /* of each connection, written once, before its Hello is marked */
    _Atomic uint32_t *connection_of;  /* of each unique name of the bus: the connection, and 1 more */
    _Atomic uint32_t *early;          /* of each, the NameOwnerChanged received before that was known */
};

struct settings {
    const char *address, *starts;
    uint32_t processes;
    double speed; /* 0: as fast as possible */
    double deadline;
    bool hold;
};

extern struct settings settings;
extern struct plan plan;
extern struct state *state;

void state_create(void);
/* Keeps the first differences, for the report. */
void state_remark(const char *format, ...) __attribute__((format(printf, 1, 2)));
bool state_finished(void);
bool state_started(void); /* what was there before the measurement is there */

#endif
