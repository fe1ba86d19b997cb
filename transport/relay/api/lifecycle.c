/* SPDX-License-Identifier: MIT */
#include "api/lifecycle.h"

#include "accept/door.h"
#include "accept/hello.h"
#include "accept/incomplete.h"
#include "accept/leave.h"
#include "send/mediate.h"
#include "send/monitor.h"
#include "send/output.h"
#include "state/group_ops.h"
#include "state/inbox.h"
#include "state/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

/* A policy without rules allows nothing. */
static const uint8_t empty_policy[] = "OMNIPOL1\0\0\0\0\x40\0\0\0\x20\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0";

static const struct relay_limits first_limits = {
    .max_incoming_bytes = 127u << 20,
    .max_outgoing_bytes = 127u << 20,
    .max_incoming_unix_fds = 64,
    .max_outgoing_unix_fds = 64,
    .max_message_size = 32u << 20,
    .max_message_unix_fds = 16,
    .max_match_rules_per_connection = 512,
    .max_replies_per_connection = 128,
    .max_incomplete_connections = 64,
    .max_pending_service_starts = 512,
    .auth_timeout = 30000,
    .reply_timeout = -1,
    .pending_fd_timeout = 150000,
};

static void lose(struct bus *bus, struct peer *peer, enum relay_gone reason)
{
    if (peer_is_gone(peer))
        return;
    peer->life = PEER_GONE;
    /*
     * The socket is closed when the peer is forgotten: a client that sees its end finds that its names have
     * no owner.
     */
    epoll_ctl(bus->epoll, EPOLL_CTL_DEL, peer->fd, NULL);
    GROUP_CALL(bus, leave, bus, peer);
    output_drop(peer);
    inbox_drop(peer);
    list_unlink(&peer->input.in_ready);
    list_unlink(&peer->input.in_paused);
    list_unlink(&peer->input.in_fd_waits);
    list_unlink(&peer->output.in_touched);
    list_unlink(&peer->in_observers);
    incomplete_remove(bus, &peer->incomplete);
    /* as in the reference, which looks for rules that name the peer only if it has rules itself */
    if (match_list_count(peer->matches) > 0)
        match_index_forget(bus->matches, peer->unique);
    if (peer->monitor)
        monitor_end(bus, peer);
    match_index_depart(bus->matches, peer->matches);
    peer->matches = NULL;
    LIST_FOR_SAFE (at, after, &peer->calls.parked) {
        struct parked *parked = CONTAINER_OF(at, struct parked, in_sender);
        /*
         * a message that monitors have not seen yet stays, as does its sender, until the control plane
         * answers
         */
        if (parked->shown || !monitored(bus))
            parking_drop(&bus->parking, parked);
    }
    hello_leave(bus, peer);
    peer->reports.gone.view.peer = peer->id;
    peer->reports.gone.view.reason = reason;
    peer->reports.gone.view.active = peer->active;
    leave(bus, peer);
}

int lifecycle_begin(struct bus *bus, struct events *events, const char *guid)
{
    memset(bus, 0, sizeof(*bus));
    bus->events = events;
    bus->lose = lose;
    bus->mediating.kind = SOURCE_MEDIATION;
    bus->limits = first_limits;
    bus->tick = -1;
    bus->commanded = -1;
    list_init(&bus->touched);
    list_init(&bus->observers);
    list_init(&bus->leaving);
    list_init(&bus->unsettled);
    list_init(&bus->doors);
    list_init(&bus->incompletes.all);
    bus->accepting = true;
    list_init(&bus->ready);
    list_init(&bus->paused);
    list_init(&bus->backlogs);
    list_init(&bus->fd_waits);
    list_init(&bus->replies.by_time);
    prepared_init(&bus->prepared);
    snprintf(bus->guid, sizeof(bus->guid), "%s", guid);
    bus->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (bus->epoll < 0)
        return -errno;
    if (table_init(&bus->peers) < 0 || table_init(&bus->users) < 0 ||
        registry_init(&bus->registry, &bus->policy) < 0 || replies_init(&bus->replies) < 0 ||
        parking_init(&bus->parking, &bus->registry) < 0 || batch_init(&bus->batch) < 0 ||
        match_index_new(&bus->matches) < 0 || monitors_init(&bus->monitors) < 0 ||
        policy_new(&bus->policy, empty_policy, sizeof(empty_policy), 1) < 0)
        return -ENOMEM;
    return 0;
}

static void forget_all(struct bus *bus)
{
    struct table_node *node = NULL;
    doors_shut(bus);
    doors_free(bus);
    if (!bus->peers.buckets)
        return;
    while ((node = table_walk(&bus->peers, node)))
        bus_lose(bus, CONTAINER_OF(node, struct peer, node), RELAY_GONE_DISCONNECTED);
    users_free(bus); /* before the objects that their reports are embedded in */
    replies_free(&bus->replies);
    parking_free(&bus->parking);
    registry_free(&bus->registry);
    LIST_FOR_SAFE (at, after, &bus->unsettled) {
        struct peer *peer = CONTAINER_OF(at, struct peer, in_leaving);
        if (peer->life == PEER_FORGOTTEN)
            peer_free(peer);
    }
    while ((node = table_any(&bus->peers))) {
        table_remove(&bus->peers, node);
        peer_free(CONTAINER_OF(node, struct peer, node));
    }
    table_free(&bus->peers);
}

void lifecycle_end(struct bus *bus)
{
    batch_reset(&bus->batch);
    bus->n_log = LOG_LINES_MAX; /* events are no longer taken */
    forget_all(bus);
    batch_free(&bus->batch);
    GROUP_CALL(bus, end, bus);
    if (bus->matches)
        match_index_free(bus->matches);
    monitors_free(&bus->monitors);
    mediate_with(bus, NULL);
    policy_free(bus->policy);
    catalog_free(bus->catalog);
    prepared_free(&bus->prepared);
    marshal_free(&bus->marshal);
    pool_free(&bus->pool);
    free(bus->freezing);
    if (bus->epoll >= 0)
        close(bus->epoll);
    bus->epoll = -1;
}
