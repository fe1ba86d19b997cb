/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_DOOR_H
#define OMNIBUS_DOOR_H

#include "state/bus.h"

/*
 * The accept layer: listening sockets, authentication, admission, Hello, and the end of a connection.
 *
 * - A door (this file) is a listening socket. It accepts only while max_incomplete_connections and memory
 *   allow, and only if the control plane keeps up with connections that come and go.
 * - A new connection does the SASL handshake here if it is the usual one: EXTERNAL as the uid that the kernel
 *   reports. Any other is handed up, with all of its bytes, and repeated from the beginning by omnibus.auth,
 *   which remains the one authority on SASL.
 * - admit.c decides by the compiled policy whether the client may connect, and makes it a peer. hello.c
 *   answers Hello if no limit is near and no monitor wants to see the call.
 * - incomplete.c bounds the time until Hello (auth_timeout). leave.c forgets a lost connection once nothing
 *   is owed to others any more.
 * - The control plane learns of each peer from one event, before any other event of that peer. A peer that
 *   came and left unnoticed is not reported at all.
 *
 * Accepting in the control plane was rejected: the time that Python needs for a connection let one client
 * that connects in a loop delay all others.
 */

/* Milliseconds without accept() after descriptors or memory have run out. */
#define DOOR_PAUSE 1000
/*
 * Limit of lost connections that the control plane has yet to process, and milliseconds without accept()
 * beyond it.
 */
#define DOOR_LEFT_MAX 2048u
#define DOOR_REST 10

/* A listening socket. */
struct door {
    struct source source;
    struct list in_doors; /* bus.doors */
    int fd;
    uint32_t number;            /* its number in the control plane */
    bool simple, only_external; /* see relay_listen */
    char guid[33];
};

struct door *door_new(int fd, uint32_t number, const char *guid, bool simple,
                      bool only_external); /* NULL: no memory */
void door_free(struct door *door);
void door_open(struct bus *bus, struct door *door); /* takes ownership of the door */
/* Closes the doors with this number, none of which is simple: no handshake refers to them. */
void doors_close(struct bus *bus, uint32_t number);
/* Has epoll watch the doors of a bus that was made from a state. 0 or a negative errno. */
int doors_watch(struct bus *bus);
/* Stops accepting for good, and drops connections that have not authenticated. */
void doors_shut(struct bus *bus);
void doors_free(struct bus *bus); /* after doors_shut */
/* Accepts one connection. epoll reports further ones, which is cheaper than an accept() that finds none. */
void door_ready(struct bus *bus, struct door *door);
/* A limit of 0 counts as 1, because every connection is incomplete until its Hello. */
static inline bool door_has_room(const struct bus *bus)
{
    uint32_t limit = bus->limits.max_incomplete_connections;
    return bus->incompletes.n + bus->incompletes.n_above < (limit > 0 ? limit : 1);
}
/* The number of lost connections that the control plane has yet to forget. */
static inline uint32_t doors_gone(const struct bus *bus)
{
    return atomic_load_explicit(&bus->n_left, memory_order_relaxed) + bus->n_lost;
}
/* True if there is nothing for doors_tick() to do. */
static inline bool doors_settled(const struct bus *bus)
{
    return bus->accepting && !bus->accept_again && door_has_room(bus) && doors_gone(bus) < DOOR_LEFT_MAX;
}
/*
 * Starts or stops accepting as there is room. Returns the milliseconds until the next call is due; -1: none
 * is.
 */
int64_t doors_tick(struct bus *bus);

#endif
