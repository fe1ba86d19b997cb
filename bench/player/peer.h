/* SPDX-License-Identifier: MIT */
#ifndef PLAYER_PEER_H
#define PLAYER_PEER_H

#include "../client/wire.h"
#include "plan.h"

#include <stdbool.h>
#include <sys/uio.h>

enum phase { ABSENT, AUTHENTICATING, OPEN, CLOSING, CLOSED };

/* A connection of the player: its socket, what is buffered, and where it is in the plan. */
struct peer {
    int fd;
    enum phase phase;
    unsigned lines; /* of the server's, in authentication */
    uint8_t *in;
    size_t size, capacity; /* of the received bytes */
    struct buffer out;
    size_t out_at;
    bool watched_out;  /* the loop waits until it can write */
    uint32_t op, wait; /* the next op, and the next of its waits */
    uint32_t hello;    /* the event of the answer to Hello */
    uint32_t broadcasts;
    uint32_t next_waiting; /* for the same event */
    bool listed;           /* among those */
    bool timed;            /* the next op waits for its time */
};

void peer_connect(struct peer *peer, const char *address);
void peer_send(struct peer *peer, const void *data, size_t size, uint32_t fds);
void peer_flush(struct peer *peer);
/* Reads once; false: the bus has closed it. */
bool peer_receive(struct peer *peer);
/* Consumes the next line of the server's or the next message; false: it is incomplete. */
bool peer_line(struct peer *peer, char *line, size_t size);
void peer_consume(struct peer *peer, size_t size);
void peer_close(struct peer *peer);
bool peer_pending(const struct peer *peer); /* bytes to write */

#endif
