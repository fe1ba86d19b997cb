/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_FUZZ_CLIENT_H
#define OMNIBUS_FUZZ_CLIENT_H

/*
 * The other ends of the connections. A client reads a stream of messages, each of which has to be valid and
 * to have a sender, with its descriptors; it may write any part of a message.
 */

#include "fuzz_input.h"

#include "../../transport/relay/wire/marshal.h"

#include <sys/uio.h>
#include <sys/un.h>

#define CLIENTS 6
#define CLIENT_READ 8192u       /* of longer messages only the header is checked */
#define CLIENT_SEND (96u << 10) /* limit of one client's unread output */

struct client {
    int fd; /* -1: not connected */
    bool seqpacket;
    bool greets;    /* lines of SASL come before the first message */
    bool unchecked; /* its stream contains bytes that are no message */
    uint8_t in[CLIENT_READ];
    size_t in_size;
    size_t skip;     /* of a long message */
    uint8_t *unsent; /* CLIENT_SEND bytes, not accepted by the socket so far */
    size_t unsent_size;
};

static struct client clients[CLIENTS];
static struct marshal client_marshal;
static int client_spare; /* a descriptor for messages: not a socket, which would keep the kernel's garbage
                            collector busy */

static inline void client_begin(struct client *c, int fd)
{
    uint8_t *unsent = c->unsent ? c->unsent : __real_malloc(CLIENT_SEND);
    ASSERT(unsent);
    c->fd = fd;
    c->seqpacket = c->greets = c->unchecked = false;
    c->in_size = c->skip = c->unsent_size = 0;
    c->unsent = unsent;
}

static inline void client_end(struct client *c)
{
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
}

/* A line of the handshake; 0: incomplete. */
static inline size_t client_line(const struct client *c, size_t at)
{
    const uint8_t *end = memchr(c->in + at, '\n', c->in_size - at);
    return end ? (size_t)(end - c->in) + 1 - at : 0;
}

/* The size of the first line or message; 0: incomplete. */
static inline size_t client_check(struct client *c, size_t at)
{
    size_t left = c->in_size - at;
    uint32_t size;
    struct message m;
    if (c->greets && c->in[at] != 'l' && c->in[at] != 'B')
        return client_line(c, at);
    enum message_error error = message_frame(c->in + at, left, MESSAGE_MAX_SIZE + 512, &size);
    if (error == MESSAGE_INCOMPLETE)
        return 0;
    ASSERT(error == MESSAGE_OK);
    if (size > CLIENT_READ) {
        c->skip = size - left;
        return left;
    }
    if (size > left)
        return 0;
    ASSERT(message_parse(&m, c->in + at, size) == MESSAGE_OK && m.sender.s);
    c->greets = false;
    return size;
}

static inline void client_take(struct client *c)
{
    size_t at = 0;
    while (at < c->in_size && !c->unchecked) {
        size_t n = c->skip < c->in_size - at ? c->skip : c->in_size - at;
        c->skip -= n;
        at += n;
        n = at < c->in_size ? client_check(c, at) : 0;
        if (n == 0)
            break;
        at += n;
    }
    at = c->unchecked ? c->in_size : at;
    memmove(c->in, c->in + at, c->in_size - at);
    c->in_size -= at;
}

static inline void client_close_fds(struct msghdr *header)
{
    for (struct cmsghdr *at = CMSG_FIRSTHDR(header); at; at = CMSG_NXTHDR(header, at)) {
        int fds[253];
        size_t n = at->cmsg_type == SCM_RIGHTS ? (at->cmsg_len - CMSG_LEN(0)) / sizeof(int) : 0;
        memcpy(fds, CMSG_DATA(at), n * sizeof(int));
        for (size_t i = 0; i < n; i++)
            close(fds[i]);
    }
}

/* Reads at most this many bytes. False: there are no more. A packet is read whole. */
static inline bool client_read(struct client *c, size_t most)
{
    static uint8_t packet[65536 + 512];
    char control[CMSG_SPACE(253 * sizeof(int))];
    struct iovec iov = {c->in + c->in_size, CLIENT_READ - c->in_size};
    if (c->seqpacket)
        iov = (struct iovec){packet, sizeof(packet)};
    else if (iov.iov_len > most)
        iov.iov_len = most;
    struct msghdr header = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
    ssize_t n = recvmsg(c->fd, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (n <= 0)
        return false;
    client_close_fds(&header);
    if (c->seqpacket)
        return true;
    c->in_size += (size_t)n;
    client_take(c);
    return true;
}

static inline void client_flush(struct client *c)
{
    ssize_t n = c->unsent_size ? send(c->fd, c->unsent, c->unsent_size, MSG_DONTWAIT | MSG_NOSIGNAL) : 0;
    if (n <= 0)
        return;
    memmove(c->unsent, c->unsent + n, c->unsent_size - (size_t)n);
    c->unsent_size -= (size_t)n;
}

static inline void client_keep(struct client *c, const uint8_t *bytes, size_t size)
{
    if (size > CLIENT_SEND - c->unsent_size)
        return;
    memcpy(c->unsent + c->unsent_size, bytes, size);
    c->unsent_size += size;
}

/* Writes bytes with n duplicates of client_spare; the rest is written later. */
static inline void client_write(struct client *c, const uint8_t *bytes, size_t size, uint32_t n_fds)
{
    char control[CMSG_SPACE(253 * sizeof(int))];
    struct iovec iov = {(void *)bytes, size};
    struct msghdr header = {.msg_iov = &iov, .msg_iovlen = 1};
    client_flush(c);
    if (size == 0)
        return;
    if (n_fds > 0) {
        header.msg_control = control;
        header.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
        memset(control, 0, header.msg_controllen);
        struct cmsghdr *at = CMSG_FIRSTHDR(&header);
        at->cmsg_level = SOL_SOCKET;
        at->cmsg_type = SCM_RIGHTS;
        at->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
        for (uint32_t i = 0; i < n_fds; i++)
            memcpy(CMSG_DATA(at) + i * sizeof(int), &client_spare, sizeof(int));
    }
    ssize_t n = c->unsent_size ? 0 : sendmsg(c->fd, &header, MSG_DONTWAIT | MSG_NOSIGNAL);
    n = n < 0 ? 0 : n;
    client_keep(c, bytes + n, size - (size_t)n);
}

#endif
