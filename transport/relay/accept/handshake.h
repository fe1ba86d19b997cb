/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_HANDSHAKE_H
#define OMNIBUS_HANDSHAKE_H

#include "accept/peer_creds.h"
#include "accept/sasl_fast.h"
#include "state/bus.h"

#define HANDSHAKE_KEPT 512u /* bytes of a handshake; a longer one is handed up */
#define HANDSHAKE_READ 4096u

struct door;

/* A connection during the SASL handshake. */
struct handshake {
    struct peer *peer; /* what it becomes: events of the descriptor belong to the peer from the beginning */
    struct door *door;
    int fd;
    bool watched; /* epoll knows it */
    bool hung_up; /* the end of the stream remains to be read */
    struct peer_creds_user user;
    struct sasl_fast sasl;
    size_t said; /* bytes of answers sent */
    size_t size;
    uint8_t text[HANDSHAKE_KEPT]; /* everything received */
};

struct handshake *handshake_new(int fd); /* with its peer, in no table; NULL: no memory */
/*
 * Brings a new handshake, of which door and user are set, to where another process had it after this text.
 * False: it is not the beginning of a usual handshake.
 */
bool handshake_hear_again(struct handshake *handshake, const uint8_t *text, size_t size);
/* Begins a handshake and reads at once. False: no memory; the descriptor is left alone. */
bool handshake_begin(struct bus *bus, struct door *door, int fd);
void handshake_ready(struct bus *bus, struct handshake *handshake, uint32_t events);
void handshake_free(struct bus *bus, struct handshake *handshake); /* closes what it still owns */

#endif
