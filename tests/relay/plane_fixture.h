/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_TEST_PLANE_FIXTURE_H
#define OMNIBUS_TEST_PLANE_FIXTURE_H

/* A data plane with clients at the other ends of socketpairs; the test acts as the control plane. */

#include "check.h"
#include "plane_policy.h"

#include "../../transport/relay/api/relay.h"
#include "../../transport/relay/base/clock.h"
#include "../../transport/relay/wire/marshal.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#define PLANE_DEADLINE 5000 /* milliseconds until an operation counts as hung */
#define PLANE_CLIENTS 4

struct client {
    int fd;
    uint8_t *data;
    size_t size;
    int fds[16];
    uint32_t n_fds;
    uint32_t serial;
};

struct plane {
    struct relay *relay;
    struct client clients[PLANE_CLIENTS];
    struct relay_event event; /* the latest */
    int listener;             /* the door of connections; -1: none */
};

static inline void plane_prepare(struct plane *p)
{
    memset(p, 0, sizeof(*p));
    p->listener = -1;
    for (int i = 0; i < PLANE_CLIENTS; i++)
        p->clients[i].fd = -1;
    CHECK_EQUAL(relay_new(&p->relay, "0123456789abcdef0123456789abcdef"), 0);
    CHECK_EQUAL(relay_load_policy(p->relay, plane_policy, sizeof(plane_policy)), 0);
}

static inline void plane_open(struct plane *p)
{
    plane_prepare(p);
    CHECK_EQUAL(relay_start(p->relay), 0);
}

/* Limits out of reach; a test sets those that it is about. */
static inline struct relay_limits plane_limits(void)
{
    return (struct relay_limits){.max_incoming_bytes = 1u << 30,
                                 .max_outgoing_bytes = 1u << 30,
                                 .max_incoming_unix_fds = 64,
                                 .max_outgoing_unix_fds = 64,
                                 .max_message_size = 32u << 20,
                                 .max_message_unix_fds = 16,
                                 .max_match_rules_per_connection = 100,
                                 .max_replies_per_connection = 100,
                                 .max_pending_service_starts = 100,
                                 .auth_timeout = -1,
                                 .reply_timeout = -1,
                                 .pending_fd_timeout = -1};
}

static inline void client_close(struct client *c)
{
    if (c->fd >= 0)
        close(c->fd);
    for (uint32_t i = 0; i < c->n_fds; i++)
        close(c->fds[i]);
    free(c->data);
    memset(c, 0, sizeof(*c));
    c->fd = -1;
}

static inline void plane_close(struct plane *p)
{
    for (int i = 0; i < PLANE_CLIENTS; i++)
        client_close(&p->clients[i]);
    relay_free(p->relay);
}

/* Waits for the next event, which has to be of this kind. */
static inline bool plane_event(struct plane *p, uint32_t kind)
{
    for (;;) {
        if (relay_events(p->relay, &p->event, 1) == 1)
            return CHECK_EQUAL(p->event.kind, kind);
        struct pollfd poller = {.fd = relay_event_fd(p->relay), .events = POLLIN};
        if (poll(&poller, 1, PLANE_DEADLINE) <= 0)
            return CHECK(false && "no event came in time");
    }
}

/* Returns when all commands are applied. */
static inline void plane_settle(struct plane *p)
{
    relay_export(p->relay, RELAY_EXPORT_TOTALS, NULL, 0);
    relay_commit(p->relay);
    plane_event(p, RELAY_EVENT_EXPORT);
}

static inline bool client_send(struct client *c, struct marshal *w)
{
    bool sent = marshal_end(w) && send(c->fd, w->data, w->size, MSG_NOSIGNAL) == (ssize_t)w->size;
    marshal_free(w);
    return CHECK(sent);
}

static inline void client_receive(struct client *c)
{
    char space[CMSG_SPACE(16 * sizeof(int))];
    c->data = realloc(c->data, c->size + 65536);
    struct iovec iov = {c->data + c->size, 65536};
    struct msghdr header = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof(space)};
    ssize_t n = recvmsg(c->fd, &header, MSG_CMSG_CLOEXEC);
    c->size += n > 0 ? (size_t)n : 0;
    struct cmsghdr *cmsg = CMSG_FIRSTHDR(&header);
    if (!cmsg || cmsg->cmsg_type != SCM_RIGHTS)
        return;
    uint32_t n_fds = (uint32_t)((cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int));
    memcpy(c->fds + c->n_fds, CMSG_DATA(cmsg), n_fds * sizeof(int));
    c->n_fds += n_fds;
}

/* The next message; it stays valid until client_drop. */
static inline bool client_expect(struct client *c, struct message *m)
{
    for (;;) {
        uint32_t size;
        if (message_frame(c->data, c->size, MESSAGE_MAX_SIZE, &size) == MESSAGE_OK && size <= c->size)
            return CHECK_EQUAL(message_parse(m, c->data, size), MESSAGE_OK);
        struct pollfd poller = {.fd = c->fd, .events = POLLIN};
        if (poll(&poller, 1, PLANE_DEADLINE) <= 0)
            return CHECK(false && "no message came in time");
        size_t before = c->size;
        client_receive(c);
        if (c->size == before)
            return CHECK(false && "the connection was closed");
    }
}

/* The next message and its first argument; both stay valid until client_drop. */
static inline bool client_expect_argument(struct client *c, struct message *m, struct message_arg *argument)
{
    struct message_args args;
    if (!client_expect(c, m))
        return false;
    message_args_begin(&args, m);
    return CHECK(message_args_next(&args, argument));
}

static inline void client_drop(struct client *c, const struct message *m)
{
    uint32_t size = m->size;
    memmove(c->data, c->data + size, c->size - size);
    c->size -= size;
}

/* Waits until the bus has closed the connection; discards all input before. */
static inline bool client_closed(struct client *c)
{
    for (;;) {
        struct pollfd poller = {.fd = c->fd, .events = POLLIN};
        if (poll(&poller, 1, PLANE_DEADLINE) <= 0)
            return CHECK(false && "the connection stayed open");
        char bytes[4096];
        if (recv(c->fd, bytes, sizeof(bytes), 0) <= 0)
            return true;
    }
}

static inline struct marshal client_call(struct client *c, const char *destination, const char *member,
                                         const char *signature)
{
    struct marshal w = {0};
    struct marshal_header header = {.type = MESSAGE_METHOD_CALL,
                                    .serial = ++c->serial,
                                    .path = SPAN("/org/freedesktop/DBus"),
                                    .interface = SPAN("org.freedesktop.DBus"),
                                    .member = span_of(member),
                                    .destination = span_of(destination),
                                    .signature = span_of(signature)};
    marshal_begin(&w, &header);
    return w;
}

static inline struct marshal client_signal(struct client *c, const char *destination, const char *member)
{
    struct marshal w = {0};
    struct marshal_header header = {.type = MESSAGE_SIGNAL,
                                    .serial = ++c->serial,
                                    .path = SPAN("/test"),
                                    .interface = SPAN("test.Interface"),
                                    .member = span_of(member),
                                    .destination = span_of(destination),
                                    .signature = SPAN("s")};
    marshal_begin(&w, &header);
    marshal_string(&w, span_of(member));
    return w;
}

/* Reads one message and checks its type, member or error, and sender. */
static inline bool client_expects(struct client *c, uint8_t type, const char *member_or_error,
                                  const char *sender)
{
    struct message m;
    if (!client_expect(c, &m))
        return false;
    bool right = CHECK_EQUAL(m.type, type);
    if (member_or_error)
        right &= CHECK_SPAN(type == MESSAGE_ERROR ? m.error_name : m.member, member_or_error);
    if (sender)
        right &= CHECK_SPAN(m.sender, sender);
    client_drop(c, &m);
    return right;
}

static inline void plane_attach_to(struct plane *p, uint64_t id, bool privileged, const char *instance)
{
    int ends[2];
    CHECK_EQUAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    struct relay_credentials credentials = {.uid = 1000,
                                            .pid = 42,
                                            .fd_passing = true,
                                            .privileged = privileged,
                                            .loginfo = "uid=1000",
                                            .instance = instance};
    p->clients[id] = (struct client){.fd = ends[0]};
    CHECK_EQUAL(relay_attach(p->relay, id, ends[1], p->listener, clock_now(), &credentials, NULL, 0, NULL, 0),
                0);
    CHECK_EQUAL(relay_commit(p->relay), 0);
}

static inline void plane_attach_as(struct plane *p, uint64_t id, bool privileged)
{
    plane_attach_to(p, id, privileged, NULL);
}

static inline void plane_attach(struct plane *p, uint64_t id)
{
    plane_attach_as(p, id, false);
}

/* Calls Hello on a connection that is attached, and reads the reply. */
static inline struct client *plane_greet(struct plane *p, uint64_t id)
{
    struct client *c = &p->clients[id];
    struct marshal w = client_call(c, "org.freedesktop.DBus", "Hello", NULL);
    client_send(c, &w);
    if (!plane_event(p, RELAY_EVENT_CALL))
        return c;
    CHECK_EQUAL(relay_welcome(p->relay, p->event.peer, p->event.serial), 0);
    CHECK_EQUAL(relay_commit(p->relay), 0);
    client_expects(c, MESSAGE_METHOD_RETURN, NULL, "org.freedesktop.DBus");
    client_expects(c, MESSAGE_SIGNAL, "NameAcquired", "org.freedesktop.DBus");
    return c;
}

/* Attaches as a connection of a container instance, calls Hello, and reads the reply. */
static inline struct client *plane_connect_to(struct plane *p, uint64_t id, const char *instance)
{
    plane_attach_to(p, id, false, instance);
    return plane_greet(p, id);
}

/* Attaches, calls Hello, and reads the reply. */
static inline struct client *plane_connect(struct plane *p, uint64_t id)
{
    return plane_connect_to(p, id, NULL);
}

/* Returns after all earlier messages of the client have been routed. */
static inline bool client_sync(struct client *c)
{
    struct marshal w = client_call(c, "org.freedesktop.DBus", "GetId", NULL);
    return client_send(c, &w) && client_expects(c, MESSAGE_METHOD_RETURN, NULL, "org.freedesktop.DBus");
}

static inline void client_change_rules(struct client *c, const char *member, const char *rule)
{
    struct marshal w = client_call(c, "org.freedesktop.DBus", member, "s");
    marshal_string(&w, span_of(rule));
    client_send(c, &w);
    client_expects(c, MESSAGE_METHOD_RETURN, NULL, "org.freedesktop.DBus");
}

static inline void client_match(struct client *c, const char *rule)
{
    client_change_rules(c, "AddMatch", rule);
}

static inline void client_unmatch(struct client *c, const char *rule)
{
    client_change_rules(c, "RemoveMatch", rule);
}

#endif
