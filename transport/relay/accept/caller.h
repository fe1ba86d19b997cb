/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_CALLER_H
#define OMNIBUS_CALLER_H

#include "accept/greeting.h"
#include "accept/identity.h"
#include "state/bus.h"

#define CALLER_KEPT 512u /* bytes of a handshake; a longer one is handed up */
#define CALLER_READ 4096u

struct door;

/* A connection during the SASL handshake. */
struct caller {
    struct peer *peer; /* what it becomes: events of the descriptor belong to the peer from the beginning */
    struct door *door;
    int fd;
    bool watched; /* epoll knows it */
    bool hung_up; /* the end of the stream remains to be read */
    struct identity_user user;
    struct greeting greeting;
    size_t said; /* bytes of answers sent */
    size_t size;
    uint8_t text[CALLER_KEPT]; /* everything received */
};

/* Begins a handshake and reads at once. False: no memory; the descriptor is left alone. */
bool caller_begin(struct bus *bus, struct door *door, int fd);
void caller_ready(struct bus *bus, struct caller *caller, uint32_t events);
void caller_free(struct bus *bus, struct caller *caller); /* closes what it still owns */

#endif
