/* SPDX-License-Identifier: MIT */
#include "relay.h"

#include "clock.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define SPIN_NS 50000u

const char *const route_name[] = {"bus",         "direct-stream", "direct-seqpacket",
                                  "relay-epoll", "relay-spin",    "relay-uring"};

int relay_targets(const struct relay *relay, int from, int *first)
{
    if (relay->n == 2) {
        *first = !from;
        return 1;
    }
    *first = 1;
    return from == 0 ? relay->n - 1 : 0;
}

void relay_socketpair(int type, int ends[2])
{
    if (socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends))
        die("socketpair: %s", strerror(errno));
}

static void send_all(int fd, const uint8_t *data, size_t size)
{
    while (size) {
        struct iovec iov = {(void *)data, size};
        struct msghdr header = {.msg_iov = &iov, .msg_iovlen = 1};
        ssize_t n = sendmsg(fd, &header, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EPIPE)
            _exit(0);
        if (n < 0)
            die("relay: sendmsg: %s", strerror(errno));
        data += n;
        size -= (size_t)n;
    }
}

static void forward(const struct relay *relay, int from)
{
    static uint8_t data[1 << 18];
    struct iovec iov = {data, sizeof(data)};
    struct msghdr header = {.msg_iov = &iov, .msg_iovlen = 1};
    ssize_t size = recvmsg(relay->fd[from], &header, 0);
    int first, n = relay_targets(relay, from, &first);
    if (size <= 0)
        _exit(0);
    for (int i = 0; i < n; i++)
        send_all(relay->fd[first + i], data, (size_t)size);
}

static void epoll_relay(void *argument)
{
    struct relay *relay = argument;
    struct epoll_event events[64];
    int epoll = epoll_create1(EPOLL_CLOEXEC), first;
    for (int i = 0; i < relay->n; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = (uint32_t)i};
        if (relay_targets(relay, i, &first) && epoll_ctl(epoll, EPOLL_CTL_ADD, relay->fd[i], &event))
            die("epoll_ctl: %s", strerror(errno));
    }
    process_ready();
    for (;;) {
        int n = 0;
        if (relay->route == ROUTE_SPIN)
            for (uint64_t end = clock_ns() + SPIN_NS; !n && clock_ns() < end;)
                n = epoll_wait(epoll, events, 64, 0);
        if (!n)
            n = epoll_wait(epoll, events, 64, -1);
        for (int i = 0; i < n; i++)
            forward(relay, (int)events[i].data.u32);
    }
}

pid_t relay_spawn(struct relay *relay)
{
    bool uring = relay->route == ROUTE_URING;
    pid_t pid =
        process_spawn(route_name[relay->route], process_deadline(), uring ? uring_relay : epoll_relay, relay);
    for (int i = 0; i < relay->n; i++)
        close(relay->fd[i]);
    return pid;
}
