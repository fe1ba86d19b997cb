/* SPDX-License-Identifier: MIT */
#include "abuse.h"

#include "connection.h"
#include "hostile.h"
#include "pair.h"
#include "payload.h"
#include "process.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define VICTIM "org.busbench.Victim"
#define SMALL 64u
#define MIDDLE 4096u
#define LARGE (1u << 20)
#define BATCH 32
#define FDS 16
#define MAX_LEAKED 2000
#define LEAK_PAUSE_US 10000

struct load {
    enum message_type type;
    uint32_t size;
    int batch, fds;
};

static void write_load(struct buffer *out, const struct load *load)
{
    struct buffer header = {0};
    header_write(&header, &(struct header){.type = load->type,
                                           .flags = NO_REPLY,
                                           .path = PATH,
                                           .interface = "org.busbench.Abuse",
                                           .member = "Trouble",
                                           .destination = load->type == CALL ? VICTIM : NULL,
                                           .signature = "ay",
                                           .unix_fds = (uint32_t)load->fds,
                                           .body_size = load->size});
    payload_init(load->size);
    for (int i = 0; i < load->batch; i++) {
        buffer_put(out, header.data, header.size);
        payload_put(out, load->size, (uint64_t)i);
    }
}

static void make_load(const struct load *load)
{
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(FDS * sizeof(int))];
    } control = {.header = {CMSG_LEN(FDS * sizeof(int)), SOL_SOCKET, SCM_RIGHTS}};
    struct connection c = {0};
    struct buffer out = {0};
    int fds[FDS];
    hostile_set_uid();
    write_load(&out, load);
    for (int i = 0; i < FDS; i++)
        fds[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
    memcpy(CMSG_DATA(&control.header), fds, sizeof(fds));
    connection_open(&c);
    process_ready();
    for (;;) {
        struct iovec iov = {out.data, out.size};
        struct msghdr header = {.msg_iov = &iov,
                                .msg_iovlen = 1,
                                .msg_control = load->fds ? &control : NULL,
                                .msg_controllen = load->fds ? sizeof(control.space) : 0};
        if (hostile_send(&c, &header))
            atomic_fetch_add(&shared->harm, (uint64_t)load->batch);
        else
            hostile_reconnect(&c, connection_open);
    }
}

static void flood_calls(void *argument)
{
    (void)argument;
    make_load(&(struct load){CALL, SMALL, BATCH, 0});
}

static void flood_signals(void *argument)
{
    (void)argument;
    make_load(&(struct load){SIGNAL, SMALL, BATCH, 0});
}

static void send_to_the_stuck(void *argument)
{
    (void)argument;
    make_load(&(struct load){CALL, MIDDLE, 1, 0});
}

static void send_large(void *argument)
{
    (void)argument;
    make_load(&(struct load){CALL, LARGE, 1, 0});
}

static void leak_fds(void *argument)
{
    (void)argument;
    make_load(&(struct load){CALL, SMALL, 1, FDS});
}

/* Opens and keeps as many connections as it may, and then keeps trying. */
static void leak_connections(void *argument)
{
    (void)argument;
    hostile_set_uid();
    process_ready();
    for (int n = 0;;) {
        struct connection c = {0};
        bool opened = connection_try(&c, connection_open);
        atomic_fetch_add(&shared->harm, 1);
        if (opened && n < MAX_LEAKED) {
            n++;
        } else {
            connection_close(&c);
            usleep(LEAK_PAUSE_US);
        }
        free(c.in);
    }
}

static void reload(void *argument)
{
    struct connection c = {0};
    struct message m;
    (void)argument;
    connection_open(&c);
    process_ready();
    for (;;) {
        atomic_fetch_add(&shared->harm, 1); /* one may take longer than the case */
        driver_call(&c, &m, "ReloadConfig", NULL, NULL, "");
    }
}

static void open_as_victim(struct connection *c)
{
    connection_open(c);
    driver_request_name(c, VICTIM);
}

static void open_as_listener(struct connection *c)
{
    connection_open(c);
    driver_add_match(c, "type='signal',interface='org.busbench.Abuse'");
}

/* Reads everything, as fast as it can. */
static void read_all(void (*open_as)(struct connection *))
{
    static char bytes[1 << 18];
    struct connection c = {0};
    hostile_set_uid();
    hostile_connect(&c, open_as);
    process_ready();
    for (;;)
        if (recv(c.fd, bytes, sizeof(bytes), 0) <= 0)
            hostile_reconnect(&c, open_as);
}

static void read_calls(void *argument)
{
    (void)argument;
    read_all(open_as_victim);
}

static void read_signals(void *argument)
{
    (void)argument;
    read_all(open_as_listener);
}

/* Notices only that it has been disconnected. */
static void read_nothing(void *argument)
{
    struct connection c = {0};
    (void)argument;
    hostile_set_uid();
    hostile_connect(&c, open_as_victim);
    process_ready();
    for (;;) {
        struct pollfd poller = {c.fd, POLLRDHUP, 0};
        if (poll(&poller, 1, -1) > 0)
            hostile_reconnect(&c, open_as_victim);
    }
}

const struct abuse abuses[] = {
    {"flood-calls", flood_calls, read_calls},
    {"flood-signals", flood_signals, read_signals},
    {"stuck-reader", send_to_the_stuck, read_nothing},
    {"leak-connections", leak_connections, NULL},
    {"leak-fds", leak_fds, read_nothing},
    {"large", send_large, read_calls},
    {"reload", reload, NULL},
    {0},
};
