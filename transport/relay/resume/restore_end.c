/* SPDX-License-Identifier: MIT */
#include "resume/resume_internal.h"

#include "accept/handshake.h"
#include "accept/incomplete.h"
#include "resume/in_order.h"
#include "route/route.h"
#include "state/inbox.h"
#include "state/log.h"
#include "state/report.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/epoll.h>

/* The end of a restore: descriptors are taken over, and the control plane gets to know what there is. */

static void place_descriptors(struct restore *s, bool open)
{
    for (uint32_t i = 0; i < s->n_descriptors; i++)
        *s->descriptors[i].slot = open ? s->descriptors[i].fd : -1;
}

static bool watch_peer(struct bus *bus, struct peer *peer)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET, .data.ptr = &peer->source};
    event.events |= peer->output.writing ? EPOLLOUT : 0;
    return epoll_ctl(bus->epoll, EPOLL_CTL_ADD, peer->fd, &event) == 0;
}

/* Registers all sockets. epoll reports what they have by now, so nothing that came meanwhile is missed. */
static int watch_all(struct bus *bus)
{
    int error = doors_watch(bus);
    struct table_node *node = NULL;
    while (error == 0 && (node = table_walk(&bus->peers, node)))
        error = watch_peer(bus, CONTAINER_OF(node, struct peer, node)) ? 0 : -errno;
    for (struct list *at = bus->incompletes.all.next; error == 0 && at != &bus->incompletes.all;
         at = at->next) {
        struct peer *peer = CONTAINER_OF(at, struct peer, incomplete.in_all);
        if (!peer->handshake)
            continue;
        peer->handshake->watched = bus_watch(bus, peer, peer->handshake->fd);
        error = peer->handshake->watched ? 0 : -errno;
    }
    return error;
}

/* Takes the descriptors over, or leaves all of them alone. */
static int take_over(struct restore *s, char *why, size_t why_size)
{
    if (s->rehearsal)
        return 0;
    place_descriptors(s, true);
    int error = watch_all(s->bus);
    if (error < 0) {
        place_descriptors(s, false);
        return refuse_restore(why, why_size, error, "epoll", "a descriptor of the state");
    }
    for (uint32_t i = 0; i < s->n_descriptors; i++)
        fcntl(s->descriptors[i].fd, F_SETFD, FD_CLOEXEC);
    return 0;
}

/* The number of the door is replaced by its socket. */
static void set_listeners(struct restore *s)
{
    struct table_node *node = NULL;
    while ((node = table_walk(&s->bus->peers, node))) {
        struct peer *peer = CONTAINER_OF(node, struct peer, node);
        if (peer->listener >= 0)
            peer->listener = s->doors[peer->listener]->fd;
    }
}

/* All that is reported again, in the order in which it is. */
struct again {
    struct peer **peers;
    struct parked **parked;
    uint32_t n_peers, n_parked;
};

static void report_peer_again(struct bus *bus, struct peer *peer)
{
    struct relay_event *view = &peer->reports.arrival.view;
    view->kind = RELAY_EVENT_ADMITTED;
    view->peer = peer->id;
    view->credentials = &peer->credentials;
    view->active = peer->active;
    view->monitor = peer->monitor != NULL;
    report_arrival(bus, peer);
}

static void report_handed_up_again(struct bus *bus, struct event *event)
{
    struct peer_creds_user found;
    bool known = event->view.fd >= 0 && peer_creds_user(event->view.fd, &found);
    struct user *user = known ? user_take(bus, found.uid) : NULL;
    incomplete_above(bus, 1);
    report(bus, NULL, user, event);
    user_release(bus, user);
}

/* A parked message precedes a later call of its sender. */
static void report_again(struct restore *s, const struct again *again)
{
    struct bus *bus = s->bus;
    for (uint32_t i = 0; i < again->n_peers; i++)
        report_peer_again(bus, again->peers[i]);
    for (uint32_t i = 0; i < again->n_parked; i++)
        route_parked_again(bus, again->parked[i]);
    for (uint32_t i = 0; i < again->n_peers; i++) {
        if (again->peers[i]->calls.held)
            route_held_again(bus, again->peers[i]);
    }
    for (uint32_t i = 0; i < s->n_handed_up; i++)
        report_handed_up_again(bus, s->handed_up[i]);
    s->n_handed_up = 0;
    events_hurry(bus->events);
    events_wake(bus->events);
}

/* Input that was received and not routed is due for a turn. */
static void resume_input(const struct again *again, struct bus *bus)
{
    for (uint32_t i = 0; i < again->n_peers; i++) {
        struct peer *peer = again->peers[i];
        if (peer->input.waiting || peer->input.readable)
            inbox_resume(bus, peer);
    }
}

int restore_end(struct restore *s, char *why, size_t why_size)
{
    struct again again;
    again.peers = peers_in_order(s->bus, &again.n_peers);
    again.parked = parked_in_order(s->bus, &again.n_parked);
    int error = again.peers && again.parked
                    ? take_over(s, why, why_size)
                    : refuse_restore(why, why_size, -ENOMEM, "the state cannot be restored", "events");
    if (error == 0) {
        set_listeners(s);
        resume_input(&again, s->bus);
        report_again(s, &again);
    }
    if (error == 0 && s->view->n_skipped > 0)
        log_line(s->bus, LOG_NOTICE, "%u sections of the state are unknown and were skipped",
                 s->view->n_skipped);
    free(again.peers);
    free(again.parked);
    return error;
}
