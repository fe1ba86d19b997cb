/* SPDX-License-Identifier: MIT */
#include "resumption/resumption.h"

#include "api/relay_internal.h"
#include "resumption/caretaker.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Crashes, and the alarm. */
static const int caught[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGALRM};
#define CAUGHT (sizeof(caught) / sizeof(*caught))

/* Where handlers of the main thread run, whose own stack may be what is wrong. */
static char handler_stack[65536];
static struct resumption *current;

__attribute__((format(printf, 1, 2))) static void say(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    dprintf(STDERR_FILENO, "omnibusd[%d]: ", getpid());
    vdprintf(STDERR_FILENO, format, arguments);
    va_end(arguments);
}

/* Notes the descriptors of a state that has just been written. */
static int use_state(struct handover *h, int fd)
{
    const uint8_t *state;
    size_t size;
    int error = relay_state_map(fd, &state, &size);
    if (error < 0)
        return error;
    int64_t n = relay_state_descriptors(state, size, NULL, 0);
    int *fds = n < 0 ? NULL : calloc((size_t)n + 1, sizeof(*fds));
    error = n < 0 ? (int)n : -ENOMEM;
    if (fds) {
        relay_state_descriptors(state, size, fds, (size_t)n);
        error = handover_replace(h, fd, fds, (uint32_t)n);
    }
    free(fds);
    relay_state_unmap(state, size);
    return error;
}

/* The last thing that the thread of the data plane does; the main thread stands still. */
static void return_with_present_state(struct relay *relay)
{
    struct resumption *r = current;
    char why[256];
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGALRM);
    alarm(RESTORE_SECONDS);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    int fd = caretaker_write(relay, r->state, r->size, why, sizeof(why));
    int error = fd;
    if (fd >= 0) {
        snprintf(why, sizeof(why), "the previous program");
        error = use_state(&r->handover, fd);
        if (error == 0)
            error = handover_execute(&r->handover);
    }
    say("There is no way back: %s: %s\n", why, strerror(-error));
    _exit(EXIT_FAILURE);
}

void way_back_take(struct resumption *r)
{
    if (!r->handover.previous)
        return;
    int stage = RESUMPTION_SERVING;
    if (atomic_compare_exchange_strong(&r->stage, &stage, RESUMPTION_RETURNING)) {
        say("Going back to %s with the present state\n", r->handover.previous);
        relay_succeed(r->relay, return_with_present_state);
        for (;;)
            pause();
    }
    if (stage != RESUMPTION_RESTORING)
        return;
    say("Going back to %s\n", r->handover.previous);
    say("There is no way back: %s\n", strerror(-handover_execute(&r->handover)));
}

/* In the first section any thread goes back; in the second one any but that of the data plane. */
static void on_signal(int number)
{
    struct resumption *r = current;
    int stage = r ? atomic_load(&r->stage) : RESUMPTION_NONE;
    bool ours = r && r->pid == getpid();
    if (ours && stage == RESUMPTION_SERVING && pthread_equal(pthread_self(), r->relay->thread))
        ours = false;
    if (ours && (stage == RESUMPTION_RESTORING || stage == RESUMPTION_SERVING)) {
        say("Signal %d before the bus was ready\n", number);
        way_back_take(r);
    }
    if (ours && stage < RESUMPTION_ENDED)
        _exit(EXIT_FAILURE);
    signal(number, SIG_DFL);
    raise(number);
}

void way_back_begin(struct resumption *r)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_ONSTACK};
    stack_t stack = {.ss_sp = handler_stack, .ss_size = sizeof(handler_stack)};
    current = r;
    sigemptyset(&action.sa_mask);
    sigaltstack(&stack, NULL); /* a sandbox may forbid it */
    for (size_t i = 0; i < CAUGHT; i++)
        sigaction(caught[i], &action, NULL);
}

void way_back_end(struct resumption *r)
{
    (void)r;
    for (size_t i = 0; i < CAUGHT; i++) {
        struct sigaction now;
        if (sigaction(caught[i], NULL, &now) == 0 && now.sa_handler == on_signal)
            signal(caught[i], SIG_DFL);
    }
}
