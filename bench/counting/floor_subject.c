/* SPDX-License-Identifier: MIT */
#include "subject.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * The minimal work of a relay of D-Bus messages: it reads, splits the stream into messages, reads each byte
 * of each header field once, copies the message to its receivers, and writes. It checks nothing and keeps no
 * state. A message for the bus goes back to its sender.
 */

#define MAX_CLIENTS 16
#define DESTINATION 6
#define BUFFER (1u << 18)

struct out {
    size_t size;
    uint8_t data[BUFFER];
};

static int epoll = -1, n_clients;
static int client[MAX_CLIENTS];
static struct out out[MAX_CLIENTS];
static uint8_t in[BUFFER];
static uint32_t hash; /* of all header fields: so that reading them is not optimized away */

static uint32_t u32(const uint8_t *at)
{
    uint32_t value;
    memcpy(&value, at, sizeof(value));
    return value;
}

static void floor_open(const int *fds, int n)
{
    epoll = epoll_create1(EPOLL_CLOEXEC);
    n_clients = n;
    for (int i = 0; i < n; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = (uint32_t)i};
        client[i] = fds[i];
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, fds[i], &event))
            abort();
    }
}

/* Returns the destination's text, or NULL. */
static const char *walk_fields(const uint8_t *message)
{
    const char *destination = NULL;
    for (uint32_t at = 16, end = 16 + u32(message + 12); at < end; at = (at + 7) & ~7u) {
        uint8_t field = message[at], type = message[at + 2];
        at += 4;
        if (type == 'u') {
            hash += u32(message + at);
            at += 4;
            continue;
        }
        uint32_t size = type == 'g' ? message[at] : u32(message + at);
        at += type == 'g' ? 1 : 4;
        if (field == DESTINATION)
            destination = (const char *)message + at;
        for (uint32_t i = 0; i < size; i++)
            hash = (hash ^ message[at + i]) * 16777619u;
        at += size + 1;
    }
    return destination;
}

static void give(int to, const uint8_t *message, uint32_t size)
{
    memcpy(out[to].data + out[to].size, message, size);
    out[to].size += size;
}

static void pass_on(int from, const uint8_t *message, uint32_t size)
{
    const char *destination = walk_fields(message);
    if (destination)
        give(destination[0] == ':' ? atoi(destination + 3) : from, message, size);
    for (int i = 0; !destination && i < n_clients; i++)
        if (i != from)
            give(i, message, size);
}

static void receive(int from)
{
    struct iovec iov = {in, sizeof(in)};
    struct msghdr header = {.msg_iov = &iov, .msg_iovlen = 1};
    ssize_t n = recvmsg(client[from], &header, MSG_DONTWAIT);
    for (ssize_t at = 0, size; at < n; at += size) {
        size = (ssize_t)(((16 + (size_t)u32(in + at + 12) + 7) & ~(size_t)7) + u32(in + at + 4));
        pass_on(from, in + at, (uint32_t)size);
    }
}

static void floor_turn(void)
{
    struct epoll_event events[MAX_CLIENTS];
    int n = epoll_wait(epoll, events, MAX_CLIENTS, 0);
    for (int i = 0; i < n; i++)
        receive((int)events[i].data.u32);
    for (int i = 0; i < n_clients; i++) {
        struct iovec iov = {out[i].data, out[i].size};
        struct msghdr header = {.msg_iov = &iov, .msg_iovlen = 1};
        if (out[i].size && sendmsg(client[i], &header, MSG_DONTWAIT | MSG_NOSIGNAL) != (ssize_t)out[i].size)
            abort();
        out[i].size = 0;
    }
}

static void floor_close(void)
{
    for (int i = 0; i < n_clients; i++)
        close(client[i]);
    close(epoll);
}

const struct subject floor_relay = {"floor", floor_open, floor_turn, floor_close};
