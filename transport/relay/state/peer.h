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
struct handshake;
struct group_peer;
struct monitor;
struct quota_share;
struct user;

struct peer_statistics {
    uint64_t messages_in, bytes_in, messages_out, bytes_out;
    uint64_t peak_queued_bytes, peak_queued_fds;
    uint64_t refused; /* messages for it, refused for its full queue */
    uint32_t peak_matches, peak_claims;
};

/* Embedded in a connection that has not sent Hello, which may still be in its handshake. */
struct incomplete {
    struct list in_all;
    int64_t began; /* clock_now() of its accept() */
};

/* Input, until its messages are routed. Written by state/inbox.c, route/input.c and state/quota.c
 * (fds_since). */
struct peer_input {
    struct buffer *tail; /* an incomplete message, or input of a peer that is stopped */
    size_t tail_start, tail_size;
    uint32_t read_size; /* of the next read, adapted to the latest one */
    int *fds;           /* received and not claimed by a message yet */
    uint32_t n_fds;
    uint32_t n_fds_begun; /* how many of n_fds came with the tail's first message; only if begun */
    bool begun;           /* the first message of the tail began in an earlier read than the latest */
    bool fds_open;        /* the socket may have more of the data that the descriptors came with */
    bool paused;          /* too much of it is in flight */
    bool waiting;    /* the tail may begin with a complete message, which is parsed before more is read */
    bool readable;   /* the socket may have more */
    bool hung_up;    /* the end of the stream remains to be read */
    bool big_endian; /* byte order of the latest message */
    int64_t fds_since;
    struct list in_ready;    /* bus.ready: due for a turn */
    struct list in_paused;   /* bus.paused */
    struct list in_fd_waits; /* bus.fd_waits */
};

/* Output. Written by send/output.c and the group's writing.c; the backlog's account by state/quota.c. */
struct peer_output {
    struct delivery_list pending; /* queued in this wake-up */
    struct delivery_list queue;   /* not taken by the socket */
    size_t queue_offset;          /* bytes of the first in queue that were sent */
    uint64_t pending_bytes, pending_fds, queued_bytes, queued_fds;
    bool writing;               /* EPOLLOUT is requested */
    bool wide;                  /* the socket buffer was enlarged */
    bool stalled;               /* its queue is charged to the peer itself */
    bool refusal_told;          /* its full queue was logged */
    int64_t progress;           /* when the socket last took bytes; only while there is a queue */
    struct quota_share *shares; /* parts of the queue by uid of the sender */
    struct list in_touched;     /* bus.touched: has pending */
    struct list in_backlogs;    /* bus.backlogs */
};

/* Names. Written by state/registry.c, which fills known when it is read. */
struct peer_names {
    struct list entries; /* queue_entry.in_peer */
    struct span *known;  /* registry_names: the unique name and the names that it owns */
    uint32_t n_known;    /* 0: the unique name alone */
    bool known_valid;
    uint32_t n_claims; /* places in queues of names: see struct registry */
};

/* Calls under way. Written by state/reply.c, state/parked.c, route/ and api/command_apply.c. */
struct peer_calls {
    struct list made; /* reply.in_caller */
    uint32_t n_made;
    struct list owed;   /* reply.in_callee */
    struct list parked; /* parked.in_sender */
    uint32_t n_parked;
    struct held *held;    /* the message for which it is stopped */
    struct handed *about; /* the name that this call is about; NULL: none */
    bool stopped;         /* the control plane has a message of it; later ones wait */
    bool unseen;          /* monitors have not seen its message for the bus yet */
    uint32_t failed;      /* serial of the latest call that the bus answered with an error */
    uint32_t asked;       /* serial of the call of the driver that it may answer; 0: none */
};

/*
 * Events about it for the control plane. Written by state/report.c and accept/; told also by
 * api/relay_events.c.
 */
struct peer_reports {
    uint32_t n;                                               /* see report.h */
    bool announced;                                           /* ADMITTED was pushed */
    bool mentioned;                                           /* a later event of it was pushed */
    bool logged;                                              /* a message of it caused a log line */
    enum { ARRIVAL_UNREAD, ARRIVAL_TOLD, ARRIVAL_VOID } told; /* void: it left before ADMITTED was read */
    struct event arrival, call, hello, gone;
};

/* What the policy in force knows of the peer. Written by state/peer.c. */
struct peer_policy {
    const struct rule_set *identity;
    const struct role *role;
    uint64_t identified; /* the generation of the policy that the identity belongs to */
    uint64_t generation; /* of the policy that identity and role belong to; 0: its names have changed */
};

/* The kernel's group. Written by multicast/group/. */
struct peer_group {
    struct group_peer *gp;  /* NULL: not in the group */
    struct list in_joining; /* group.joining */
};

/* The end of a connection, step by step. */
enum peer_life {
    PEER_CONNECTED,
    PEER_CLOSING,   /* to be lost after the output of this wake-up: send/output.c */
    PEER_GONE,      /* no longer in epoll; its names wait for the control plane: api/lifecycle.c */
    PEER_FORGOTTEN, /* in no table; its calls remain to be settled: accept/leave.c */
};

/* One connection, from its handshake until relay_forget. */
struct peer {
    struct source source;
    struct handshake *handshake; /* during the handshake, when the other fields are unused */
    struct table_node node;      /* bus.peers, by id */

    /* Fixed from its admission on: accept/admit.c, or relay_attach. */
    uint64_t id;
    int fd;
    int listener;                         /* the listening socket; -1: none that proves the origin */
    bool admitted;                        /* by the data plane instead of the control plane */
    bool seqpacket;                       /* each packet is a message, or 64 KiB of one */
    struct relay_credentials credentials; /* with memory of its own */
    struct span unique;
    char unique_text[24];    /* ":1." and 20 digits */
    struct user *user;       /* while a table has the peer */
    struct account *account; /* charged for what it has in flight */

    bool active; /* has sent Hello: accept/hello.c */
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
    bool names_instances;       /* its messages have CONTAINER_INSTANCE: api/command_apply.c */
    struct match_list *matches; /* NULL: no AddMatch yet: route/driver.c */
    struct list in_observers;   /* bus.observers: send/listeners.c */
    bool listens_widely;        /* has had too many rules to tell of each: send/listeners.c */
    struct monitor *monitor;    /* NULL: no monitor: send/monitor.c */
    uint64_t mark;              /* of the latest broadcast for it: send/deliver.c */
    struct peer_statistics statistics;
};

/* Allocates a peer without identity. NULL: no memory. */
struct peer *peer_begin(void);
/* Sets its identity. False: no memory; the descriptor is left alone. */
bool peer_identify(struct peer *peer, uint64_t id, int fd, const struct relay_credentials *credentials);
/* peer_begin and peer_identify. */
struct peer *peer_new(uint64_t id, int fd, const struct relay_credentials *credentials); /* NULL: no memory */
/* The bytes of it that the bus keeps: what is charged, and incomplete messages. */
uint64_t peer_waiting_bytes(const struct peer *peer);
void peer_end_call(struct peer *peer); /* frees the message for which it was stopped */
/* Frees a peer that is in no table, except for what the control plane is yet to read. */
void peer_end(struct peer *peer);
void peer_free(struct peer *peer); /* frees the rest */
static inline bool peer_is_gone(const struct peer *peer)
{
    return peer->life >= PEER_GONE;
}
/* Its unique name. */
static inline struct span peer_name(const struct peer *peer)
{
    return peer->active ? peer->unique : SPAN(":not.active.yet");
}
/* Looks up rule set and role under the policy in force. False: no memory. */
bool peer_look_up_policy(struct peer *peer, struct policy *policy);
/* The peer as a party of the policy in force. False: no memory. */
static inline bool peer_party(struct peer *peer, struct policy *policy, struct policy_party *party)
{
    if (peer->policy.generation != policy->generation && !peer_look_up_policy(peer, policy))
        return false;
    *party = (struct policy_party){peer->policy.identity, peer->policy.role};
    return true;
}

#endif
