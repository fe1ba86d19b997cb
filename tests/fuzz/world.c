/* SPDX-License-Identifier: MIT */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "world.h"

#include "receive.h"

#include <errno.h>
#include <grp.h>
#include <stdarg.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define EVENTS 64

void fail(const struct world *w, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fprintf(stderr, "FAILURE: ");
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, "\nAT: round %u, action %u\n", w->round, w->action);
    exit(1);
}

int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void plan_note(struct world *w, uint32_t a, uint32_t b, uint32_t c)
{
    const uint32_t words[3] = {a, b, c};
    for (int i = 0; i < 3; i++) {
        w->digest ^= words[i];
        w->digest *= 0x100000001b3u;
        w->digest ^= w->digest >> 29;
    }
}

/* The kernel records the credentials at connect. Returns -EAGAIN or, of a container's server, -1 as well. */
static int connect_as(const struct world *w, const char *path, uint32_t uid)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        fail(w, "no socket: %s", strerror(errno));
    bool other = geteuid() == 0 && uid != 0;
    if (other && (setgroups(0, NULL) < 0 || setegid(uid) < 0 || seteuid(uid) < 0))
        fail(w, "can't become uid %u", uid);
    int error = connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ? errno : 0;
    if (other && (seteuid(0) < 0 || setegid(0) < 0))
        fail(w, "can't become root again");
    if (error == 0)
        return fd;
    close(fd);
    if (error == EAGAIN)
        return -EAGAIN;
    if (path == w->settings.path)
        fail(w, "the bus is gone: %s", strerror(error));
    return -1;
}

static void wait_for(struct world *w, struct client *c)
{
    bool reads = c->reading || c->state != CLIENT_ACTIVE; /* until each knows its name */
    uint32_t events = (reads ? (uint32_t)EPOLLIN : 0) | (client_pending(c) ? (uint32_t)EPOLLOUT : 0);
    if (c->fd < 0 || events == c->events)
        return;
    struct epoll_event event = {.events = events, .data.ptr = c};
    if (epoll_ctl(w->epoll, EPOLL_CTL_MOD, c->fd, &event) < 0)
        fail(w, "epoll_ctl: %s", strerror(errno));
    c->events = events;
}

struct client *world_connect(struct world *w, uint32_t slot, uint32_t uid, struct container_server server)
{
    int fd = server.socket[0] ? connect_as(w, server.socket, uid) : -1;
    bool contained = fd >= 0;
    if (fd == -1)
        fd = connect_as(w, w->settings.path, uid);
    if (fd < 0)
        return NULL;
    struct client *c = client_new(w->n_clients, slot, uid, fd);
    if (contained) {
        memcpy(c->instance, server.instance, sizeof(c->instance));
        reached[REACHED_CONTAINED]++;
    }
    struct epoll_event event = {.events = 0, .data.ptr = c};
    if (epoll_ctl(w->epoll, EPOLL_CTL_ADD, fd, &event) < 0)
        fail(w, "epoll_ctl: %s", strerror(errno));
    reached[REACHED_CONNECTED]++;
    return c;
}

static void count_end(const struct client *c)
{
    if (c->close_half && c->out_at >= c->close_at) {
        reached[REACHED_HALF_AT_CLOSE]++;
        if (c->close_fds)
            reached[REACHED_FDS_AT_CLOSE]++;
    }
}

void world_end(struct world *w, struct client *c)
{
    count_end(c);
    if (c->state == CLIENT_WAITING || c->state == CLIENT_GREETING)
        w->strangers++; /* others may receive its messages after Hello */
    c->ended = true;
    client_close(c);
}

/* The bus has closed the connection, or a shut connection has no more input. */
static void lost(struct world *w, struct client *c)
{
    if (c == w->control)
        fail(w, "the bus has disconnected the fuzzer's own connection");
    if (!c->wild && !c->may_be_cut && !c->loiterer && !c->shut && c->state == CLIENT_ACTIVE && !c->monitor)
        fail(w, "the bus has disconnected %s (client %u, uid %u) for no reason", c->unique, c->id, c->uid);
    if (c->state == CLIENT_GREETING && !c->loiterer)
        reached[REACHED_GREETING_FAILED]++;
    if (!c->shut)
        reached[REACHED_CUT_OFF]++;
    world_end(w, c);
}

static void serve(struct world *w, struct client *c, uint32_t events)
{
    bool reads = c->reading || c->state != CLIENT_ACTIVE;
    if (c->fd >= 0 && reads && events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
        bool more = client_read(c);
        receive(w, c);
        if (!more && c->fd >= 0)
            lost(w, c);
    }
    if (c->fd >= 0 && client_pending(c) > 0 && !client_write(c)) {
        /* its remaining input is still to be read, and then the end of file */
        c->out_at = c->out.size;
        c->reading = true;
    }
    if (c->fd >= 0 && c->out_at >= c->close_at)
        world_end(w, c);
    /* hung up and not reading: epoll would report it forever */
    if (c->fd >= 0 && events & (EPOLLHUP | EPOLLERR))
        c->reading = true;
}

void pump(struct world *w, int milliseconds)
{
    struct epoll_event events[EVENTS];
    for (uint32_t i = 0; i < w->n_clients; i++) {
        struct client *c = w->clients[i];
        if (c->fd >= 0 && c->out_at >= c->close_at)
            world_end(w, c);
        wait_for(w, c);
    }
    if (w->control)
        wait_for(w, w->control);
    int n = epoll_wait(w->epoll, events, EVENTS, milliseconds);
    for (int i = 0; i < n; i++)
        serve(w, events[i].data.ptr, events[i].events);
}

/* The table entry of a unique name, for all names that the bus has ever assigned. */
static uint32_t *place_of(struct world *w, const char *unique)
{
    uint64_t number = strtoull(unique + 3, NULL, 10);
    if (number >= 1u << 26)
        fail(w, "the bus gave the name %s", unique);
    if (number >= w->n_by_unique) {
        uint32_t n = (uint32_t)number + 1024;
        w->by_unique = realloc(w->by_unique, n * sizeof(*w->by_unique));
        if (!w->by_unique)
            abort();
        memset(w->by_unique + w->n_by_unique, 0, (n - w->n_by_unique) * sizeof(*w->by_unique));
        w->n_by_unique = n;
    }
    return &w->by_unique[number];
}

void world_named(struct world *w, struct client *c, const char *unique)
{
    snprintf(c->unique, sizeof(c->unique), "%s", unique);
    uint32_t *place = place_of(w, unique);
    if (*place)
        fail(w, "the bus gave the name %s twice", unique);
    *place = c->id + 1;
}

struct client *world_find(const struct world *w, const char *unique)
{
    if (strncmp(unique, ":1.", 3) != 0)
        return NULL;
    uint64_t number = strtoull(unique + 3, NULL, 10);
    uint32_t id = number < w->n_by_unique ? w->by_unique[number] : 0;
    return id && id != UNIQUE_SPENT ? w->clients[id - 1] : NULL;
}

void world_clear(struct world *w)
{
    for (uint32_t i = 0; i < w->n_clients; i++) {
        if (w->clients[i]->unique[0])
            *place_of(w, w->clients[i]->unique) = UNIQUE_SPENT;
        client_free(w->clients[i]);
    }
    w->n_clients = 0;
    memset(w->slots, 0, sizeof(w->slots));
    w->reloaded = w->watched = false;
    w->strangers = 0;
}
