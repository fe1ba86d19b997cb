/* SPDX-License-Identifier: MIT */

/* One to many by the kernel itself: UDP on loopback, netlink, a loop of sends, io_uring.
 */

#include "fanout.h"

#include "payload.h"
#include "process.h"
#include "report.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define RECEIVE_TIMEOUT_MS 300
#define SLOW_US 1000

static struct sockaddr_in udp_address(void)
{
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)(20000 + getpgrp() % 20000)),
                                .sin_addr.s_addr = inet_addr("239.255.77.1")};
}

static struct sockaddr_nl netlink_address(void)
{
    return (struct sockaddr_nl){.nl_family = AF_NETLINK, .nl_groups = 1};
}

static bool send_in_a_loop(const struct fanout *f, const void *data, size_t size)
{
    for (int i = 0; i < f->n_tx; i++)
        if (send(f->tx[i], data, size, MSG_NOSIGNAL) != (ssize_t)size)
            return false;
    return true;
}

bool multicast_send(const struct fanout *f, const void *data, size_t size)
{
    struct sockaddr_in udp = udp_address();
    struct sockaddr_nl netlink = netlink_address();
    bool sent = true;
    switch (f->multicast) {
    case MULTICAST_UDP:
        sent = sendto(f->tx[0], data, size, 0, (void *)&udp, sizeof(udp)) == (ssize_t)size;
        break;
    case MULTICAST_NETLINK:
        /* the kernel multicasts, then unicasts to port 0, which has no listener: only that is reported */
        sent = sendto(f->tx[0], data, size, 0, (void *)&netlink, sizeof(netlink)) == (ssize_t)size ||
               errno == ECONNREFUSED;
        break;
    case MULTICAST_URING:
        uring_send_all(f->tx, f->n_tx, data, size);
        break;
    default:
        sent = send_in_a_loop(f, data, size);
    }
    if (!sent && !f->blast)
        die("multicast: %s", strerror(errno));
    return sent;
}

/* The next message of a datagram or stream socket; false: nothing more comes. */
static bool receive(const struct fanout *f, struct connection *c, struct message *m, uint64_t *overruns)
{
    size_t want;
    bool stream = f->multicast >= MULTICAST_LOOP;
    while (!stream || !connection_buffered(c, m, &want)) {
        connection_room(c, 1u << 16);
        ssize_t n = recv(c->fd, c->in + c->size, c->capacity - c->size, 0);
        if (n < 0 && errno == ENOBUFS) { /* netlink reports drops */
            ++*overruns;
            continue;
        }
        if (n == 0 || (n < 0 && atomic_load(&shared->stop)))
            return false;
        if (n < 0 && errno != EAGAIN)
            die("recv: %s", strerror(errno));
        c->size += n > 0 ? (size_t)n : 0;
        if (!stream && n > 0) {
            if (!connection_buffered(c, m, &want) || c->at != c->size)
                die("broken datagram");
            return true;
        }
    }
    return true;
}

void multicast_subscriber(void *argument)
{
    struct fanout *f = argument;
    struct connection c;
    struct message m;
    struct timeval timeout = {0, RECEIVE_TIMEOUT_MS * 1000};
    uint64_t want = 0, got = 0, overruns = 0;
    connection_direct(&c, f->rx[f->index], f->index);
    setsockopt(c.fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
    process_ready();
    while (receive(f, &c, &m, &overruns)) {
        fanout_check(&m, shared->name[0]);
        uint64_t number = payload_number(&m);
        if (number == QUIT)
            break;
        if (number < want)
            die("REORDERED");
        if (number > want && !f->blast)
            die("DROPPED %llu messages with only two bursts under way", (unsigned long long)(number - want));
        payload_check(&m, f->size, number);
        want = number + 1;
        got++;
        if (!f->blast)
            fanout_burst_read(f, want);
        else if (f->index == 0)
            usleep(SLOW_US);
    }
    atomic_store(&shared->got[f->index], got);
    atomic_store(&shared->overruns[f->index], overruns);
}

static void open_udp(struct fanout *f)
{
    struct sockaddr_in address = udp_address();
    struct ip_mreqn group = {.imr_multiaddr = address.sin_addr, .imr_ifindex = (int)if_nametoindex("lo")};
    int one = 1;
    f->tx[f->n_tx++] = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (setsockopt(f->tx[0], IPPROTO_IP, IP_MULTICAST_IF, &group, sizeof(group)))
        die("IP_MULTICAST_IF: %s", strerror(errno));
    for (int i = 0; i < f->subs; i++) {
        f->rx[i] = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        setsockopt(f->rx[i], SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
        if (bind(f->rx[i], (void *)&address, sizeof(address)) ||
            setsockopt(f->rx[i], IPPROTO_IP, IP_ADD_MEMBERSHIP, &group, sizeof(group)))
            die("UDP multicast: %s", strerror(errno));
    }
}

static void open_netlink(struct fanout *f)
{
    struct sockaddr_nl address = netlink_address();
    f->tx[f->n_tx++] = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_USERSOCK);
    for (int i = 0; i < f->subs; i++) {
        f->rx[i] = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_USERSOCK);
        if (f->rx[i] < 0 || bind(f->rx[i], (void *)&address, sizeof(address)))
            die("netlink: %s", strerror(errno));
    }
}

static void open_sockets(struct fanout *f)
{
    if (f->multicast == MULTICAST_UDP)
        open_udp(f);
    else if (f->multicast == MULTICAST_NETLINK)
        open_netlink(f);
    for (int i = 0; f->multicast >= MULTICAST_LOOP && i < f->subs; i++) {
        int ends[2];
        relay_socketpair(SOCK_STREAM, ends);
        f->tx[f->n_tx++] = ends[0];
        f->rx[i] = ends[1];
    }
}

static void print(const struct fanout *f)
{
    const struct result *r = &shared->result;
    uint64_t sent = atomic_load(&shared->sent), fast = 0, slow = atomic_load(&shared->got[0]);
    report_number("signals_per_s", (double)r->n / r->seconds);
    if (!f->blast) {
        report_number("deliveries_per_s", (double)r->n * f->subs / r->seconds);
        return;
    }
    for (int i = 1; i < f->subs; i++)
        fast += atomic_load(&shared->got[i]);
    report_count("sent", sent);
    report_count("send_errors", atomic_load(&shared->send_errors));
    report_count("slow_got", slow);
    report_count("slow_lost", sent - slow);
    report_count("slow_overruns_seen", atomic_load(&shared->overruns[0]));
    report_count("fast_got", fast);
    report_count("fast_lost", sent * (uint64_t)(f->subs - 1) - fast);
}

void multicast_run(const char *name, enum multicast kind, int subs, bool blast)
{
    static struct fanout f;
    int burst = options.window / 2;
    f = (struct fanout){.multicast = kind,
                        .subs = subs,
                        .blast = blast,
                        .burst = burst > 0 ? burst : 1,
                        .size = options.size};
    process_reset();
    payload_init(f.size);
    open_sockets(&f);
    process_spawn("sender", process_deadline(), fanout_send, &f);
    for (f.index = 0; f.index < subs; f.index++)
        process_spawn("receiver", process_deadline(), multicast_subscriber, &f);
    for (int i = 0; i < f.n_tx; i++)
        close(f.tx[i]);
    for (int i = 0; i < subs; i++)
        close(f.rx[i]);
    bool well = process_start(subs + 1) && process_wait(0);
    report_begin(name);
    report_count("size", f.size);
    report_count("subs", (uint64_t)subs);
    if (well)
        print(&f);
    report_end(well);
}
