/* SPDX-License-Identifier: MIT */
#include "state.h"

#include "../client/process.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

struct plan plan;
struct state *state;

static void *map(size_t n, size_t size)
{
    void *found = mmap(NULL, n * size + 1, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (found == MAP_FAILED)
        die("mmap: %s", strerror(errno));
    return found;
}

void state_create(void)
{
    state = map(1, sizeof(*state));
    state->got = map(plan.n_events, sizeof(*state->got));
    state->sent_at = map(plan.n_events, sizeof(*state->sent_at));
    state->took = map(plan.n_events, sizeof(*state->took));
    state->names = map(plan.n_connections, sizeof(*state->names));
    state->connection_of = map(MOST_UNIQUE, sizeof(*state->connection_of));
    state->early = map(MOST_UNIQUE, sizeof(*state->early));
    atomic_store(&state->ops_left, plan.n_ops);
    for (uint32_t i = 0; i < plan.n_events; i++)
        state->events_left += plan.events[i].least;
    for (uint32_t i = 0; i < plan.n_ops; i++)
        state->start_left += plan.ops[i].start && plan.ops[i].reply != NO_EVENT;
}

void state_remark(const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(text, sizeof(text) - 1, format, arguments);
    va_end(arguments);
    if (size <= 0)
        return;
    uint32_t length = (uint32_t)size < sizeof(text) - 2 ? (uint32_t)size : (uint32_t)sizeof(text) - 2;
    text[length++] = '\n';
    uint32_t at = atomic_fetch_add(&state->remarked, length);
    if (at < REMARKS && length < REMARKS - at)
        memcpy(state->remarks + at, text, length);
}

bool state_started(void)
{
    return !atomic_load(&state->start_left);
}

bool state_finished(void)
{
    return !atomic_load(&state->ops_left) && !atomic_load(&state->events_left);
}

/* The clients' wire format ends the program by this, too. */
void die(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("player: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    if (state)
        atomic_store(&state->failed, 1);
    exit(1);
}
