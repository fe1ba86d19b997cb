/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_TEST_YARD_H
#define OMNIBUS_TEST_YARD_H

/* A bus without threads, whose clients are the other ends of socketpairs and whose wake-ups are called by
 * hand. */

#include "../../transport/relay/api/lifecycle.h"
#include "check.h"

#include "../../transport/relay/api/command.h"
#include "../../transport/relay/api/loop.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define PEERS 4

struct yard {
    struct bus bus;
    struct events events;
    struct peer *peers[PEERS];
    int ends[PEERS];
};

static inline void nothing(void *context)
{
    (void)context;
}

static inline void yard_open(struct yard *y, const uint32_t uids[PEERS])
{
    memset(y, 0, sizeof(*y));
    y->events.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    CHECK_EQUAL(lifecycle_begin(&y->bus, &y->events, "0123456789abcdef0123456789abcdef"), 0);
    y->bus.limits.max_outgoing_bytes = 4u << 20;
    y->bus.limits.max_incoming_bytes = 4u << 20;
    for (uint32_t i = 0; i < PEERS; i++) {
        int ends[2];
        struct relay_credentials credentials = {.uid = uids[i], .fd_passing = true, .loginfo = "test"};
        CHECK_EQUAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
        y->ends[i] = ends[0];
        y->peers[i] = peer_new(i, ends[1], &credentials);
        y->peers[i]->active = true;
        table_insert(&y->bus.peers, &y->peers[i]->node, hash_number(&y->bus.peers.key, i));
        y->peers[i]->user = user_take(&y->bus, uids[i]);
        struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.ptr = &y->peers[i]->source};
        CHECK_EQUAL(epoll_ctl(y->bus.epoll, EPOLL_CTL_ADD, ends[1], &event), 0);
    }
}

static inline void yard_close(struct yard *y)
{
    for (uint32_t i = 0; i < PEERS; i++)
        close(y->ends[i]);
    struct stack_node *node = stack_take(&y->events.stack);
    while (node) {
        struct event *event = CONTAINER_OF(node, struct event, node);
        node = node->next;
        if (event->owned)
            free(event);
    }
    lifecycle_end(&y->bus);
    close(y->events.fd);
}

#endif
