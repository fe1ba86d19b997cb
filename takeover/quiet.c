/* SPDX-License-Identifier: MIT */
#include "takeover.h"

#include <stdlib.h>
#include <sys/epoll.h>

/* What a client is called in a report: by its process. */
static void hinder(struct takeover *t, int fd, const char *what)
{
    const struct socket_entry *entry = sockets_at(&t->sockets, (uint64_t)fd);
    const struct traffic_client *client = traffic_client(&t->traffic, (uint64_t)fd);
    const char *who = entry && entry->peer.loginfo ? entry->peer.loginfo : "a client";
    if (client && client->id != UINT64_MAX)
        obstacles_add(&t->obstacles, fd, ":1.%llu (%.90s) %s", (unsigned long long)client->id, who, what);
    else
        obstacles_add(&t->obstacles, fd, "%.90s %s", who, what);
}

static const char *why_nameless(const struct traffic_client *client)
{
    if (client && client->handshake)
        return "authenticates";
    if (client && client->out.in_step && !client->reads)
        return "is a monitor";
    return "has not said Hello, is a monitor, or does not read what it is sent";
}

/* Connections, by the kind of their sockets. Returns how many clients have no name that is known. */
static uint32_t check_sockets(struct takeover *t)
{
    uint32_t n = 0;
    for (size_t fd = 0; fd < t->sockets.n; fd++) {
        const struct socket_entry *entry = sockets_at(&t->sockets, fd);
        if (entry && entry->kind == SOCKET_OUTSIDE)
            obstacles_add(&t->obstacles, (int)fd, "descriptor %zu is a TCP socket", fd);
        if (!entry || entry->kind != SOCKET_CLIENT)
            continue;
        const struct traffic_client *client = traffic_client(&t->traffic, fd);
        if (client && client->id != UINT64_MAX)
            continue;
        hinder(t, (int)fd, why_nameless(client));
        n++;
    }
    return n;
}

void quiet_check_clients(struct takeover *t)
{
    uint32_t n_nameless = check_sockets(t), n_unknown = 0;
    for (uint32_t i = 0; i < t->snapshot.n_ids; i++)
        n_unknown += traffic_fd(&t->traffic, t->snapshot.ids[i]) < 0;
    for (uint32_t i = 0; n_unknown > n_nameless && i < t->snapshot.n_ids; i++) {
        unsigned long long id = t->snapshot.ids[i];
        if (traffic_fd(&t->traffic, id) < 0)
            obstacles_add(&t->obstacles, -1, ":1.%llu: its descriptor can't be found", id);
    }
    if (process_has_children(&t->process))
        obstacles_add(&t->obstacles, -1, "The daemon is starting a program");
}

static void check_client(struct takeover *t, const struct traffic_client *client, uint32_t events)
{
    const struct stream *in = &client->in;
    if (events & EPOLLOUT)
        hinder(t, client->fd, "does not read what it is sent");
    else if (!(events & EPOLLIN))
        hinder(t, client->fd, "has sent too much, so that it is not read from");
    else if (in->broken)
        hinder(t, client->fd, "has sent something that is no message");
    else if (in->size > 0 && !in->in_step)
        hinder(t, client->fd, "is in the middle of a message that began before");
    else if (in->size > 0 && client->fds_end > in->begin)
        hinder(t, client->fd, "has sent descriptors, and half of their message");
}

void quiet_check(struct takeover *t)
{
    uint32_t *events = calloc(t->traffic.n > 0 ? t->traffic.n : 1, sizeof(*events));
    if (!events || !process_watched(&t->process, (int)t->tracer.call.args[0], events, t->traffic.n))
        obstacles_add(&t->obstacles, -1, "What the daemon waits for can't be read");
    for (size_t fd = 0; events && fd < t->traffic.n; fd++) {
        const struct traffic_client *client = traffic_client(&t->traffic, fd);
        if (client && client->id != UINT64_MAX)
            check_client(t, client, events[fd]);
    }
    free(events);
}
