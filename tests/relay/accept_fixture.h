/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_TEST_ACCEPT_FIXTURE_H
#define OMNIBUS_TEST_ACCEPT_FIXTURE_H

/* A bus without a thread, its door, and a client that connects to it. */

#include "../../transport/relay/api/lifecycle.h"
#include "plane_fixture.h"

#include "../../transport/relay/accept/door.h"
#include "../../transport/relay/api/loop.h"

#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>

#define ACCEPT_GUID "0123456789abcdef0123456789abcdef"
#define ACCEPT_NUMBER 7
#define ACCEPT_BUS "org.freedesktop.DBus"
#define ACCEPT_OK "OK " ACCEPT_GUID "\r\n"
#define ACCEPT_AGREE "AGREE_UNIX_FD\r\n"

struct accept_fixture {
    struct bus bus;
    struct events events;
    struct relay_event event; /* the latest; its memory is freed with the next */
    struct event *latest, *taken;
    struct sockaddr_un address;
    socklen_t address_size;
    struct client client;
};

/* The handshake of libdbus, with this process's uid in hex. */
static inline const char *accept_handshake(const char *end)
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
static inline int accept_listen(struct sockaddr_un *address, socklen_t *size)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    *size = sizeof(*address);
    CHECK_EQUAL(bind(fd, (struct sockaddr *)address, sizeof(sa_family_t)), 0);
    CHECK_EQUAL(listen(fd, 16), 0);
    CHECK_EQUAL(getsockname(fd, (struct sockaddr *)address, size), 0);
    return fd;
}

static inline int accept_dial(const struct sockaddr_un *address, socklen_t size)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK_EQUAL(connect(fd, (const struct sockaddr *)address, size), 0);
    return fd;
}

static inline struct marshal accept_hello(struct client *c)
{
    struct marshal w = client_call(c, ACCEPT_BUS, "Hello", NULL);
    CHECK(marshal_end(&w));
    return w;
}

/* Writes the whole handshake followed by Hello; returns the size. */
static inline size_t accept_handshake_and_hello(struct client *c, uint8_t *text)
{
    const char *script = accept_handshake("BEGIN\r\n");
    struct marshal w = accept_hello(c);
    size_t size = strlen(script) + 1;
    text[0] = 0;
    memcpy(text + 1, script, size - 1);
    memcpy(text + size, w.data, w.size);
    size += w.size;
    marshal_free(&w);
    return size;
}

/* A client that has sent handshake and Hello at once, and read the replies. */
static inline struct client *accept_client(struct client *c, const struct sockaddr_un *address,
                                           socklen_t address_size)
{
    uint8_t text[1024];
    char said[64];
    c->fd = accept_dial(address, address_size);
    size_t size = accept_handshake_and_hello(c, text);
    CHECK_EQUAL(send(c->fd, text, size, 0), (ssize_t)size);
    CHECK_EQUAL(recv(c->fd, said, sizeof(ACCEPT_OK ACCEPT_AGREE) - 1, MSG_WAITALL),
                sizeof(ACCEPT_OK ACCEPT_AGREE) - 1);
    client_expects(c, MESSAGE_METHOD_RETURN, NULL, ACCEPT_BUS);
    client_expects(c, MESSAGE_SIGNAL, "NameAcquired", ACCEPT_BUS);
    return c;
}

static inline void accept_open(struct accept_fixture *h, bool simple)
{
    struct policy *policy;
    memset(h, 0, sizeof(*h));
    h->client.fd = -1;
    h->events.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    CHECK_EQUAL(lifecycle_begin(&h->bus, &h->events, ACCEPT_GUID), 0);
    h->bus.limits = plane_limits();
    h->bus.limits.max_completed_connections = h->bus.limits.max_connections_per_user = 10;
    h->bus.limits.max_incomplete_connections = 10;
    h->bus.owner = geteuid();
    CHECK_EQUAL(policy_new(&policy, plane_policy, sizeof(plane_policy), 2), 0);
    policy_free(h->bus.policy);
    h->bus.policy = policy;
    int fd = accept_listen(&h->address, &h->address_size);
    door_open(&h->bus, door_new(fd, ACCEPT_NUMBER, ACCEPT_GUID, simple, false));
}

static inline void accept_no_commands(void *context)
{
    (void)context;
}

/* Lets the bus process all pending input. */
static inline void accept_turn(struct accept_fixture *h)
{
    for (int i = 0; i < 8; i++)
        loop_once(&h->bus, 0, accept_no_commands, NULL);
}

static inline void accept_free_latest(struct accept_fixture *h)
{
    if (h->latest && h->latest->view.kind == RELAY_EVENT_LEFT)
        peer_free(CONTAINER_OF(h->latest, struct peer, reports.gone));
    else if (h->latest && h->latest->owned)
        free(h->latest);
    h->latest = NULL;
}

/* The next event; false: there is none. */
static inline bool accept_event(struct accept_fixture *h)
{
    struct event *event = h->taken;
    accept_free_latest(h);
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

static inline void accept_connect(struct accept_fixture *h)
{
    client_close(&h->client);
    h->client.fd = accept_dial(&h->address, h->address_size);
}

static inline void accept_send(struct accept_fixture *h, const void *bytes, size_t size)
{
    CHECK_EQUAL(send(h->client.fd, bytes, size, MSG_NOSIGNAL), (ssize_t)size);
}

/* Checks that the client's input is exactly this text. */
static inline bool accept_receives(struct accept_fixture *h, const char *text)
{
    char bytes[4096];
    ssize_t n = recv(h->client.fd, bytes, sizeof(bytes), MSG_DONTWAIT);
    return CHECK_SPAN(((struct span){bytes, n > 0 ? (uint32_t)n : 0}), text);
}

/* True: the connection is closed, without unread input. */
static inline bool accept_is_closed(struct accept_fixture *h)
{
    char byte;
    return recv(h->client.fd, &byte, 1, MSG_DONTWAIT) == 0;
}

static inline void accept_close(struct accept_fixture *h)
{
    client_close(&h->client);
    while (accept_event(h))
        continue;
    lifecycle_end(&h->bus);
    close(h->events.fd);
}

#endif
