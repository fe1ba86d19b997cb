/* SPDX-License-Identifier: MIT */
#include "api/relay_internal.h"

#include "api/lifecycle.h"
#include "api/loop.h"
#include "api/standby.h"
#include "base/clock.h"
#include "group/group.h"

#include <errno.h>
#include <signal.h>
#include <sys/epoll.h>
#include <unistd.h>

#define COMMANDS_TIME 200 /* microseconds per wake-up */

/* Applies commands for COMMANDS_TIME; the rest follows in the next wake-up. */
static void apply_commands(void *context)
{
    struct relay *relay = context;
    int64_t end = clock_microseconds() + COMMANDS_TIME;
    if (relay->bus.frozen || relay->commanded.reader != relay->commanded.writer)
        wake_clear(&relay->commanded);
    struct stack_node **at = &relay->batches;
    while (*at)
        at = &(*at)->next;
    *at = stack_take(&relay->commands);
    while (relay->batches) {
        struct stack_node *next = relay->batches->next;
        if (!command_batch_apply(&relay->bus, CONTAINER_OF(relay->batches, struct command_batch, node), end))
            break;
        relay->batches = next;
        if (clock_microseconds() >= end)
            break;
    }
    relay->bus.commands_wait = relay->batches != NULL;
    if (atomic_load_explicit(&relay->successor, memory_order_acquire))
        relay->bus.stop = true;
}

int relay_new(struct relay **out, const char *guid)
{
    struct relay *relay = calloc(1, sizeof(*relay));
    if (!relay)
        return -ENOMEM;
    int error = lifecycle_begin(&relay->bus, &relay->events, guid);
    int told = wake_open(&relay->told), commanded = wake_open(&relay->commanded);
    relay->events.fd = relay->told.writer;
    relay->bus.commanded = relay->commanded.reader;
    if (error == 0)
        error = told < 0 ? told : commanded;
    /* edge-triggered: each write is reported, so the eventfd need not be read */
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.ptr = &relay->source};
    if (error == 0 && epoll_ctl(relay->bus.epoll, EPOLL_CTL_ADD, relay->commanded.reader, &event) < 0)
        error = -errno;
    if (error < 0) {
        relay_free(relay);
        return error;
    }
    *out = relay;
    return 0;
}

static void *relay_thread(void *context)
{
    struct relay *relay = context;
    loop_run(&relay->bus, apply_commands, relay);
    relay_successor successor = atomic_load_explicit(&relay->successor, memory_order_acquire);
    if (successor)
        successor(relay);
    return NULL;
}

void relay_succeed(struct relay *relay, relay_successor successor)
{
    atomic_store_explicit(&relay->successor, successor, memory_order_release);
    wake_up(&relay->commanded);
}

int relay_start(struct relay *relay)
{
    sigset_t all, before;
    relay->bus.owner = geteuid();
    sigfillset(&all);
    standby_unblock_faults(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&relay->thread, NULL, relay_thread, relay);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    relay->started = error == 0;
    return -error;
}

int relay_poll_fd(struct relay *relay)
{
    return relay->bus.epoll;
}

int relay_turn(struct relay *relay)
{
    relay->turns = true;
    loop_once(&relay->bus, 0, apply_commands, relay);
    return loop_wait_time(&relay->bus);
}

bool relay_open_batch(struct relay *relay)
{
    if (!relay->open)
        relay->open = calloc(1, sizeof(*relay->open));
    return relay->open != NULL;
}

int relay_push(struct relay *relay, struct command *command)
{
    if (!command)
        return -ENOMEM;
    if (!relay_open_batch(relay)) {
        command_free(command);
        return -ENOMEM;
    }
    if (relay->open->last)
        relay->open->last->next = command;
    else
        relay->open->first = command;
    relay->open->last = command;
    return 0;
}

int relay_push_new(struct relay *relay, enum command_kind kind, uint64_t id, uint32_t serial)
{
    struct command *command = command_new(kind, id, NULL, NULL, 0);
    if (command)
        command->serial = serial;
    return relay_push(relay, command);
}

/*
 * Tells the data plane which reports with memory of their own were taken; without memory, the next commit
 * does.
 */
static void push_taken(struct relay *relay)
{
    size_t n = 0, n_reports = 0;
    for (const struct event *event = relay->read; event; event = event_next(event)) {
        n += event->untold;
        n_reports += event->untold && event->user;
    }
    if (n == 0 || !relay_open_batch(relay))
        return;
    size_t size = n_reports * sizeof(struct command_taken);
    struct command *command = command_new(COMMAND_TAKEN, 0, NULL, NULL, size);
    if (!command)
        return;
    command->n_log = (uint32_t)(n - n_reports);
    command->size = size;
    uint8_t *to = command->data;
    for (struct event *event = relay->read; event; event = event_next(event)) {
        if (!event->untold)
            continue;
        event->untold = false;
        command->n_log += event->user && event->view.kind == RELAY_EVENT_LOG;
        struct command_taken taken = {event->user, event->peer};
        if (event->user)
            to = (uint8_t *)memcpy(to, &taken, sizeof(taken)) + sizeof(taken);
    }
    relay_push(relay, command);
}

int relay_commit(struct relay *relay)
{
    push_taken(relay);
    if (!relay->open)
        return 0;
    bool wake = stack_push(&relay->commands, &relay->open->node);
    relay->open = NULL;
    if (wake)
        wake_up(&relay->commanded);
    return 0;
}

static void batches_free(struct stack_node *node)
{
    while (node) {
        struct stack_node *next = node->next;
        command_batch_free(CONTAINER_OF(node, struct command_batch, node));
        node = next;
    }
}

void relay_free(struct relay *relay)
{
    if (!relay)
        return;
    relay_dismiss(relay);
    if (relay->started) {
        while (relay_push_new(relay, COMMAND_STOP, 0, 0) < 0 || relay_commit(relay) < 0)
            usleep(1000);
        pthread_join(relay->thread, NULL);
    } else if (relay->turns) {
        do
            relay_turn(relay);
        while (relay->bus.commands_wait);
    }
    relay_drain(relay);
    command_batch_free(relay->open);
    batches_free(relay->batches);
    batches_free(stack_take(&relay->commands));
    lifecycle_end(&relay->bus);
    wake_close(&relay->told);
    wake_close(&relay->commanded);
    free(relay->kept);
    free(relay);
}

int relay_set_group(struct relay *relay, int group, uint32_t max_members, bool trust_everybody)
{
    return group_begin(&relay->bus, group, max_members, trust_everybody);
}

int relay_begin_group(struct relay *relay, int group, uint32_t max_members, bool trust_everybody)
{
    struct command *command = command_new(COMMAND_BEGIN_GROUP, 0, NULL, NULL, 0);
    if (!command) {
        close(group);
        return -ENOMEM;
    }
    command->group.begin = group_begin;
    command->group.fd = group;
    command->group.max_members = max_members;
    command->group.trust_everybody = trust_everybody;
    return relay_push(relay, command);
}

_Bool relay_has_thread(struct relay *relay)
{
    return relay->started;
}

uint32_t relay_incomplete(struct relay *relay)
{
    return atomic_load(&relay->bus.incompletes.count);
}
