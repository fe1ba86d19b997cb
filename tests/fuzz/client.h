/* SPDX-License-Identifier: MIT */
#ifndef FUZZ_CLIENT_H
#define FUZZ_CLIENT_H

#include "container.h"
#include "names.h"
#include "prng.h"
#include "rules.h"
#include "wire.h"

#define CLIENTS_MAX 512u /* of one round */
#define CLIENT_FDS 253u
#define NEVER SIZE_MAX

enum client_state {
    CLIENT_GREETING, /* lines of the handshake are still expected */
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
    uint32_t id;   /* its index in world.clients, for the whole round */
    uint32_t slot; /* of the plan; another client may reuse it */
    uint32_t uid;
    int fd;
    enum client_state state;
    char unique[24]; /* "": not known yet */
    bool fd_passing;
    bool monitor;                   /* from the call of BecomeMonitor on */
    bool promiscuous;               /* it may see messages for others */
    bool wild;                      /* it violated the protocol: no longer checked */
    bool loiterer;                  /* it never completes its handshake */
    bool may_be_cut;                /* the bus may have a reason to disconnect it */
    bool ended;                     /* by the plan */
    bool shut;                      /* for writing */
    bool receiving;                 /* its messages are being taken */
    struct container_server server; /* the latest that it has made */
    char instance[INSTANCE_TEXT];   /* that it belongs to; "": none */
    enum instance_header header;

    struct bytes out;
    size_t out_at;   /* written so far */
    size_t hold_at;  /* what follows is not written yet */
    size_t close_at; /* where it ends */
    bool close_half; /* that is within a message */
    bool close_fds;  /* after their descriptors were sent */
    struct attachment *attached;
    size_t n_attached, attached_at, attached_room;
    uint32_t chunk;     /* the largest write; it shrinks to a random part of that */
    size_t chunk_until; /* while out_at is less */
    struct prng chunks;
    uint32_t events; /* that epoll waits for */

    bool reading;
    uint32_t read_chunk; /* bytes of one read */
    struct bytes in;
    int fds[4 * CLIENT_FDS];
    uint32_t n_fds;
    uint32_t way;   /* of its handshake */
    uint32_t lines; /* of the handshake, still expected */

    struct records planned, reactions;
    uint32_t n_sent; /* messages, whole or not */
    uint32_t n_received;
    uint32_t order;
    struct { /* calls to answer at the next quiescent point */
        uint32_t *at;
        size_t n, room;
    } later;
    uint32_t synced;      /* of the calls made by sync() */
    uint32_t n_must_lost; /* broadcasts that should have reached it and did not */
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
/* Appends bytes that are no message. */
void client_send_raw(struct client *c, const void *bytes, size_t n);
/* The number of bytes to write now. */
size_t client_pending(const struct client *c);
/* Writes as much as possible. False: the bus has closed the connection. */
bool client_write(struct client *c);
/* Reads once. False: end of file, or an error. */
bool client_read(struct client *c);
/* Takes descriptors from the received ones. */
bool client_take_fds(struct client *c, uint32_t n, int *fds);
/* The record of a serial; NULL: no such message was sent. */
struct record *client_record(struct client *c, uint32_t serial);
void client_close(struct client *c);

#endif
