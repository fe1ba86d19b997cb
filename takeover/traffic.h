/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_TAKEOVER_TRAFFIC_H
#define OMNIBUS_TAKEOVER_TRAFFIC_H

#include "base/table.h"
#include "stream.h"

/*
 * What the bytes that the daemon reads and writes say about its clients. No system call is made here.
 *
 * - The daemon writes a probe, a signal with one destination, to the connection of that name, and to those
 *   that eavesdrop: that is a sighting. mapping.c concludes whose connection is whose.
 * - Calls that were delivered and not answered are noted, for those become pending replies.
 * - Whatever may change names, match rules or connections is counted: a snapshot of these is only good if
 *   the count is the same before and after.
 */

#define PROBE_INTERFACE "org.omnibus.Takeover"
#define PROBE_MEMBER "Probe"
#define PROBE_PATH "/org/omnibus/Takeover"
#define TRAFFIC_MAX_CALLS (1u << 20) /* noted at a time; later ones are not */

/* What is known of the client at one descriptor. */
struct traffic_client {
    int fd;
    struct table_node node; /* in by_id, if its id is known */
    bool known;             /* it is a client */
    bool handshake;         /* it was accepted while we watch, and has not sent BEGIN */
    bool reads;             /* it was read from after its handshake */
    bool fd_passing;
    uint64_t id;      /* its unique name is :1.id; UINT64_MAX: not known yet */
    uint64_t fds_end; /* in `in`: up to here descriptors have come */
    struct stream in, out;
};

struct traffic_sighting {
    uint64_t id; /* the destination of the probe */
    int fd;
};

struct traffic_call {
    struct table_node node;
    uint64_t caller;
    uint32_t serial;
    int fd; /* of the callee */
};

struct traffic {
    struct traffic_client **clients; /* by descriptor */
    size_t n;
    uint64_t observer; /* the id of ours, whose calls don't count */
    struct traffic_sighting *sightings;
    size_t n_sightings, room;
    struct table by_id, calls;
    uint64_t changes, n_accepted;
    const char *change; /* the latest, for reports */
    bool reconfigured;  /* the configuration was read again, or the environment changed */
    bool activated;     /* a unit was asked for; cleared by what has seen it */
    bool failed;        /* no memory: nothing is known any more */
};

bool traffic_init(struct traffic *t);
void traffic_free(struct traffic *t);
/* A connection. accepted: its handshake is going to be seen. */
void traffic_open(struct traffic *t, int fd, bool accepted);
void traffic_close(struct traffic *t, int fd);
/* Notes the unique name of a client. */
void traffic_name(struct traffic *t, int fd, uint64_t id);
/* The descriptor of a name; -1: it is not known. */
int traffic_fd(const struct traffic *t, uint64_t id);
/* control: it was read so that descriptors can come; n_fds: how many did. n 0: the end. */
struct traffic_read {
    const uint8_t *bytes;
    size_t n;
    bool first; /* of one system call */
    bool control;
    uint32_t n_fds;
};
void traffic_read(struct traffic *t, int fd, const struct traffic_read *read);
void traffic_write(struct traffic *t, int fd, const uint8_t *bytes, size_t n, bool first);

/* NULL: it is none. */
static inline struct traffic_client *traffic_client(const struct traffic *t, uint64_t fd)
{
    return fd < t->n && t->clients[fd] && t->clients[fd]->known ? t->clients[fd] : NULL;
}
/* Its number of a unique name: that of ":1.42" is 42. False: it is none. */
bool unique_id(struct span name, uint64_t *id);
/* The end of a handshake in what was received, or 0. */
size_t handshake_end(const uint8_t *bytes, size_t n);

#endif
