/* SPDX-License-Identifier: MIT */
#include "api/relay_internal.h"

#include "accept/door.h"
#include "api/lifecycle.h"
#include "api/loop.h"
#include "base/clock.h"
#include "group/group.h"
#include "send/monitor.h"
#include "state/inbox.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define COMMANDS_TIME 200 /* microseconds per wake-up */

/* Applies commands for COMMANDS_TIME; the rest follows in the next wake-up. */
static void apply_commands(void *context)
{
    struct relay *relay = context;
    int64_t end = clock_microseconds() + COMMANDS_TIME;
    if (relay->commanded.reader != relay->commanded.writer)
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
}

int relay_new(struct relay **out, const char *guid)
{
    struct relay *relay = calloc(1, sizeof(*relay));
    if (!relay)
        return -ENOMEM;
    int error = lifecycle_begin(&relay->bus, &relay->events, guid);
    int told = wake_open(&relay->told), commanded = wake_open(&relay->commanded);
    relay->events.fd = relay->told.writer;
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
    return NULL;
}

int relay_start(struct relay *relay)
{
    sigset_t all, before;
    relay->bus.owner = geteuid();
    sigfillset(&all);
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

static bool open_batch(struct relay *relay)
{
    if (!relay->open)
        relay->open = calloc(1, sizeof(*relay->open));
    return relay->open != NULL;
}

static int relay_push(struct relay *relay, struct command *command)
{
    if (!command)
        return -ENOMEM;
    if (!open_batch(relay)) {
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

static int push_new(struct relay *relay, enum command_kind kind, uint64_t id, uint32_t serial)
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
    if (n == 0 || !open_batch(relay))
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
    if (relay->started) {
        while (push_new(relay, COMMAND_STOP, 0, 0) < 0 || relay_commit(relay) < 0)
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
    free(relay);
}

int relay_set_limits(struct relay *relay, const struct relay_limits *limits)
{
    return relay_push(relay, command_new(COMMAND_SET_LIMITS, 0, NULL, limits, sizeof(*limits)));
}

int relay_load_policy(struct relay *relay, const uint8_t *block, size_t size)
{
    struct policy *policy;
    int error = policy_new(&policy, block, size, 0);
    if (error < 0)
        return error;
    struct command *command = command_new(COMMAND_LOAD_POLICY, 0, NULL, NULL, 0);
    if (command)
        command->policy = policy;
    else
        policy_free(policy);
    return relay_push(relay, command);
}

int relay_set_group(struct relay *relay, int group, uint32_t max_members, bool trust_everybody)
{
    return group_begin(&relay->bus, group, max_members, trust_everybody);
}

int relay_listen(struct relay *relay, int fd, uint32_t number, const char *guid, bool simple)
{
    int own = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (own < 0)
        return -errno;
    struct command *command = command_new(COMMAND_LISTEN, 0, NULL, NULL, 0);
    struct door *door = door_new(own, number, guid, simple);
    if (!command || !door) {
        free(command);
        door_free(door);
        if (!door)
            close(own);
        return -ENOMEM;
    }
    command->door = door;
    return relay_push(relay, command);
}

int relay_stop_listening(struct relay *relay)
{
    return push_new(relay, COMMAND_STOP_LISTENING, 0, 0);
}

int relay_settled(struct relay *relay)
{
    return push_new(relay, COMMAND_SETTLED, 0, 0);
}

uint64_t relay_next_id(struct relay *relay)
{
    return 2 * relay->n_ids++ + 1;
}

uint32_t relay_incomplete(struct relay *relay)
{
    return atomic_load(&relay->bus.incompletes.count);
}

static bool is_seqpacket(int fd)
{
    int type = 0;
    socklen_t size = sizeof(type);
    return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_SEQPACKET;
}

int relay_attach(struct relay *relay, uint64_t id, int fd, int listener, int64_t began,
                 const struct relay_credentials *credentials, const uint8_t *leftover, size_t size,
                 const int *fds, uint32_t n_fds)
{
    struct peer *peer = peer_new(id, fd, credentials);
    struct command *command = peer ? command_new(COMMAND_ATTACH, id, NULL, NULL, 0) : NULL;
    if (!command) {
        for (uint32_t i = 0; i < n_fds; i++)
            close(fds[i]);
        if (!peer)
            close(fd);
        peer_free(peer);
        return -ENOMEM;
    }
    command->attach.peer = peer;
    command->attach.began = began;
    peer->listener = listener;
    peer->seqpacket = is_seqpacket(fd);
    int error = inbox_begin(peer, leftover, size, fds, n_fds);
    if (error < 0) {
        command_free(command);
        return error;
    }
    return relay_push(relay, command);
}

int relay_welcome(struct relay *relay, uint64_t peer, uint32_t serial)
{
    return push_new(relay, COMMAND_WELCOME, peer, serial);
}

int relay_set_queue(struct relay *relay, const char *name, const uint64_t *peers, uint32_t n)
{
    const char *const texts[COMMAND_TEXTS] = {name};
    struct command *command = command_new(COMMAND_SET_QUEUE, 0, texts, peers, (size_t)n * sizeof(*peers));
    if (command && !(command->name = name_new(command->text[0], n))) {
        command_free(command);
        command = NULL;
    }
    return relay_push(relay, command);
}

int relay_leave_queue(struct relay *relay, const char *name, uint64_t peer)
{
    const char *const texts[COMMAND_TEXTS] = {name};
    return relay_push(relay, command_new(COMMAND_LEAVE_QUEUE, peer, texts, NULL, 0));
}

int relay_reply(struct relay *relay, uint64_t peer, uint32_t serial, const char *signature,
                const uint8_t *body, size_t size, bool constant)
{
    const char *const texts[COMMAND_TEXTS] = {signature};
    struct command *command = command_new(COMMAND_REPLY, peer, texts, body, size);
    if (command) {
        command->serial = serial;
        command->constant = constant;
    }
    return relay_push(relay, command);
}

int relay_error(struct relay *relay, uint64_t peer, uint32_t serial, const char *name, const char *text)
{
    const char *const texts[COMMAND_TEXTS] = {name, text};
    struct command *command = command_new(COMMAND_ERROR, peer, texts, NULL, 0);
    if (command)
        command->serial = serial;
    return relay_push(relay, command);
}

int relay_signal(struct relay *relay, uint64_t peer, const char *path, const char *interface,
                 const char *member, const char *signature, const uint8_t *body, size_t size)
{
    const char *const texts[COMMAND_TEXTS] = {path, interface, member, signature};
    return relay_push(relay, command_new(COMMAND_SIGNAL, peer, texts, body, size));
}

int relay_send(struct relay *relay, uint32_t audience, uint8_t type, uint32_t serial, const char *destination,
               const char *path, const char *interface, const char *member, const char *signature,
               const uint8_t *body, size_t size)
{
    const char *const texts[COMMAND_TEXTS] = {path, interface, member, signature, destination};
    struct command *command = command_new(COMMAND_SEND, 0, texts, body, size);
    if (command) {
        command->serial = serial;
        command->send.audience = audience;
        command->send.type = type;
    }
    return relay_push(relay, command);
}

int relay_become_monitor(struct relay *relay, uint64_t peer, uint32_t serial, const char *const *rules,
                         uint32_t n, char *why, size_t why_size)
{
    struct monitor *monitor;
    int error = monitor_new(&monitor, rules, n, why, why_size);
    if (error < 0)
        return error;
    struct command *command = command_new(COMMAND_BECOME_MONITOR, peer, NULL, NULL, 0);
    if (command) {
        command->serial = serial;
        command->monitor = monitor;
    } else {
        monitor_free(monitor);
    }
    return relay_push(relay, command);
}

int relay_resume(struct relay *relay, uint64_t peer)
{
    return push_new(relay, COMMAND_RESUME, peer, 0);
}

int relay_show(struct relay *relay, uint64_t parked)
{
    return push_new(relay, COMMAND_SHOW, parked, 0);
}

int relay_deliver(struct relay *relay, uint64_t parked)
{
    return push_new(relay, COMMAND_DELIVER, parked, 0);
}

int relay_reject(struct relay *relay, uint64_t parked, const char *name, const char *text)
{
    const char *const texts[COMMAND_TEXTS] = {name, text};
    return relay_push(relay, command_new(COMMAND_REJECT, parked, texts, NULL, 0));
}

int relay_disconnect(struct relay *relay, uint64_t peer)
{
    return push_new(relay, COMMAND_DISCONNECT, peer, 0);
}

int relay_forget(struct relay *relay, uint64_t peer)
{
    return push_new(relay, COMMAND_FORGET, peer, 0);
}

int relay_await_name(struct relay *relay, const char *name, bool awaited)
{
    const char *const texts[COMMAND_TEXTS] = {name};
    struct command *command = command_new(COMMAND_AWAIT_NAME, 0, texts, NULL, 0);
    if (command)
        command->awaited = awaited;
    return relay_push(relay, command);
}

int relay_export(struct relay *relay, uint32_t kind, const uint64_t *peers, uint32_t n)
{
    struct command *command = command_new(COMMAND_EXPORT, 0, NULL, peers, (size_t)n * sizeof(*peers));
    struct event *event = calloc(1, sizeof(*event)); /* allocated here, so that the answer cannot fail */
    if (!command || !event) {
        free(command);
        free(event);
        return -ENOMEM;
    }
    command->export.kind = kind;
    command->export.event = event;
    return relay_push(relay, command);
}

int relay_count_starts(struct relay *relay, uint32_t n)
{
    struct command *command = command_new(COMMAND_COUNT_STARTS, 0, NULL, NULL, 0);
    if (command)
        command->n_starts = n;
    return relay_push(relay, command);
}

int relay_set_catalog(struct relay *relay, struct follower *follower, const uint8_t *list, size_t size)
{
    struct catalog *catalog;
    int error = catalog_new(&catalog, follower, list, size);
    if (error < 0)
        return error;
    struct command *command = command_new(COMMAND_SET_CATALOG, 0, NULL, NULL, 0);
    if (!command || !open_batch(relay)) {
        catalog->follower = NULL;
        catalog_free(catalog);
        free(command);
        return -ENOMEM;
    }
    command->catalog = catalog;
    return relay_push(relay, command);
}
