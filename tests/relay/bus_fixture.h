/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_TEST_BUS_FIXTURE_H
#define OMNIBUS_TEST_BUS_FIXTURE_H

/* A bus without threads, with clients at the other ends of socketpairs; tests call loop_once. */

#include "../../transport/relay/api/lifecycle.h"
#include "check.h"

#include "../../transport/relay/api/command.h"
#include "../../transport/relay/api/loop.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define PEERS 4

struct bus_fixture {
    struct bus bus;
    struct events events;
    struct peer *peers[PEERS];
    int ends[PEERS];
};

static inline void nothing(void *context)
{
    (void)context;
}

static inline void bus_fixture_open(struct bus_fixture *f, const uint32_t uids[PEERS])
{
    memset(f, 0, sizeof(*f));
    f->events.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    CHECK_EQUAL(lifecycle_begin(&f->bus, &f->events, "0123456789abcdef0123456789abcdef"), 0);
    f->bus.limits.max_outgoing_bytes = 4u << 20;
    f->bus.limits.max_incoming_bytes = 4u << 20;
    for (uint32_t i = 0; i < PEERS; i++) {
        int ends[2];
        struct relay_credentials credentials = {.uid = uids[i], .fd_passing = true, .loginfo = "test"};
        CHECK_EQUAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
        f->ends[i] = ends[0];
        f->peers[i] = peer_new(i, ends[1], &credentials);
        f->peers[i]->active = true;
        table_insert(&f->bus.peers, &f->peers[i]->node, hash_number(&f->bus.peers.key, i));
        f->peers[i]->user = user_take(&f->bus, uids[i]);
        struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.ptr = &f->peers[i]->source};
        CHECK_EQUAL(epoll_ctl(f->bus.epoll, EPOLL_CTL_ADD, ends[1], &event), 0);
    }
}

static inline void bus_fixture_close(struct bus_fixture *f)
{
    for (uint32_t i = 0; i < PEERS; i++)
        close(f->ends[i]);
    struct stack_node *node = stack_take(&f->events.stack);
    while (node) {
        struct event *event = CONTAINER_OF(node, struct event, node);
        node = node->next;
        if (event->owned)
            free(event);
    }
    lifecycle_end(&f->bus);
    close(f->events.fd);
}

#endif
