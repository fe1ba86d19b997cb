/* SPDX-License-Identifier: MIT */
#include "connect.h"

#include "connection.h"
#include "options.h"
#include "process.h"

#include <errno.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define FLOOR_FDS 64 /* one client connects at a time */
#define OK "OK 0123456789abcdef0123456789abcdef\r\n"
#define AGREE "AGREE_UNIX_FD\r\n"

/*
 * What every bus has to do for a client that connects as libdbus does: accept it, read four times, answer
 * three times, and close. It checks nothing, asks the kernel for no credentials and remembers no connection,
 * only how far each has come.
 */
enum step { STEP_AUTH, STEP_NEGOTIATE, STEP_HELLO };

struct floor {
    int listener, epoll;
    uint64_t names;
    enum step step[FLOOR_FDS];
    struct buffer out, message, body;
};

static void watch(const struct floor *floor, int fd, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.fd = fd};
    if (epoll_ctl(floor->epoll, EPOLL_CTL_ADD, fd, &event))
        die("epoll_ctl: %s", strerror(errno));
}

static void floor_say(int fd, const void *data, size_t size)
{
    if (send(fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL) != (ssize_t)size)
        die("send: %s", strerror(errno));
}

static void add_message(struct floor *floor, struct header header, const char *name)
{
    header.destination = name;
    header.sender = BUS;
    header.signature = "s";
    header.flags = NO_REPLY;
    floor->body.size = 0;
    buffer_string(&floor->body, name);
    header.body_size = (uint32_t)floor->body.size;
    header_write(&floor->message, &header);
    write_u32(floor->message.data + SERIAL_AT, 1);
    buffer_put(&floor->out, floor->message.data, floor->message.size);
    buffer_put(&floor->out, floor->body.data, floor->body.size);
}

static void welcome(struct floor *floor, int fd, const uint8_t *hello)
{
    char name[32];
    snprintf(name, sizeof(name), ":1.%llu", (unsigned long long)floor->names++);
    floor->out.size = 0;
    add_message(floor, (struct header){.type = RETURN, .reply_serial = read_u32(hello + SERIAL_AT)}, name);
    add_message(
        floor,
        (struct header){
            .type = SIGNAL, .path = "/org/freedesktop/DBus", .interface = BUS, .member = "NameAcquired"},
        name);
    floor_say(fd, floor->out.data, floor->out.size);
}

/* Without room for descriptors, which a bus needs. */
static void serve(struct floor *floor, int fd)
{
    static const char begin[] = "BEGIN\r\n";
    uint8_t in[4096];
    struct iovec iov = {in, sizeof(in)};
    struct msghdr header = {.msg_iov = &iov, .msg_iovlen = 1};
    ssize_t size = recvmsg(fd, &header, MSG_DONTWAIT);
    const uint8_t *at = in;
    if (size < 0 && errno == EAGAIN)
        return;
    if (size <= 0) {
        close(fd);
        return;
    }
    switch (floor->step[fd]) {
    case STEP_AUTH:
        floor_say(fd, OK, sizeof(OK) - 1);
        floor->step[fd] = STEP_NEGOTIATE;
        return;
    case STEP_NEGOTIATE:
        floor_say(fd, AGREE, sizeof(AGREE) - 1);
        floor->step[fd] = STEP_HELLO;
        return;
    case STEP_HELLO:
        if (!memcmp(in, begin, sizeof(begin) - 1))
            at += sizeof(begin) - 1;
        if (at < in + size)
            welcome(floor, fd, at);
    }
}

static void floor_accept(struct floor *floor)
{
    int fd = accept4(floor->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return;
    if (fd >= FLOOR_FDS)
        die("too many connections");
    floor->step[fd] = STEP_AUTH;
    serve(floor, fd);
    watch(floor, fd, EPOLLIN | EPOLLRDHUP | EPOLLET);
}

static void accepting(void *argument)
{
    struct floor floor = {.listener = *(int *)argument, .epoll = epoll_create1(EPOLL_CLOEXEC)};
    struct epoll_event events[FLOOR_FDS];
    watch(&floor, floor.listener, EPOLLIN);
    process_ready();
    for (;;) {
        int n = epoll_wait(floor.epoll, events, FLOOR_FDS, -1);
        for (int i = 0; i < n; i++) {
            int fd = events[i].data.fd;
            if (fd == floor.listener)
                floor_accept(&floor);
            else
                serve(&floor, fd);
        }
    }
}

static struct sockaddr_un place = {.sun_family = AF_UNIX};

pid_t connect_floor_spawn(void)
{
    static char address[sizeof(place.sun_path) + 16];
    snprintf(place.sun_path, sizeof(place.sun_path), "/tmp/busbench.%d", getpid());
    snprintf(address, sizeof(address), "unix:path=%s", place.sun_path);
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (listener < 0 || bind(listener, (void *)&place, sizeof(place)) || listen(listener, 64))
        die("listening: %s", strerror(errno));
    options.address = address;
    pid_t pid = process_spawn("relay", process_deadline(), accepting, &listener);
    close(listener);
    return pid;
}

void connect_floor_end(void)
{
    unlink(place.sun_path);
}
