/* SPDX-License-Identifier: MIT */
#include "connection.h"

#include "options.h"
#include "process.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define LEAST_READ 4096u

void connection_room(struct connection *c, size_t want)
{
    if (c->at == c->size)
        c->at = c->size = 0;
    if (c->capacity - c->at >= want && c->capacity - c->size >= LEAST_READ)
        return;
    if (c->at)
        memmove(c->in, c->in + c->at, c->size - c->at);
    c->size -= c->at;
    c->at = 0;
    size_t capacity = c->capacity ? c->capacity : 1u << 16;
    while (capacity < want + LEAST_READ || capacity - c->size < LEAST_READ)
        capacity *= 2;
    if (capacity == c->capacity)
        return;
    c->in = realloc(c->in, capacity);
    if (!c->in)
        die("out of memory");
    c->capacity = capacity;
}

bool connection_fill(struct connection *c, size_t want, int flags)
{
    connection_room(c, want);
    for (;;) {
        const size_t room = c->capacity - c->size;
        ssize_t n = recv(c->fd, c->in + c->size, room, flags | (c->packets ? MSG_TRUNC : 0));
        if (n > 0 && (size_t)n > room)
            die("a packet of %zd bytes: there is room for %zu", n, room);
        if (n > 0) {
            c->size += (size_t)n;
            return true;
        }
        if (n == 0)
            die("the bus closed the connection of %s", c->name[0] ? c->name : "(new)");
        if (errno == EAGAIN && (flags & MSG_DONTWAIT))
            return false;
        if (errno != EINTR)
            die("recv: %s", strerror(errno));
    }
}

/* Reads while it can't write, so that two clients that both send don't wait for each other. */
void connection_send(struct connection *c, const void *data, size_t size)
{
    const uint8_t *at = data;
    while (size) {
        ssize_t n = send(c->fd, at, size, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n >= 0) {
            at += n;
            size -= (size_t)n;
            continue;
        }
        if (errno == EINTR)
            continue;
        if (errno != EAGAIN)
            die("send: %s", strerror(errno));
        struct pollfd poller = {c->fd, POLLIN | POLLOUT, 0};
        poll(&poller, 1, -1);
        if (poller.revents & POLLIN)
            connection_fill(c, c->size - c->at + LEAST_READ, MSG_DONTWAIT);
    }
}

bool connection_buffered(struct connection *c, struct message *m, size_t *want)
{
    if (!message_parse(m, c->in + c->at, c->size - c->at, want))
        return false;
    c->at += m->size;
    return true;
}

void connection_next(struct connection *c, struct message *m)
{
    size_t want;
    while (!connection_buffered(c, m, &want))
        connection_fill(c, want, 0);
}

#define PACKETS "unix-seqpacket:"

/* Unescapes the socket's address from unix:path= or unix:abstract=, or the same of packets; returns its
 * length. */
static socklen_t parse_address(const char *address, struct sockaddr_un *out)
{
    const char *path = address ? strstr(address, "path=") : NULL;
    const char *abstract = address ? strstr(address, "abstract=") : NULL;
    if (!address || (strncmp(address, "unix:", 5) && strncmp(address, PACKETS, sizeof(PACKETS) - 1)) ||
        (!path && !abstract))
        die("an --address with unix:path= or unix:abstract= is needed");
    const char *from = path ? path + 5 : abstract + 9;
    size_t n = path ? 0 : 1;
    *out = (struct sockaddr_un){.sun_family = AF_UNIX};
    for (; *from && *from != ',' && *from != ';'; from++) {
        unsigned value;
        bool escaped = *from == '%' && sscanf(from + 1, "%2x", &value) == 1;
        if (n >= sizeof(out->sun_path) - 1)
            die("address too long");
        out->sun_path[n++] = escaped ? (char)value : *from;
        from += escaped ? 2 : 0;
    }
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + (path ? 1 : 0));
}

static int dial(bool packets)
{
    struct sockaddr_un address;
    socklen_t size = parse_address(options.address, &address);
    int fd = socket(AF_UNIX, (packets ? SOCK_SEQPACKET : SOCK_STREAM) | SOCK_CLOEXEC, 0);
    if (fd < 0)
        die("socket: %s", strerror(errno));
    while (connect(fd, (void *)&address, size) < 0) {
        if (errno != EINTR && errno != EAGAIN) {
            close(fd);
            die("connect %s: %s", options.address, strerror(errno));
        }
        if (errno == EAGAIN) /* the backlog is full */
            usleep(100);
    }
    return fd;
}

static void expect_line(struct connection *c, const char *want)
{
    uint8_t *end;
    while (!(end = memmem(c->in + c->at, c->size - c->at, "\r\n", 2)))
        connection_fill(c, c->size - c->at + LEAST_READ, 0);
    size_t size = (size_t)(end - c->in) - c->at;
    if (size < strlen(want) || memcmp(c->in + c->at, want, strlen(want)))
        die("authentication: wanted %s, got %.*s", want, (int)size, c->in + c->at);
    c->at += size + 2;
}

static void authenticate(struct connection *c)
{
    char uid[16], hex[40] = "", text[160];
    snprintf(uid, sizeof(uid), "%u", getuid());
    for (size_t i = 0; uid[i]; i++)
        snprintf(hex + 2 * i, 3, "%02x", uid[i]);
    if (options.pipelined_auth) { /* as sd-bus does */
        const char *format = "%cAUTH EXTERNAL %s\r\nNEGOTIATE_UNIX_FD\r\nBEGIN\r\n";
        connection_send(c, text, (size_t)snprintf(text, sizeof(text), format, 0, hex));
        expect_line(c, "OK ");
        expect_line(c, "AGREE_UNIX_FD");
    } else { /* as libdbus and GDBus do */
        connection_send(c, text, (size_t)snprintf(text, sizeof(text), "%cAUTH EXTERNAL %s\r\n", 0, hex));
        expect_line(c, "OK ");
        connection_send(c, "NEGOTIATE_UNIX_FD\r\n", 19);
        expect_line(c, "AGREE_UNIX_FD");
        connection_send(c, "BEGIN\r\n", 7);
    }
}

static void hello(struct connection *c)
{
    struct message m;
    driver_call(c, &m, "Hello", NULL, NULL, "s");
    if (m.body_size < 6 || m.body[4] != ':')
        die("Hello: not a unique name");
    snprintf(c->name, sizeof(c->name), "%s", message_text(&m));
    if (!same(m.destination, c->name))
        die("Hello: reply for %s", shown(m.destination));
    while (!c->acquired) {
        connection_next(c, &m);
        driver_signal(c, &m);
    }
    if (strcmp(c->acquired_name, c->name))
        die("NameAcquired for %s, but Hello gave %s", c->acquired_name, c->name);
}

void connection_open(struct connection *c)
{
    *c = (struct connection){.fd = -1, .in = c->in, .capacity = c->capacity};
    c->packets = options.address && !strncmp(options.address, PACKETS, sizeof(PACKETS) - 1);
    c->fd = dial(c->packets);
    connection_room(c, LEAST_READ);
    authenticate(c);
    hello(c);
}

bool connection_try(struct connection *c, void (*function)(struct connection *c))
{
    jmp_buf refused;
    if (setjmp(refused)) {
        die_target = NULL;
        connection_close(c);
        return false;
    }
    die_target = &refused;
    function(c);
    die_target = NULL;
    return true;
}

void connection_direct(struct connection *c, int fd, int number)
{
    *c = (struct connection){.fd = fd, .direct = true};
    connection_room(c, LEAST_READ);
    snprintf(c->name, sizeof(c->name), ":1.%d", number);
}

void connection_close(struct connection *c)
{
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
}
