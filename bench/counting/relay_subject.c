/* SPDX-License-Identifier: MIT */
#include "../../transport/relay/api/lifecycle.h"
#include "../../transport/relay/base/shared_heap.h"
#include "subject.h"

#include "../../tests/relay/plane_policy.h"
#include "../../transport/relay/api/loop.h"
#include "../../transport/relay/state/bus.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* The relay without its thread and without a control plane. */
static struct bus bus;
static struct events events;

static void require(bool right, const char *what)
{
    if (right)
        return;
    fprintf(stderr, "instructions: %s failed\n", what);
    exit(EXIT_FAILURE);
}

static void relay_open(const int *fds, int n)
{
    const struct relay_credentials credentials = {.uid = 1000, .fd_passing = true, .loginfo = "client"};
    struct policy *policy;
    memset(&bus, 0, sizeof(bus));
    memset(&events, 0, sizeof(events));
    events.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    require(shared_heap_begun() || shared_heap_begin() == 0, "shared_heap_begin");
    require(lifecycle_begin(&bus, &events, "0123456789abcdef0123456789abcdef") == 0, "lifecycle_begin");
    require(policy_new(&policy, plane_policy, sizeof(plane_policy), 2) == 0, "policy_new");
    policy_free(bus.policy);
    bus.policy = policy;
    for (int i = 0; i < n; i++) {
        struct peer *peer = peer_new((uint64_t)i, fds[i], &credentials);
        struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.ptr = &peer->source};
        require(peer, "peer_new");
        peer->active = true;
        bus.n_active++;
        table_insert(&bus.peers, &peer->node, hash_number(&bus.peers.key, (uint64_t)i));
        peer->user = user_take(&bus, peer->credentials.uid);
        require(epoll_ctl(bus.epoll, EPOLL_CTL_ADD, fds[i], &event) == 0, "epoll_ctl");
    }
}

static void no_commands(void *context)
{
    (void)context;
}

static void relay_wake_up(void)
{
    loop_once(&bus, 0, no_commands, NULL);
}

static void relay_close(void)
{
    lifecycle_end(&bus);
    close(events.fd);
}

const struct subject relay = {"relay", relay_open, relay_wake_up, relay_close};
