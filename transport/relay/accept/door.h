/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_DOOR_H
#define OMNIBUS_DOOR_H

#include "state/bus.h"

/* Milliseconds without accept() when descriptors or memory have run out. */
#define DOOR_PAUSE 1000
/* Connections that the control plane has yet to hear or to forget that they are gone, and milliseconds that
 * it is given then. */
#define DOOR_LEFT_MAX 2048u
#define DOOR_REST 10

/* A listening socket. */
struct door {
    struct source source;
    struct list in_doors; /* bus.doors */
    int fd;
    uint32_t number; /* what the control plane calls it */
    bool simple;     /* see relay_listen */
    char guid[33];
};

struct door *door_new(int fd, uint32_t number, const char *guid, bool simple); /* NULL: no memory */
void door_free(struct door *door);
void door_open(struct bus *bus, struct door *door); /* which belongs to the bus from here on */
/* Accepts no more, and drops who has not authenticated yet. */
void doors_shut(struct bus *bus);
void doors_free(struct bus *bus); /* behind that */
/* Takes one in: if there are more, epoll tells again, which costs less than to find that out. */
void door_ready(struct bus *bus, struct door *door);
/* Goes on accepting, or stops, as there is room. Milliseconds until that is to be asked again; -1: any time.
 */
int64_t doors_tick(struct bus *bus);

#endif
