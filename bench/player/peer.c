/* SPDX-License-Identifier: MIT */
#include "peer.h"

#include "../client/process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define LEAST_READ 4096u
#define MOST_FDS 16u

/* The socket's address of unix:path= or unix:abstract=, unescaped. */
static socklen_t parse(const char *address, struct sockaddr_un *out)
{
    bool abstract = !strncmp(address, "unix:abstract=", 14);
    if (!abstract && strncmp(address, "unix:path=", 10))
        die("%s: an address with unix:path= or unix:abstract= is needed", address);
    const char *from = address + (abstract ? 14 : 10);
    size_t n = abstract;
    *out = (struct sockaddr_un){.sun_family = AF_UNIX};
    for (; *from && *from != ',' && *from != ';'; from++) {
        unsigned value = (unsigned char)*from;
        if (*from == '%' && sscanf(from + 1, "%2x", &value) == 1)
            from += 2;
        if (n >= sizeof(out->sun_path) - 1)
            die("address too long");
        out->sun_path[n++] = (char)value;
    }
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + !abstract);
}

void peer_connect(struct peer *peer, const char *address)
{
    struct sockaddr_un to;
    socklen_t size = parse(address, &to);
    char uid[16], line[80];
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        die("socket: %s", strerror(errno));
    while (connect(fd, (void *)&to, size) < 0)
        if (errno != EINTR && errno != EAGAIN)
            die("connect %s: %s", address, strerror(errno));
    if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
        die("fcntl: %s", strerror(errno));
    peer->fd = fd;
    peer->phase = AUTHENTICATING;
    int n = snprintf(line, sizeof(line), "%cAUTH EXTERNAL ", 0);
    snprintf(uid, sizeof(uid), "%u", getuid());
    for (size_t i = 0; uid[i]; i++)
        n += snprintf(line + n, sizeof(line) - (size_t)n, "%02x", uid[i]);
    n += snprintf(line + n, sizeof(line) - (size_t)n, "\r\n");
    peer_send(peer, line, (size_t)n, 0);
}

bool peer_pending(const struct peer *peer)
{
    return peer->out_at < peer->out.size;
}

static ssize_t send_with_fds(int fd, const void *data, size_t size, uint32_t fds)
{
    static int null = -1;
    if (null < 0 && (null = open("/dev/null", O_RDONLY | O_CLOEXEC)) < 0)
        die("/dev/null: %s", strerror(errno));
    union {
        struct cmsghdr head;
        char space[CMSG_SPACE(MOST_FDS * sizeof(int))];
    } control = {0};
    struct iovec bytes = {(void *)(uintptr_t)data, size};
    struct msghdr message = {.msg_iov = &bytes, .msg_iovlen = 1};
    if (fds) {
        message.msg_control = &control;
        message.msg_controllen = CMSG_SPACE(fds * sizeof(int));
        control.head = (struct cmsghdr){CMSG_LEN(fds * sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
        for (uint32_t i = 0; i < fds; i++)
            memcpy(CMSG_DATA(&control.head) + i * sizeof(int), &null, sizeof(int));
    }
    return sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* Writes what can be written at once, and keeps the rest. A message with descriptors waits for all before it.
 */
void peer_send(struct peer *peer, const void *data, size_t size, uint32_t fds)
{
    while (fds && peer_pending(peer)) {
        struct pollfd poller = {peer->fd, POLLOUT, 0};
        poll(&poller, 1, 100);
        peer_flush(peer);
    }
    ssize_t n = 0;
    if (!peer_pending(peer)) {
        do
            n = send_with_fds(peer->fd, data, size, fds < MOST_FDS ? fds : MOST_FDS);
        while (n < 0 && (errno == EINTR || (errno == EAGAIN && fds)));
        if (n < 0 && errno != EAGAIN)
            die("send: %s", strerror(errno));
        n = n < 0 ? 0 : n;
    }
    if ((size_t)n < size)
        buffer_put(&peer->out, (const uint8_t *)data + n, size - (size_t)n);
}

void peer_flush(struct peer *peer)
{
    while (peer_pending(peer)) {
        ssize_t n = send(peer->fd, peer->out.data + peer->out_at, peer->out.size - peer->out_at,
                         MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN)
            return;
        if (n < 0 && errno != EINTR)
            die("send: %s", strerror(errno));
        peer->out_at += n > 0 ? (size_t)n : 0;
    }
    peer->out.size = peer->out_at = 0;
}

static void close_descriptors(struct msghdr *message)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < n; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
            close(fd);
        }
    }
}

bool peer_receive(struct peer *peer)
{
    if (peer->capacity - peer->size < LEAST_READ) {
        peer->capacity = peer->capacity ? 2 * peer->capacity : 2 * LEAST_READ;
        peer->in = realloc(peer->in, peer->capacity);
        if (!peer->in)
            die("out of memory");
    }
    union {
        struct cmsghdr head;
        char space[CMSG_SPACE(256 * sizeof(int))];
    } control;
    struct iovec bytes = {peer->in + peer->size, peer->capacity - peer->size};
    struct msghdr message = {
        .msg_iov = &bytes, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
    ssize_t n = recvmsg(peer->fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return true;
    if (n < 0 && errno != ECONNRESET)
        die("recv: %s", strerror(errno));
    if (n <= 0)
        return false;
    close_descriptors(&message);
    peer->size += (size_t)n;
    return true;
}

bool peer_line(struct peer *peer, char *line, size_t size)
{
    uint8_t *end = memmem(peer->in, peer->size, "\r\n", 2);
    if (!end)
        return false;
    size_t length = (size_t)(end - peer->in);
    snprintf(line, size, "%.*s", (int)length, (char *)peer->in);
    peer_consume(peer, length + 2);
    return true;
}

void peer_consume(struct peer *peer, size_t size)
{
    memmove(peer->in, peer->in + size, peer->size - size);
    peer->size -= size;
}

void peer_close(struct peer *peer)
{
    close(peer->fd);
    peer->fd = -1;
    peer->phase = CLOSED;
    free(peer->in);
    free(peer->out.data);
    peer->in = NULL;
    peer->out = (struct buffer){0};
}
