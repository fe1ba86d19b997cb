/* SPDX-License-Identifier: MIT */
#ifndef BUSBENCH_PROCESS_H
#define BUSBENCH_PROCESS_H

#include "clock.h"
#include "histogram.h"
#include "latency.h"

#include <setjmp.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define MAX_PROCESSES 1100

struct result {
    uint64_t n, bytes, harm;
    struct cost cost;
    double seconds;
    struct quantiles us;
};

/* Shared memory of a case's processes, which must not communicate through the measured bus. */
struct shared {
    _Atomic uint32_t ready, go, stop, failed;
    _Atomic uint32_t done[8];         /* bursts of signals that subscribers have read */
    _Atomic uint32_t step, step_done; /* of cases that proceed step by step */
    _Atomic uint32_t step_begun, step_ended;
    struct result result;
    char name[MAX_PROCESSES][48];
    _Atomic uint64_t got[MAX_PROCESSES], gaps[MAX_PROCESSES], overruns[MAX_PROCESSES];
    _Atomic uint64_t sent, send_errors;
    _Atomic uint64_t harm, cut_off;          /* actions of the abusive clients, and their disconnections */
    _Atomic uint64_t said[MAX_PROCESSES][2]; /* signals of each service, by topic */
    struct histogram times;
    char error[320];
};

extern struct shared *shared;

/* Ends this process and fails the case; or jumps to die_target. */
_Noreturn void die(const char *format, ...) __attribute__((format(printf, 1, 2)));
extern jmp_buf *die_target;

void process_init(void);
void process_reset(void);   /* before each case */
int process_deadline(void); /* seconds that a client may take */
pid_t process_spawn(const char *role, int deadline, void (*function)(void *), void *argument);
void process_user(int index);        /* in a client: with --two-users, one of two */
void process_ready(void);            /* in a client: reports it, and waits until all are */
bool process_start(int n);           /* waits until n clients are ready, and starts them */
bool process_wait(pid_t skip);       /* for all but this one to end well; then kills the rest */
bool process_wait_first(int n);      /* for the first n spawned; the others are killed */
void process_fail(const char *text); /* the first failure counts */

void futex_wait(_Atomic uint32_t *word, uint32_t value, int milliseconds);
void futex_wake(_Atomic uint32_t *word);

#endif
