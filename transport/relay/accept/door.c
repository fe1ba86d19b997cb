/* SPDX-License-Identifier: MIT */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* accept4 */
#endif
#include "accept/door.h"

#include "accept/handshake.h"
#include "base/clock.h"
#include "state/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

struct door *door_new(int fd, uint32_t number, const char *guid, bool simple, bool only_external)
{
    struct door *door = calloc(1, sizeof(*door));
    if (!door)
        return NULL;
    door->source.kind = SOURCE_DOOR;
    door->fd = fd;
    door->number = number;
    door->simple = simple;
    door->only_external = only_external;
    snprintf(door->guid, sizeof(door->guid), "%s", guid);
    return door;
}

void door_free(struct door *door)
{
    if (!door)
        return;
    list_unlink(&door->in_doors);
    close(door->fd);
    free(door);
}

static bool door_control(struct bus *bus, struct door *door, int operation)
{
    struct epoll_event event = {.events = bus->accepting ? EPOLLIN : 0, .data.ptr = &door->source};
    return epoll_ctl(bus->epoll, operation, door->fd, &event) == 0;
}

static void door_watch(struct bus *bus, struct door *door, int operation)
{
    if (!door_control(bus, door, operation))
        log_line(bus, LOG_ERR, "Failed to watch for new connections: %s", strerror(errno));
}

int doors_watch(struct bus *bus)
{
    if (bus->shut)
        return 0;
    LIST_FOR (at, &bus->doors) {
        if (!door_control(bus, CONTAINER_OF(at, struct door, in_doors), EPOLL_CTL_ADD))
            return -errno;
    }
    return 0;
}

void door_open(struct bus *bus, struct door *door)
{
    list_append(&bus->doors, &door->in_doors);
    door_watch(bus, door, EPOLL_CTL_ADD);
}

void doors_close(struct bus *bus, uint32_t number)
{
    LIST_FOR_SAFE (at, after, &bus->doors) {
        struct door *door = CONTAINER_OF(at, struct door, in_doors);
        if (door->number != number || door->simple)
            continue;
        epoll_ctl(bus->epoll, EPOLL_CTL_DEL, door->fd, NULL);
        door_free(door);
    }
}

void doors_shut(struct bus *bus)
{
    LIST_FOR (at, &bus->doors)
        epoll_ctl(bus->epoll, EPOLL_CTL_DEL, CONTAINER_OF(at, struct door, in_doors)->fd, NULL);
    LIST_FOR_SAFE (at, after, &bus->incompletes.all) {
        struct peer *one = CONTAINER_OF(at, struct peer, incomplete.in_all);
        if (one->handshake)
            handshake_free(bus, one->handshake);
    }
    bus->shut = true;
}

void doors_free(struct bus *bus)
{
    LIST_FOR_SAFE (at, after, &bus->doors)
        door_free(CONTAINER_OF(at, struct door, in_doors));
}

static void failed(struct bus *bus, int error)
{
    if (!log_recurs(&bus->accept_failed))
        log_line(bus, LOG_WARNING, "Failed to accept a client connection: %s", strerror(error));
    bus->accept_again = clock_now() + DOOR_PAUSE;
}

void door_ready(struct bus *bus, struct door *door)
{
    if (!bus->accepting || bus->shut)
        return;
    int fd = accept4(door->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) {
        if (errno != EAGAIN && errno != ECONNABORTED && errno != EINTR)
            failed(bus, errno);
    } else if (!handshake_begin(bus, door, fd)) {
        close(fd);
        failed(bus, ENOMEM);
    }
    /* another connection in this wake-up may exceed the limit */
    if (!door_has_room(bus))
        doors_tick(bus);
}

int64_t doors_tick(struct bus *bus)
{
    int64_t left = -1;
    if (!bus->accept_again && doors_gone(bus) >= DOOR_LEFT_MAX)
        bus->accept_again = clock_now() + DOOR_REST;
    if (bus->accept_again) {
        left = bus->accept_again - clock_now();
        if (left <= 0) {
            left = -1;
            bus->accept_again = 0;
        }
    }
    bool accepting = door_has_room(bus) && !bus->accept_again;
    if (accepting != bus->accepting && !bus->shut) {
        bus->accepting = accepting;
        LIST_FOR (at, &bus->doors)
            door_watch(bus, CONTAINER_OF(at, struct door, in_doors), EPOLL_CTL_MOD);
    }
    return left;
}
