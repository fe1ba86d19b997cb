/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_TEST_HALL_H
#define OMNIBUS_TEST_HALL_H

/* A bus without a thread of its own, its door, and clients before it. */

#include "../../transport/relay/api/lifecycle.h"
#include "plane.h"

#include "../../transport/relay/accept/door.h"
#include "../../transport/relay/api/loop.h"

#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>

#define HALL_GUID "0123456789abcdef0123456789abcdef"
#define HALL_NUMBER 7
#define HALL_BUS "org.freedesktop.DBus"
#define HALL_OK "OK " HALL_GUID "\r\n"
#define HALL_AGREE "AGREE_UNIX_FD\r\n"

struct hall {
    struct bus bus;
    struct events events;
    struct relay_event event; /* the latest; what it points to is freed with the next */
    struct event *latest, *taken;
    struct sockaddr_un address;
    socklen_t address_size;
    struct client client;
};

/* The text of a client that does what libdbus does; in hex, the uid is its own. */
static inline const char *hall_script(const char *end)
{
    static char text[256];
    char uid[16], hex[32] = "";
    snprintf(uid, sizeof(uid), "%u", geteuid());
    for (const char *at = uid; *at; at++)
        snprintf(hex + strlen(hex), 3, "%02x", (unsigned char)*at);
    snprintf(text, sizeof(text), "AUTH EXTERNAL %s\r\nNEGOTIATE_UNIX_FD\r\n%s", hex, end);
    return text;
}

/* A listening socket with an address of the kernel's choice. */
static inline int hall_listen(struct sockaddr_un *address, socklen_t *size)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    *size = sizeof(*address);
    CHECK_EQUAL(bind(fd, (struct sockaddr *)address, sizeof(sa_family_t)), 0);
    CHECK_EQUAL(listen(fd, 16), 0);
    CHECK_EQUAL(getsockname(fd, (struct sockaddr *)address, size), 0);
    return fd;
}

static inline int hall_connect(const struct sockaddr_un *address, socklen_t size)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK_EQUAL(connect(fd, (const struct sockaddr *)address, size), 0);
    return fd;
}

static inline struct marshal hall_hello(struct client *c)
{
    struct marshal w = client_call(c, HALL_BUS, "Hello", NULL);
    CHECK(marshal_end(&w));
    return w;
}

/* The whole script with Hello behind it; the size is returned. */
static inline size_t hall_whole(struct client *c, uint8_t *text)
{
    const char *script = hall_script("BEGIN\r\n");
    struct marshal w = hall_hello(c);
    size_t size = strlen(script) + 1;
    text[0] = 0;
    memcpy(text + 1, script, size - 1);
    memcpy(text + size, w.data, w.size);
    size += w.size;
    marshal_free(&w);
    return size;
}

/* Somebody who has said Hello all at once. */
static inline struct client *hall_client(struct client *c, const struct sockaddr_un *address,
                                         socklen_t address_size)
{
    uint8_t text[1024];
    char said[64];
    c->fd = hall_connect(address, address_size);
    size_t size = hall_whole(c, text);
    CHECK_EQUAL(send(c->fd, text, size, 0), (ssize_t)size);
    CHECK_EQUAL(recv(c->fd, said, sizeof(HALL_OK HALL_AGREE) - 1, MSG_WAITALL),
                sizeof(HALL_OK HALL_AGREE) - 1);
    client_expects(c, MESSAGE_METHOD_RETURN, NULL, HALL_BUS);
    client_expects(c, MESSAGE_SIGNAL, "NameAcquired", HALL_BUS);
    return c;
}

static inline void hall_open(struct hall *h, bool simple)
{
    struct policy *policy;
    memset(h, 0, sizeof(*h));
    h->client.fd = -1;
    h->events.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    CHECK_EQUAL(lifecycle_begin(&h->bus, &h->events, HALL_GUID), 0);
    h->bus.limits = plane_limits();
    h->bus.limits.max_completed_connections = h->bus.limits.max_connections_per_user = 10;
    h->bus.limits.max_incomplete_connections = 10;
    h->bus.owner = geteuid();
    CHECK_EQUAL(policy_new(&policy, plane_policy, sizeof(plane_policy), 2), 0);
    policy_free(h->bus.policy);
    h->bus.policy = policy;
    int fd = hall_listen(&h->address, &h->address_size);
    door_open(&h->bus, door_new(fd, HALL_NUMBER, HALL_GUID, simple));
}

static inline void hall_nothing(void *context)
{
    (void)context;
}

/* Lets the bus do what it can do now. */
static inline void hall_turn(struct hall *h)
{
    for (int i = 0; i < 8; i++)
        loop_once(&h->bus, 0, hall_nothing, NULL);
}

static inline void hall_free_latest(struct hall *h)
{
    if (h->latest && h->latest->view.kind == RELAY_EVENT_LEFT)
        peer_free(CONTAINER_OF(h->latest, struct peer, reports.gone));
    else if (h->latest && h->latest->owned)
        free(h->latest);
    h->latest = NULL;
}

/* The next event; false: there is none. */
static inline bool hall_event(struct hall *h)
{
    struct event *event = h->taken;
    hall_free_latest(h);
    if (!event) {
        struct stack_node *node = stack_take(&h->events.stack);
        if (!node)
            return false;
        event = CONTAINER_OF(node, struct event, node);
    }
    struct stack_node *next = event->node.next;
    h->taken = next ? CONTAINER_OF(next, struct event, node) : NULL;
    h->event = event->view;
    h->latest = event;
    return true;
}

static inline void hall_enter(struct hall *h)
{
    client_close(&h->client);
    h->client.fd = hall_connect(&h->address, h->address_size);
}

static inline void hall_say(struct hall *h, const void *bytes, size_t size)
{
    CHECK_EQUAL(send(h->client.fd, bytes, size, MSG_NOSIGNAL), (ssize_t)size);
}

/* What the client is told now; true: it is this, and nothing more. */
static inline bool hall_hears(struct hall *h, const char *text)
{
    char bytes[4096];
    ssize_t n = recv(h->client.fd, bytes, sizeof(bytes), MSG_DONTWAIT);
    return CHECK_SPAN(((struct span){bytes, n > 0 ? (uint32_t)n : 0}), text);
}

/* True: the connection is closed, and nothing was said before. */
static inline bool hall_is_closed(struct hall *h)
{
    char byte;
    return recv(h->client.fd, &byte, 1, MSG_DONTWAIT) == 0;
}

static inline void hall_close(struct hall *h)
{
    client_close(&h->client);
    while (hall_event(h))
        continue;
    lifecycle_end(&h->bus);
    close(h->events.fd);
}

#endif
