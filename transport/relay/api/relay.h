/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_RELAY_H
#define OMNIBUS_RELAY_H

#include <stddef.h>
#include <stdint.h>

/*
 * The native data plane as the control plane sees it. All functions belong to the control plane's one
 * thread. Commands collect in a batch; relay_commit() hands the batch over, and the data plane applies it
 * as one step. All return 0 or a negative errno; the only error of a well-formed command is -ENOMEM.
 *
 * build.py gives the part between the cffi marks to cffi as it stands.
 */

/* cffi: begin */
struct relay;

struct relay_limits { /* names as in dbus-daemon(1); times in milliseconds, -1: never */
    uint64_t max_incoming_bytes;
    uint64_t max_outgoing_bytes;
    uint64_t max_incoming_unix_fds;
    uint64_t max_outgoing_unix_fds;
    uint32_t max_message_size;
    uint32_t max_message_unix_fds;
    uint32_t max_match_rules_per_connection;
    uint32_t max_replies_per_connection;
    uint32_t max_completed_connections; /* only as long as Hello is within these two is it answered at once */
    uint32_t max_connections_per_user;
    uint32_t max_names_per_connection; /* the same holds for RequestName */
    uint32_t max_incomplete_connections;
    uint32_t max_pending_service_starts;
    int64_t auth_timeout;
    int64_t reply_timeout;
    int64_t pending_fd_timeout;
};

struct relay_credentials {
    uint32_t uid;         /* 0xffffffff: anonymous */
    uint32_t pid;         /* 0: unknown */
    const uint32_t *gids; /* in the order of the kernel, the primary group first */
    uint32_t n_gids;
    _Bool at_console;
    _Bool fd_passing;    /* NEGOTIATE_UNIX_FD was agreed */
    _Bool privileged;    /* root or the bus's own user */
    const char *loginfo; /* uid=0 pid=1 comm="init" ...: for what the log says of a denial */
};

struct relay_arrival { /* a connection that the data plane has admitted */
    struct relay_credentials who;
    uint32_t label_size;
    char *label; /* of the security module; NULL: none */
};

enum relay_event_kind {
    RELAY_EVENT_CALL = 1, /* a message for the driver; its sender is stopped until relay_resume */
    RELAY_EVENT_PARKED,   /* a message to a name without owner waits for relay_deliver or relay_reject */
    RELAY_EVENT_GONE,     /* the connection is lost; relay_forget frees what is left of it */
    RELAY_EVENT_EXPORT,   /* what relay_export asked for: body is JSON text; none: no memory */
    /* Body is a line for the log; type: syslog's severity. Of a denial also: peer, the sender
     * (0xffffffffffffffff: the bus); destination; path and serial: file and line of the rule that decided. */
    RELAY_EVENT_LOG,
    RELAY_EVENT_WELCOMED, /* the connection has said Hello, which the data plane has answered */
    /* RequestName for a name without queue, or ReleaseName of its only owner, which the data plane has
     * answered. destination: the name; flags: what was asked for. */
    RELAY_EVENT_NAMED,
    RELAY_EVENT_RELEASED,
    /* Peer is new, and active if Hello was answered; arrival says who it is. Comes before all else of it. */
    RELAY_EVENT_ADMITTED,
    RELAY_EVENT_LEFT, /* a peer of ADMITTED is lost, and forgotten already: nothing of it waited for anybody
                       */
    /* A connection that does not authenticate as most do, from the beginning: fd, listener, began and body,
     * all that was received, of which parked bytes of answers were sent; fds came with the latest read. */
    RELAY_EVENT_HANDED_UP,
};

struct relay_event { /* pointers hold until the batch with the command that answers the event is committed */
    uint32_t kind;
    uint32_t serial;
    uint32_t reply_serial; /* 0: none */
    uint64_t peer;         /* the sender, or who is gone */
    uint64_t parked;
    uint8_t type;
    uint8_t flags;
    _Bool big_endian;
    _Bool active; /* the sender has said Hello */
    uint32_t n_fds;
    const char *path, *interface, *member, *error_name, *destination, *signature; /* NULL: absent */
    const uint8_t *body;
    uint32_t body_size;
    uint32_t reason; /* RELAY_EVENT_GONE: enum relay_gone */
    /* RELAY_EVENT_HANDED_UP: the control plane's, as are fds. RELAY_EVENT_CALL of GetConnectionCredentials:
     * of the process that is asked for, open until the call is answered. -1: none */
    int fd;
    const int *fds;
    uint32_t listener; /* as relay_listen was told */
    int64_t began;     /* CLOCK_MONOTONIC in milliseconds, rounded up */
    const struct relay_arrival *arrival;
};

enum relay_gone {
    RELAY_GONE_CLOSED = 0,   /* by the client */
    RELAY_GONE_INVALID,      /* it sent what is no D-Bus message */
    RELAY_GONE_DISCONNECTED, /* relay_disconnect */
    RELAY_GONE_OVERFLOW,     /* it did not read what was for it */
    RELAY_GONE_FDS,          /* it sent descriptors that it may not send, or never finished a message */
    RELAY_GONE_MEMORY,
};

enum relay_export_kind {
    RELAY_EXPORT_CONNECTIONS = 1,
    RELAY_EXPORT_NAMES,
    RELAY_EXPORT_MATCHES,
    RELAY_EXPORT_REPLIES,
    RELAY_EXPORT_PARKED,
    RELAY_EXPORT_TOTALS,
};

struct relay_identity { /* of who made a connection, as far as the kernel noted it */
    uint32_t pid;       /* 0: unknown */
    uint32_t uid, gid;
    int n_gids; /* of the supplementary groups; -1: they are unknown, or too many */
    uint32_t gids[1024];
    uint32_t label_size; /* of the security module's, without a NUL; 0: none */
    uint32_t command_size;
    char label[4096];
    char command[50]; /* the beginning of the command line, with its NULs */
};

_Bool relay_identify(int fd, struct relay_identity *identity); /* false: it is no Unix socket */
/* Is this user logged in at a seat, by the file that logind keeps of him in that directory? */
_Bool relay_at_console(const char *users, uint32_t uid);

/*
 * The policy for questions of the control plane's own: compiled from the same block and judged by the same
 * functions as that of the data plane, with which it shares nothing. uid 0xffffffff: anonymous. gids: in any
 * order; to connect, those of the uid by name.
 */
struct policy;

struct relay_header { /* what the policy looks at in a message; NULL: it has no such field */
    uint8_t type;
    _Bool is_reply;
    uint32_t n_fds;
    const char *path, *interface, *member, *error_name, *destination;
};

struct relay_verdict {
    _Bool allow;
    _Bool log;        /* the rule that decided asks for it */
    uint32_t matched; /* how many rules did */
    const char *file; /* of the rule that decided, as long as the policy is there; NULL: none did */
    uint32_t line;
};

int relay_policy_new(struct policy **out, const uint8_t *block, size_t size); /* -EINVAL, -ENOMEM */
void relay_policy_free(struct policy *policy);
/* owner: the bus's own user, the only one that may connect without a rule */
_Bool relay_policy_can_connect(const struct policy *policy, uint32_t uid, const uint32_t *gids,
                               uint32_t n_gids, uint32_t owner);
/* 1, 0 or -ENOMEM */
int relay_policy_can_own(struct policy *policy, uint32_t uid, const uint32_t *gids, uint32_t n_gids,
                         _Bool at_console, const char *name);
/* To a recipient that has no name but the message's destination, and no rules of its own. 0 or -ENOMEM */
int relay_policy_can_send(struct policy *policy, uint32_t uid, const uint32_t *gids, uint32_t n_gids,
                          _Bool at_console, const struct relay_header *header, struct relay_verdict *out);

int relay_new(struct relay **out, const char *guid);
int relay_start(struct relay *relay); /* starts the thread; all signals are blocked in it */
void relay_free(struct relay *relay); /* stops the thread, closes all connections, frees everything */
/*
 * Where no thread can be had, the control plane's takes its place: it calls relay_turn when the first
 * descriptor is readable, and after as many milliseconds as that returned last; -1: not by time.
 */
int relay_poll_fd(struct relay *relay);
int relay_turn(struct relay *relay);
int relay_event_fd(struct relay *relay); /* readable while events wait */
uint32_t relay_events(struct relay *relay, struct relay_event *events, uint32_t max);

int relay_set_limits(struct relay *relay, const struct relay_limits *limits);
/* The block of omnibus.policy; -EINVAL if it is not one. */
int relay_load_policy(struct relay *relay, const uint8_t *block, size_t size);

/*
 * Before relay_start: connections become members of this group of unix_multicast(7), of at most so many
 * members. Only who trusts everybody gets messages directly from others than his own user and root. The
 * descriptor belongs to the data plane.
 */
int relay_set_group(struct relay *relay, int group, uint32_t max_members, _Bool trust_everybody);

/*
 * Clients are accepted from this socket, of which the data plane keeps a duplicate. simple: it is a Unix
 * stream socket, and EXTERNAL is among the mechanisms; from any other all connections are handed up. guid is
 * what who authenticates is told. number is the control plane's own.
 */
int relay_listen(struct relay *relay, int fd, uint32_t number, const char *guid, _Bool simple);
int relay_stop_listening(struct relay *relay);
/* One that was handed up has been attached, or closed: it counts no more among those that are with you. */
int relay_settled(struct relay *relay);
uint64_t relay_next_id(struct relay *relay);    /* for the next connection that is attached */
uint32_t relay_incomplete(struct relay *relay); /* connections that have not said Hello */

/*
 * The socket and the descriptors belong to the data plane from here on, also on failure. listener: the Unix
 * socket that it was accepted from, which stays open; -1: it can't be a member of a group. began: as in the
 * event. leftover: what the read that returned BEGIN returned behind it; fds: what came with that read.
 */
int relay_attach(struct relay *relay, uint64_t peer, int fd, int listener, int64_t began,
                 const struct relay_credentials *credentials, const uint8_t *leftover, size_t size,
                 const int *fds, uint32_t n_fds);
/* Hello is answered: reply, NameOwnerChanged and NameAcquired, and the sender goes on. */
int relay_welcome(struct relay *relay, uint64_t peer, uint32_t serial);
/* The name's queue from now on, owner first. The signals of the change are sent by this command. */
int relay_set_queue(struct relay *relay, const char *name, const uint64_t *peers, uint32_t n);
/* The same for one connection that leaves the queue. */
int relay_leave_queue(struct relay *relay, const char *name, uint64_t peer);
int relay_reply(struct relay *relay, uint64_t peer, uint32_t serial, const char *signature,
                const uint8_t *body, size_t size, const int *fds, uint32_t n_fds);
int relay_error(struct relay *relay, uint64_t peer, uint32_t serial, const char *name, const char *text);
/* A signal of the driver, to all whose rules match (peer 0xffffffffffffffff) or to one connection. */
int relay_signal(struct relay *relay, uint64_t peer, const char *path, const char *interface,
                 const char *member, const char *signature, const uint8_t *body, size_t size);
enum relay_audience {
    RELAY_TO_OWNER = 1,
    RELAY_TO_MONITORS = 2, /* they see what the bus wants to say, though the owner may have yet to come */
};

/*
 * A method call or a signal of the driver, which goes to the owner of a name and bears that name as its
 * destination; without an owner it is lost. A call with a serial, 0x80000000 or more, wants a reply, which
 * comes as RELAY_EVENT_CALL; a connection owes one reply at a time.
 */
int relay_send(struct relay *relay, uint32_t audience, uint8_t type, uint32_t serial, const char *destination,
               const char *path, const char *interface, const char *member, const char *signature,
               const uint8_t *body, size_t size);
/*
 * The peer, stopped for its call, becomes a monitor: the call is answered (serial 0: not), its unique name is
 * given up, and nothing that it sends is taken any more. The relay_leave_queue for its other names follow,
 * then relay_resume; only then does it see what others do. No rules: everything. -EINVAL or -E2BIG, with a
 * sentence in why: a rule is wrong, or longer than rules may be.
 */
int relay_become_monitor(struct relay *relay, uint64_t peer, uint32_t serial, const char *const *rules,
                         uint32_t n, char *why, size_t why_size);
int relay_resume(struct relay *relay, uint64_t peer);
/* It goes on waiting, and what the bus said because of it is said: monitors see it behind that. */
int relay_show(struct relay *relay, uint64_t parked);
int relay_deliver(struct relay *relay, uint64_t parked); /* judged again by the tables of that moment */
int relay_reject(struct relay *relay, uint64_t parked, const char *name, const char *text);
/* Closes after what is queued for it was tried once; RELAY_EVENT_GONE follows. */
int relay_disconnect(struct relay *relay, uint64_t peer);
/* After RELAY_EVENT_GONE and the relay_leave_queue for its names: NoReply to its callers, then it is freed.
 */
int relay_forget(struct relay *relay, uint64_t peer);
/* Asks for a table: RELAY_EVENT_EXPORT follows. Of connections and match rules, only those of n peers; 0:
 * all. */
int relay_export(struct relay *relay, uint32_t kind, const uint64_t *peers, uint32_t n);
/* While a well-known name is awaited, all calls about it go to the control plane. */
int relay_await_name(struct relay *relay, const char *name, _Bool awaited);
int relay_commit(struct relay *relay);
/* cffi: end */

#endif
