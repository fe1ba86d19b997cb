/* SPDX-License-Identifier: MIT */
#ifndef FUZZ_CLIENT_H
#define FUZZ_CLIENT_H

#include "names.h"
#include "prng.h"
#include "rules.h"
#include "wire.h"

#define CLIENTS_MAX 512u /* of one round */
#define CLIENT_FDS 253u
#define NEVER SIZE_MAX

enum client_state {
    CLIENT_GREETING, /* lines of the handshake are still to come */
    CLIENT_WAITING,  /* for the reply to Hello */
    CLIENT_ACTIVE,
    CLIENT_DEAD,
};

/* Descriptors that go with the first byte of a message. They are made when it is written. */
struct attachment {
    size_t at;
    uint32_t serial;
    uint32_t n;
};

/* A connection of ours to the bus. */
struct client {
    uint32_t id;   /* its place in world.clients, for the whole round */
    uint32_t slot; /* that the plan knows it by; another client may follow in it */
    uint32_t uid;
    int fd;
    enum client_state state;
    char unique[24]; /* "": not known yet */
    bool fd_passing;
    bool monitor;     /* from the call of BecomeMonitor on */
    bool promiscuous; /* it may see what is for others */
    bool wild;        /* it broke the protocol: nothing about it is checked any more */
    bool loiterer;    /* it never completes its handshake */
    bool may_be_cut;  /* the bus may have a reason to disconnect it */
    bool ended;       /* by the plan */
    bool shut;        /* for writing */
    bool hearing;     /* its messages are being taken */

    struct bytes out;
    size_t out_at;   /* written so far */
    size_t hold_at;  /* what follows is not written yet */
    size_t close_at; /* where it ends */
    bool close_half; /* that is within a message */
    bool close_fds;  /* whose descriptors were sent */
    struct attachment *attached;
    size_t n_attached, attached_at, attached_room;
    uint32_t chunk;     /* the largest write; it shrinks to a random part of that */
    size_t chunk_until; /* for as long as out_at is less */
    struct prng chunks;
    uint32_t events; /* that epoll waits for */

    bool reading;
    uint32_t read_chunk; /* bytes of one read */
    struct bytes in;
    int fds[4 * CLIENT_FDS];
    uint32_t n_fds;
    uint32_t way;   /* of its handshake */
    uint32_t lines; /* of the handshake, that are still to come */

    struct records planned, reactions;
    uint32_t n_sent; /* messages, whole or not */
    uint32_t n_received;
    uint32_t order;
    struct { /* calls that are answered at the next quiet moment */
        uint32_t *at;
        size_t n, room;
    } later;
    uint32_t synced;      /* of the calls that sync() made */
    uint32_t n_must_lost; /* broadcasts that had to reach it and did not */
    uint32_t *last;       /* the order of the latest message by client */
    uint32_t *last_named; /* by client and name */
    uint32_t *since;      /* the same, when it became a monitor */
    struct rules rules;
    bool asked[NAMES];       /* it may be in the name's queue */
    bool owns[NAMES];        /* by NameAcquired and NameLost */
    uint16_t changes[NAMES]; /* so often */
};

struct client *client_new(uint32_t id, uint32_t slot, uint32_t uid, int fd);
void client_free(struct client *c);
static inline bool client_alive(const struct client *c)
{
    return c && c->state != CLIENT_DEAD && !c->ended;
}

/* Appends a message; the descriptors go with its first byte. */
void client_send(struct client *c, const void *header, size_t n, const void *body, size_t size,
                 uint32_t serial, uint32_t n_fds);
/* Bytes that are no message. */
void client_send_raw(struct client *c, const void *bytes, size_t n);
/* What is to be written now. */
size_t client_pending(const struct client *c);
/* Writes what may be written. False: the bus has closed the connection. */
bool client_write(struct client *c);
/* Reads once. False: the end, or an error. */
bool client_read(struct client *c);
/* Takes descriptors from those that came. */
bool client_take_fds(struct client *c, uint32_t n, int *fds);
/* The record of a serial; NULL: it sent none like this. */
struct record *client_record(struct client *c, uint32_t serial);
void client_close(struct client *c);

#endif
