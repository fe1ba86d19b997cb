/* SPDX-License-Identifier: MIT */

/*
 * What three clients send, in pieces: the first byte of a piece says who and how many bytes. Valid messages
 * are in the corpus. All tables have to be empty when the clients are gone.
 */
#include "plane_policy.h"

#include "../../transport/relay/command.h"
#include "../../transport/relay/loop.h"
#include "../../transport/relay/report.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define CLIENTS 3

static void nothing(void *context)
{
    (void)context;
}

static void attach(struct bus *bus, uint64_t id, int fd)
{
    struct relay_credentials credentials = {.uid = (uint32_t)id, .fd_passing = true, .loginfo = "fuzz"};
    struct peer *peer = peer_new(id, fd, &credentials);
    if (!peer)
        abort();
    peer->active = id != 2; /* one has not said Hello */
    table_insert(&bus->peers, &peer->node, hash_number(&bus->peers.key, id));
    peer->user = user_take(bus, peer->uid);
    struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET, .data.ptr = &peer->source};
    if (epoll_ctl(bus->epoll, EPOLL_CTL_ADD, fd, &event) < 0)
        abort();
}

/* Plays the control plane: every call is refused, every parked message delivered or rejected. */
static void answer(struct bus *bus, struct events *events)
{
    struct command_batch *batch = calloc(1, sizeof(*batch));
    const char *const texts[COMMAND_TEXTS] = {"some.Error", "no"};
    struct stack_node *node = stack_take(&events->stack);
    while (node) {
        struct event *event = CONTAINER_OF(node, struct event, node);
        node = node->next;
        struct command *commands[2] = {0};
        if (event->view.kind == RELAY_EVENT_CALL) {
            commands[0] = command_new(COMMAND_ERROR, event->view.peer, texts, NULL, 0);
            commands[1] = command_new(COMMAND_RESUME, event->view.peer, NULL, NULL, 0);
        } else if (event->view.kind == RELAY_EVENT_PARKED) {
            commands[0] = command_new(COMMAND_REJECT, event->view.parked, texts, NULL, 0);
        } else if (event->view.kind == RELAY_EVENT_GONE) {
            commands[0] = command_new(COMMAND_FORGET, event->view.peer, NULL, NULL, 0);
        }
        for (int i = 0; i < 2 && commands[i]; i++) {
            commands[i]->serial = event->view.serial ? event->view.serial : 1;
            if (batch->last)
                batch->last->next = commands[i];
            else
                batch->first = commands[i];
            batch->last = commands[i];
        }
        if (event->owned) {
            report_end_event(bus, bus_peer(bus, event->peer), event);
            free(event);
        }
    }
    bus->n_log = 0;
    command_batch_apply(bus, batch, INT64_MAX);
}

static void turn(struct bus *bus, struct events *events)
{
    for (int i = 0; i < 3; i++) {
        loop_once(bus, 0, nothing, NULL);
        answer(bus, events);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bus bus;
    struct events events = {.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
    struct policy *policy;
    int ends[CLIENTS];
    if (bus_init(&bus, &events, "0123456789abcdef0123456789abcdef") < 0 ||
        policy_new(&policy, plane_policy, sizeof(plane_policy), 2) < 0)
        abort();
    policy_free(bus.policy);
    bus.policy = policy;
    bus.limits.max_names_per_connection = 4;
    for (uint64_t i = 0; i < CLIENTS; i++) {
        int pair[2];
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
            abort();
        ends[i] = pair[0];
        attach(&bus, i, pair[1]);
    }
    while (size > 1) {
        size_t n = (size_t)(data[0] >> 2) * 16 + 1;
        n = n < size - 1 ? n : size - 1;
        ssize_t sent = send(ends[data[0] % CLIENTS], data + 1, n, MSG_DONTWAIT | MSG_NOSIGNAL);
        (void)sent;
        turn(&bus, &events);
        data += n + 1;
        size -= n + 1;
    }
    for (int i = 0; i < CLIENTS; i++)
        close(ends[i]);
    turn(&bus, &events);
    turn(&bus, &events);
    if (bus.peers.count || bus.registry.names.count || bus.replies.table.count || bus.parking.ids.count ||
        bus.uids.count || bus.users.count || match_index_count(bus.matches))
        abort();
    bus_free(&bus);
    close(events.fd);
    return 0;
}
