/* SPDX-License-Identifier: MIT */
#ifndef BUSBENCH_CONNECTION_H
#define BUSBENCH_CONNECTION_H

#include "wire.h"

#include <sys/types.h>

#define BUS "org.freedesktop.DBus"

/* A client. Its functions die on any violation by the bus. */
struct connection {
    int fd;
    uint8_t *in;
    size_t at, size, capacity; /* of the received bytes: position of the next message, and the end */
    uint32_t serial;
    char name[48];
    bool packets; /* the transport is unix-seqpacket: a message is one packet */
    bool direct;  /* without a bus: clients write the sender field themselves */
    unsigned acquired, lost;
    char acquired_name[64], lost_name[64];
};

void connection_open(struct connection *c); /* connects, authenticates, Hello; may reuse a closed one */
/* Calls the function; false: the bus refused, closed or failed, and the connection is closed. */
bool connection_try(struct connection *c, void (*function)(struct connection *c));
void connection_direct(struct connection *c, int fd, int number); /* over a socketpair */
void connection_close(struct connection *c);

void connection_room(struct connection *c, size_t want);
bool connection_fill(struct connection *c, size_t want, int flags); /* false: nothing, with MSG_DONTWAIT */
void connection_send(struct connection *c, const void *data, size_t size);
/* The next message, valid until the following call; false: none has arrived. */
bool connection_buffered(struct connection *c, struct message *m, size_t *want);
void connection_next(struct connection *c, struct message *m);

void driver_signal(struct connection *c, const struct message *m); /* NameAcquired or NameLost, else dies */
uint32_t driver_send(struct connection *c, const char *member, const char *signature,
                     const struct buffer *body);
void driver_reply(struct connection *c, struct message *m, uint32_t serial, const char *member,
                  const char *signature);
void driver_call(struct connection *c, struct message *m, const char *member, const char *signature,
                 const struct buffer *body, const char *reply_signature);
void driver_add_match(struct connection *c, const char *rule);
void driver_request_name(struct connection *c, const char *name); /* and waits for NameAcquired */

#endif
