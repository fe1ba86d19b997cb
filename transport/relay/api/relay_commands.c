/* SPDX-License-Identifier: MIT */
#include "api/relay_internal.h"

#include "accept/door.h"
#include "send/monitor.h"
#include "state/inbox.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

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

int relay_listen(struct relay *relay, int fd, uint32_t number, const char *guid, bool simple,
                 bool only_external)
{
    int own = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (own < 0)
        return -errno;
    struct command *command = command_new(COMMAND_LISTEN, 0, NULL, NULL, 0);
    struct door *door = door_new(own, number, guid, simple, only_external);
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

int relay_shut(struct relay *relay, uint32_t number)
{
    struct command *command = command_new(COMMAND_SHUT, 0, NULL, NULL, 0);
    if (command)
        command->door_number = number;
    return relay_push(relay, command);
}

int relay_stop_listening(struct relay *relay)
{
    return relay_push_new(relay, COMMAND_STOP_LISTENING, 0, 0);
}

int relay_dissolve_group(struct relay *relay)
{
    return relay_push_new(relay, COMMAND_DISSOLVE_GROUP, 0, 0);
}

int relay_settled(struct relay *relay)
{
    return relay_push_new(relay, COMMAND_SETTLED, 0, 0);
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
    return relay_push_new(relay, COMMAND_WELCOME, peer, serial);
}

int relay_set_queue(struct relay *relay, const char *name, const uint64_t *peers, const uint32_t *flags,
                    uint32_t n)
{
    const char *const texts[COMMAND_TEXTS] = {name};
    struct command *command = command_new(COMMAND_SET_QUEUE, 0, texts, peers, (size_t)n * sizeof(*peers));
    if (command && !(command->name = name_new(command->text[0], n))) {
        command_free(command);
        command = NULL;
    }
    if (command && flags) {
        LIST_FOR (at, &command->name->queue)
            CONTAINER_OF(at, struct queue_entry, in_name)->flags = *flags++;
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

int relay_name_instances(struct relay *relay, uint64_t peer)
{
    return relay_push_new(relay, COMMAND_NAME_INSTANCES, peer, 0);
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

static int push_monitor(struct relay *relay, uint64_t peer, uint32_t serial, struct monitor *monitor)
{
    struct command *command = command_new(COMMAND_BECOME_MONITOR, peer, NULL, NULL, 0);
    if (command) {
        command->serial = serial;
        command->monitor = monitor;
    } else {
        monitor_free(monitor);
    }
    return relay_push(relay, command);
}

int relay_become_monitor(struct relay *relay, uint64_t peer, uint32_t serial, const char *const *rules,
                         uint32_t n, char *why, size_t why_size)
{
    struct monitor *monitor;
    int error = monitor_new(&monitor, rules, n, why, why_size);
    return error < 0 ? error : push_monitor(relay, peer, serial, monitor);
}

int relay_become_tracer(struct relay *relay, uint64_t peer, uint32_t serial, const char *const *rules,
                        uint32_t n, char *why, size_t why_size)
{
    struct monitor *monitor;
    int error = monitor_new(&monitor, rules, n, why, why_size);
    if (error < 0)
        return error;
    monitor->stamped = true;
    return push_monitor(relay, peer, serial, monitor);
}

int relay_resume(struct relay *relay, uint64_t peer)
{
    return relay_push_new(relay, COMMAND_RESUME, peer, 0);
}

int relay_show(struct relay *relay, uint64_t parked)
{
    return relay_push_new(relay, COMMAND_SHOW, parked, 0);
}

int relay_deliver(struct relay *relay, uint64_t parked)
{
    return relay_push_new(relay, COMMAND_DELIVER, parked, 0);
}

int relay_reject(struct relay *relay, uint64_t parked, const char *name, const char *text)
{
    const char *const texts[COMMAND_TEXTS] = {name, text};
    return relay_push(relay, command_new(COMMAND_REJECT, parked, texts, NULL, 0));
}

int relay_disconnect(struct relay *relay, uint64_t peer)
{
    return relay_push_new(relay, COMMAND_DISCONNECT, peer, 0);
}

int relay_forget(struct relay *relay, uint64_t peer)
{
    return relay_push_new(relay, COMMAND_FORGET, peer, 0);
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
    struct command *command =
        command_new_answered(COMMAND_EXPORT, 0, NULL, peers, (size_t)n * sizeof(*peers), 0);
    if (command)
        command->export = kind;
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
    if (!command || !relay_open_batch(relay)) {
        catalog->follower = NULL;
        catalog_free(catalog);
        free(command);
        return -ENOMEM;
    }
    command->catalog = catalog;
    return relay_push(relay, command);
}
