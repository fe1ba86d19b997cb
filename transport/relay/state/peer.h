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

/* One authenticated connection. It stays until relay_forget, with gone set from the loss on. */
struct peer {
    struct source source;
    struct caller *caller;  /* as long as it authenticates it is only a place for who will come; else NULL */
    struct table_node node; /* bus.peers, by id */
    uint64_t id;
    int fd;
    int listener;    /* that it was accepted from; -1: none that proves it */
    bool active;     /* has said Hello */
    bool gone;       /* its socket is closed; its names wait for the control plane */
    bool forgotten;  /* no table knows it; it waits for its calls to be settled */
    bool stopped;    /* the control plane has a message of it; what comes after waits */
    bool paused;     /* it has too much under way */
    bool waiting;    /* its tail may begin with a whole message, which is parsed before more is read */
    bool readable;   /* there may be more in the socket */
    bool hung_up;    /* read until the end is seen */
    bool writing;    /* EPOLLOUT is asked for */
    bool wide;       /* its socket takes more at once than others */
    bool closing;    /* relay_disconnect: gone once this wake-up's output was tried */
    bool unseen;     /* monitors have yet to see its message for the bus */
    bool logged;     /* a message of it was worth a line in the log */
    bool big_endian; /* as its latest message */
    bool seqpacket;  /* a message, or 64 KiB of it, is a packet */
    bool fd_passing;
    bool privileged;
    bool at_console;
    bool admitted;  /* by the data plane, and not by the control plane */
    bool announced; /* the control plane is told that it was */
    bool mentioned; /* and of something that it wants */

    enum relay_gone closing_reason;
    struct span unique;
    char unique_text[24]; /* ":1." and 20 digits */
    uint32_t uid, pid;
    struct user *user;  /* as long as a table knows it */
    uint32_t n_reports; /* see report.h */
    uint32_t n_gids;
    uint32_t *gids;
    char *loginfo;
    const struct identity *identity;
    const struct role *role;
    uint64_t identified; /* the generation of the policy that the identity belongs to */
    uint64_t generation; /* of the policy that both belong to; 0: its names have changed since */

    struct account *account; /* what it sent that is still under way */
    struct buffer *tail;     /* an incomplete message, or what waits while it is stopped */
    size_t tail_start, tail_size;
    uint32_t read_size; /* of the next read, by what it sent last */
    int *fds;           /* came, and no message has claimed them yet */
    uint32_t n_fds;
    bool begun;           /* the first message of the tail began in an earlier read than the latest */
    bool fds_open;        /* more of what its descriptors were sent with may be in the socket */
    uint32_t n_fds_begun; /* the first of n_fds, which came with it; if it has begun */

    struct delivery_list pending; /* said in this wake-up */
    struct delivery_list queue;   /* what the socket would not take */
    size_t queue_offset;          /* of the first in queue */
    uint64_t pending_bytes, pending_fds, queued_bytes, queued_fds;
    int64_t progress; /* when the socket last took something, while there is a queue */
    bool stalled;     /* what waits for it is charged to itself */
    bool refusal_told;
    struct quota_uid *usage;    /* of its uid, while there is a queue */
    struct quota_share *shares; /* of those who sent what is in the queue */
    int64_t fds_since;

    struct member *member;   /* of the group; NULL: it is none */
    struct list in_joining;  /* direct.joining */
    struct list in_touched;  /* bus.touched: has pending */
    struct list in_ready;    /* bus.ready: to be read again without waiting */
    struct list in_paused;   /* bus.paused */
    struct list in_backlogs; /* bus.backlogs */
    struct list in_fd_waits; /* bus.fd_waits */
    struct list in_leaving;  /* bus.leaving, or bus.unsettled */
    struct incomplete incomplete;
    struct list names;  /* membership.in_peer */
    struct list calls;  /* reply.in_caller */
    struct list owed;   /* reply.in_callee */
    struct list parked; /* parked.in_sender */
    struct span *known; /* registry_names: the unique name and the names that it owns */
    uint32_t n_known;   /* 0: the unique name alone */
    bool known_valid;
    struct match_list *matches; /* NULL: it has had no rules */
    uint32_t n_calls;
    uint32_t n_claims; /* on names: see struct registry */
    uint32_t n_parked;
    uint32_t failed; /* serial of the latest call that the bus answered with an error */
    uint32_t asked;  /* serial of the driver's call that it may answer; 0: none */
    uint64_t mark;   /* of the last broadcast that chose it */

    struct monitor *monitor; /* NULL: it is none */
    struct held *call;       /* the message that it is stopped for */
    struct event call_event, hello_event, gone_event;
    struct relay_arrival arrival; /* if it was admitted */
    struct event arrival_event;
    bool arrival_told; /* the control plane has taken the event: these two are its own */
    bool arrival_void; /* it was gone before that */
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
/* What the header fields of messages call it. */
static inline struct span peer_name(const struct peer *peer)
{
    return peer->active ? peer->unique : SPAN(":not.active.yet");
}
/* Its rules under the policy in force, and what its names mean there; false: no memory. */
bool peer_side(struct peer *peer, struct policy *policy, struct policy_side *side);

#endif
