/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_PEER_H
#define OMNIBUS_PEER_H

#include "api/relay.h"
#include "base/account.h"
#include "base/list.h"
#include "base/table.h"
#include "match/match.h"
#include "policy/policy.h"
#include "state/event.h"
#include "state/outgoing.h"
#include "state/source.h"

struct bus;
struct caller;
struct member;
struct monitor;
struct quota_share;
struct quota_uid;
struct user;

struct peer_statistics {
    uint64_t messages_in, bytes_in, messages_out, bytes_out;
    uint64_t peak_queued_bytes, peak_queued_fds;
    uint64_t refused; /* messages for it that found its queue full */
    uint32_t peak_matches, peak_claims;
};

/* Sits in a peer that has not said Hello, or does not even exist yet. */
struct incomplete {
    struct list in_all;
    int64_t began; /* clock_now() when it was accepted */
};

/* Input, until its messages are routed. Written by state/inbox.c, route/input.c and state/quota.c
 * (fds_since). */
struct peer_input {
    struct buffer *tail; /* an incomplete message, or what waits while the peer is stopped */
    size_t tail_start, tail_size;
    uint32_t read_size; /* of the next read, by what the latest brought */
    int *fds;           /* received, and claimed by no message yet */
    uint32_t n_fds;
    uint32_t n_fds_begun; /* the first of n_fds, which came with the tail's first message; if it has begun */
    bool begun;           /* the first message of the tail began in an earlier read than the latest */
    bool fds_open;        /* more of what the descriptors were sent with may be in the socket */
    bool paused;          /* too much is under way */
    bool waiting;         /* the tail may begin with a whole message, which is parsed before more is read */
    bool readable;        /* there may be more in the socket */
    bool hung_up;         /* read until the end is seen */
    bool big_endian;      /* byte order of the latest message */
    int64_t fds_since;
    struct list in_ready;    /* bus.ready: to be read again without waiting */
    struct list in_paused;   /* bus.paused */
    struct list in_fd_waits; /* bus.fd_waits */
};

/* Output. Written by send/output.c and the group's writing.c; the backlog's account by state/quota.c. */
struct peer_output {
    struct delivery_list pending; /* said in this wake-up */
    struct delivery_list queue;   /* what the socket would not take */
    size_t queue_offset;          /* of the first in queue */
    uint64_t pending_bytes, pending_fds, queued_bytes, queued_fds;
    bool writing;               /* EPOLLOUT is asked for */
    bool wide;                  /* the socket's buffer was enlarged */
    bool stalled;               /* what waits for the peer is charged to the peer itself */
    bool refusal_told;          /* the log has a line about its full queue */
    int64_t progress;           /* when the socket last took something, while there is a queue */
    struct quota_uid *usage;    /* of its uid, while there is a queue */
    struct quota_share *shares; /* by sender, of what is in the queue */
    struct list in_touched;     /* bus.touched: has pending */
    struct list in_backlogs;    /* bus.backlogs */
};

/* Names. Written by state/registry.c; known also by the readers that build it. */
struct peer_names {
    struct list entries; /* membership.in_peer */
    struct span *known;  /* registry_names: the unique name and the names that it owns */
    uint32_t n_known;    /* 0: the unique name alone */
    bool known_valid;
    uint32_t n_claims; /* on names: see struct registry */
};

/* Calls under way. Written by state/reply.c, state/parked.c, route/ and api/command.c. */
struct peer_calls {
    struct list made; /* reply.in_caller */
    uint32_t n_made;
    struct list owed;   /* reply.in_callee */
    struct list parked; /* parked.in_sender */
    uint32_t n_parked;
    struct held *held;    /* the message that it is stopped for */
    struct handed *about; /* the name that this call is about; NULL: none */
    bool stopped;         /* the control plane has a message of it; what comes after waits */
    bool unseen;          /* monitors have yet to see its message for the bus */
    uint32_t failed;      /* serial of the latest call that the bus answered with an error */
    uint32_t asked;       /* serial of the driver's call that it may answer; 0: none */
};

/* Events about it for the control plane. Written by state/report.c and accept/; told by api/relay_events.c.
 */
struct peer_reports {
    uint32_t n;     /* see report.h */
    bool announced; /* the control plane is told that it was admitted */
    bool mentioned; /* and of something that it wants */
    bool logged;    /* a message of it was worth a line in the log */
    enum { ARRIVAL_UNREAD, ARRIVAL_TOLD, ARRIVAL_VOID } told; /* void: it left before that was read */
    struct relay_arrival who;                                 /* if it was admitted */
    struct event arrival, call, hello, gone;
};

/* The policy in force, as far as it concerns the peer. Written by state/peer.c. */
struct peer_policy {
    const struct identity *identity;
    const struct role *role;
    uint64_t identified; /* the generation of the policy that the identity belongs to */
    uint64_t generation; /* of the policy that both belong to; 0: its names have changed since */
};

/* The kernel's group. Written by multicast/group/. */
struct peer_group {
    struct member *member;  /* NULL: it is none */
    struct list in_joining; /* direct.joining */
};

/* The end of a connection, step by step. */
enum peer_life {
    PEER_CONNECTED,
    PEER_CLOSING,   /* lost once the output of this wake-up was tried: send/output.c */
    PEER_GONE,      /* out of epoll; its names wait for the control plane: api/lifecycle.c */
    PEER_FORGOTTEN, /* in no table; its calls wait to be settled: accept/leave.c */
};

/* One connection, from its handshake until relay_forget. */
struct peer {
    struct source source;
    struct caller *caller;  /* during the handshake; the peer is only a place for it then */
    struct table_node node; /* bus.peers, by id */

    /* Fixed from its admission on: accept/admit.c, or relay_attach. */
    uint64_t id;
    int fd;
    int listener;   /* that it was accepted from; -1: none that proves it */
    bool admitted;  /* by the data plane, and not by the control plane */
    bool seqpacket; /* a message, or 64 KiB of it, is a packet */
    bool fd_passing, privileged, at_console;
    uint32_t uid, pid;
    uint32_t n_gids;
    uint32_t *gids;
    char *loginfo;
    struct span unique;
    char unique_text[24];    /* ":1." and 20 digits */
    struct user *user;       /* as long as a table knows it */
    struct account *account; /* what it sent that is still under way */

    bool active; /* has said Hello: accept/hello.c */
    enum peer_life life;
    enum relay_gone closing_reason;
    struct list in_leaving; /* bus.leaving, or bus.unsettled */
    struct incomplete incomplete;

    struct peer_input input;
    struct peer_output output;
    struct peer_names names;
    struct peer_calls calls;
    struct peer_reports reports;
    struct peer_policy policy;
    struct peer_group group;
    struct match_list *matches; /* NULL: it has had no rules: route/driver.c */
    struct monitor *monitor;    /* NULL: it is none: send/monitor.c */
    uint64_t mark;              /* of the last broadcast that chose it: send/deliver.c */
    struct peer_statistics statistics;
};

/* One of whom nothing is known yet; NULL: no memory. */
struct peer *peer_begin(void);
/* False: no memory; the descriptor is left as it was. */
bool peer_identify(struct peer *peer, uint64_t id, int fd, const struct relay_credentials *credentials);
/* Both together. */
struct peer *peer_new(uint64_t id, int fd, const struct relay_credentials *credentials); /* NULL: no memory */
/* What it has sent that is kept: what it is charged, and what is not a message yet. */
uint64_t peer_waiting_bytes(const struct peer *peer);
void peer_end_call(struct peer *peer); /* the message that it is stopped for is done with */
/* No table knows it any more: frees all but what the control plane is told of it. */
void peer_end(struct peer *peer);
void peer_free(struct peer *peer); /* the rest, too */
static inline bool peer_is_gone(const struct peer *peer)
{
    return peer->life >= PEER_GONE;
}
/* What the header fields of messages call it. */
static inline struct span peer_name(const struct peer *peer)
{
    return peer->active ? peer->unique : SPAN(":not.active.yet");
}
/* Its rules under the policy in force, and what its names mean there; false: no memory. */
bool peer_side(struct peer *peer, struct policy *policy, struct policy_side *side);

#endif
