/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_TAKEOVER_OBSERVER_H
#define OMNIBUS_TAKEOVER_OBSERVER_H

#include "sockets.h"
#include "wire/marshal.h"
#include "wire/message.h"

#include <sys/types.h>

#define BUS_NAME "org.freedesktop.DBus"
#define BUS_PATH "/org/freedesktop/DBus"

/*
 * A client of the daemon that asks it what it knows. It is one of the clients that are carried over, so that
 * other clients see it come and leave as any other, and so that it sees when the new bus answers.
 *
 * It never waits: the daemon may stand still under a tracer. Replies are taken by serial, from a queue.
 */
struct observer_reply {
    uint8_t *data;
    struct message m; /* refers to data */
};

struct observer {
    int fd;
    char guid[33]; /* of the listener */
    uint64_t id;
    uint32_t serial;
    struct marshal out;
    uint8_t *pending; /* not written yet */
    size_t n_pending, pending_room;
    uint8_t *in;
    size_t n_in, in_room;
    struct observer_reply *replies; /* to serial base, base + 1 ...; data NULL: not answered yet */
    uint32_t base, n_replies, room;
    uint32_t n_heard; /* replies so far */
    bool failed;      /* the connection is broken, or there is no memory */
};

/* Connects as that user; waits for at most some seconds. 0 or -errno; -EACCES: the bus refuses. */
int observer_connect(struct observer *o, const struct sockaddr_un *name, socklen_t size, uid_t uid,
                     gid_t gid);
void observer_close(struct observer *o);

/* A call to the bus, or to another name, with at most one string. Returns its serial; 0: it has failed. */
uint32_t observer_ask(struct observer *o, const char *interface, const char *member, const char *argument);
uint32_t observer_call(struct observer *o, const struct marshal_header *header, struct span argument);
/* The same with the name of a service, and no flags: StartServiceByName. */
uint32_t observer_start(struct observer *o, const struct marshal_header *header, struct span name);
/* UpdateActivationEnvironment without variables: shows whether there can be any. */
uint32_t observer_update(struct observer *o);
/* A signal that nothing listens to, for one connection. */
void observer_probe(struct observer *o, uint64_t id);
/* Writes what is pending, reads what is there. False: the connection is broken. */
bool observer_turn(struct observer *o);
/* Which poll(2) events it waits for. */
short observer_events(const struct observer *o);
/* The reply to a call; NULL: there is none yet. Valid until observer_forget. */
const struct message *observer_reply(const struct observer *o, uint32_t serial);
/* Forgets all replies, and ignores those that are still to come. */
void observer_forget(struct observer *o);

#endif
