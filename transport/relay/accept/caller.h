/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_CALLER_H
#define OMNIBUS_CALLER_H

#include "accept/greeting.h"
#include "accept/identity.h"
#include "state/bus.h"

#define CALLER_KEPT 512u /* bytes of an authentication; a longer one is handed up */
#define CALLER_READ 4096u

struct door;

/* A connection that authenticates. */
struct caller {
    struct peer *peer; /* that it becomes, as events of the descriptor are the peer's all along */
    struct door *door;
    int fd;
    bool watched; /* epoll knows it */
    bool hung_up; /* read until the end is seen */
    struct identity_user user;
    struct greeting greeting;
    size_t said; /* bytes of the answers */
    size_t size;
    uint8_t text[CALLER_KEPT]; /* all that it said */
};

/* Reads at once what it has said. False: no memory; the descriptor is left as it was. */
bool caller_begin(struct bus *bus, struct door *door, int fd);
void caller_ready(struct bus *bus, struct caller *caller, uint32_t events);
void caller_free(struct bus *bus, struct caller *caller); /* closes what it still has */

#endif
