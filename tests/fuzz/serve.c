/* SPDX-License-Identifier: MIT */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "serve.h"

#include "client.h"
#include "handshake.h"

#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define IDLE 150 /* milliseconds without a message until it exits */

static int connect_to(const char *address)
{
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    const char *path = address ? strstr(address, "path=") : NULL;
    if (!path)
        return -1;
    snprintf(sun.sun_path, sizeof(sun.sun_path), "%.*s", (int)strcspn(path + 5, ",;"), path + 5);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return fd >= 0 && connect(fd, (struct sockaddr *)&sun, sizeof(sun)) == 0 ? fd : -1;
}

static void request(struct client *c, const char *name)
{
    struct bytes header = {0}, body = {0};
    struct message message = {.type = WIRE_CALL,
                              .serial = 2,
                              .text = {[WIRE_PATH] = "/org/freedesktop/DBus",
                                       [WIRE_INTERFACE] = "org.freedesktop.DBus",
                                       [WIRE_MEMBER] = "RequestName",
                                       [WIRE_DESTINATION] = "org.freedesktop.DBus",
                                       [WIRE_SIGNATURE] = "su"}};
    wire_put_string(&body, false, name);
    wire_put_u32(&body, false, 4);
    wire_put_header(&header, &message, (uint32_t)body.size);
    client_send(c, header.data, header.size, body.data, body.size, 2, 0);
}

static void answer(struct client *c, const struct message *call)
{
    struct bytes header = {0};
    static uint32_t serial = 10;
    struct message message = {.type = WIRE_RETURN, .serial = serial++, .reply_serial = call->serial};
    message.text[WIRE_DESTINATION] = call->text[WIRE_SENDER];
    wire_put_header(&header, &message, 0);
    client_send(c, header.data, header.size, NULL, 0, 0, 0);
    bytes_free(&header);
}

/* False: the service is to be killed. */
static bool take(struct client *c, bool dies)
{
    static uint32_t n;
    struct message message;
    size_t at = 0, size;
    for (uint32_t i = 0; i < c->n_fds; i++)
        close(c->fds[i]);
    c->n_fds = 0;
    while (c->state == CLIENT_ACTIVE && (size = wire_frame(c->in.data + at, c->in.size - at)) > 0 &&
           size <= c->in.size - at) {
        bool call = wire_read(c->in.data + at, size, &message) && message.type == WIRE_CALL;
        if (call && dies && ++n == 3)
            return false;
        if (call && !(message.flags & WIRE_NO_REPLY))
            answer(c, &message);
        at += size;
    }
    bytes_drop(&c->in, at);
    return true;
}

static void skip_lines(struct client *c)
{
    uint8_t *end;
    while (c->lines > 0 && (end = memmem(c->in.data, c->in.size, "\r\n", 2))) {
        bytes_drop(&c->in, (size_t)(end + 2 - c->in.data));
        c->lines--;
    }
    if (c->lines == 0)
        c->state = CLIENT_ACTIVE;
}

int serve(const char *name, const char *how)
{
    if (strcmp(how, "sleeps") == 0)
        return (int)sleep(3);
    int fd = connect_to(getenv("DBUS_STARTER_ADDRESS"));
    if (fd < 0)
        return 1;
    struct client *c = client_new(0, 0, geteuid(), fd);
    handshake_send(c, 0, NEVER);
    request(c, name);
    struct pollfd p = {fd, POLLIN, 0};
    while (client_write(c)) {
        p.events = (short)(POLLIN | (client_pending(c) ? POLLOUT : 0));
        if (poll(&p, 1, c->state == CLIENT_ACTIVE ? IDLE : 20000) <= 0)
            break;
        if (p.revents & (POLLIN | POLLHUP) && !client_read(c))
            break;
        if (c->state != CLIENT_ACTIVE)
            skip_lines(c);
        if (!take(c, strcmp(how, "dies") == 0))
            raise(SIGKILL);
    }
    return 0;
}
