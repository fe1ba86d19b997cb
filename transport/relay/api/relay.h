/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_RELAY_H
#define OMNIBUS_RELAY_H

#include <stddef.h>
#include <stdint.h>

/*
 * The interface of the data plane to the control plane, which calls all functions from its one thread.
 *
 * Downwards there are commands: each function appends one to an open batch, and relay_commit() hands the
 * batch to the data plane, which applies it in order, between two wake-ups. Functions return 0 or a negative
 * errno; the only error of a well-formed command is -ENOMEM. Upwards there are events: relay_event_fd() is
 * readable while some wait, and relay_events() takes them in order. Neither plane ever waits for the other,
 * and no message between clients passes through the control plane unless it is parked for the start of a
 * service.
 *
 * The rest of this folder implements it. relay.c begins and ends the data plane and hands over batches;
 * relay_commands.c makes the commands, command.c keeps them, and command_apply.c applies each;
 * relay_events.c hands out events; loop.c is the thread of the data plane; lifecycle.c begins and ends a bus;
 * export.c writes tables as JSON.
 *
 * Shared memory with locks was rejected: Python would hold them for as long as it likes. build.py gives the
 * part between the cffi marks to cffi verbatim.
 */

#pragma GCC visibility push(default)
/* cffi: begin */
struct relay;
struct follower;

struct relay_limits { /* named as in dbus-daemon(1); times in milliseconds, -1: never */
    uint64_t max_incoming_bytes;
    uint64_t max_outgoing_bytes;
    uint64_t max_incoming_unix_fds;
    uint64_t max_outgoing_unix_fds;
    uint32_t max_message_size;
    uint32_t max_message_unix_fds;
    uint32_t max_match_rules_per_connection;
    uint32_t max_replies_per_connection;
    uint32_t max_completed_connections; /* within these two limits the data plane answers Hello itself */
    uint32_t max_connections_per_user;
    uint32_t max_names_per_connection; /* likewise for RequestName */
    uint32_t max_incomplete_connections;
    uint32_t max_pending_service_starts;
    int64_t auth_timeout;
    int64_t reply_timeout;
    int64_t pending_fd_timeout;
};

struct relay_credentials {
    uint32_t uid;         /* 0xffffffff: anonymous */
    uint32_t pid;         /* 0: unknown */
    const uint32_t *gids; /* in the order of the kernel, primary group first */
    uint32_t n_gids;
    _Bool at_console;
    _Bool fd_passing;    /* NEGOTIATE_UNIX_FD was agreed */
    _Bool privileged;    /* root or the bus's own user */
    uint32_t label_size; /* of the security module's label, without NUL; 0: none */
    const char *label;
    const char *loginfo; /* uid=0 pid=1 comm="init" ...: for log lines about denials */
    /* object path of the container instance that it belongs to (daemon/containers/); NULL: none */
    const char *instance;
};

enum relay_event_kind {
    RELAY_EVENT_CALL = 1, /* a message for the driver, whose sender is stopped until relay_resume */
    RELAY_EVENT_PARKED, /* a message to a name without owner, which waits for relay_deliver or relay_reject */
    RELAY_EVENT_GONE,   /* a connection is lost; relay_forget frees the rest of it */
    RELAY_EVENT_EXPORT, /* answers relay_export: body is JSON text; empty: no memory */
    /*
     * body: a line for the log; type: the severity of syslog(3). Of a denial also peer: the sender
     * (0xffffffffffffffff: the bus); destination; path and serial: file and line of the deciding rule
     */
    RELAY_EVENT_LOG,
    RELAY_EVENT_WELCOMED, /* the data plane has answered Hello of a connection */
    /*
     * the data plane has answered RequestName for a name without queue, or of its only claimant, or
     * ReleaseName of its only claimant. destination: the name; flags: those of the request
     */
    RELAY_EVENT_NAMED,
    RELAY_EVENT_RELEASED,
    /* a new peer, active if Hello was answered; credentials: its own. Precedes its other events */
    RELAY_EVENT_ADMITTED,
    RELAY_EVENT_LEFT, /* a peer of ADMITTED is lost and forgotten already, as nothing of it was pending */
    /*
     * a connection with an unusual handshake, from its beginning: fd, listener, began; body: all that was
     * received; parked: the bytes of answers sent; fds: those of the latest read
     */
    RELAY_EVENT_HANDED_UP,
    RELAY_EVENT_FROZEN, /* answers relay_freeze, after the output was written once */
    /*
     * answers relay_dump. serial: 0 or an errno, and then body: a text that says why, for the log; parked:
     * the size of the state; n_fds: the descriptors in it. EAGAIN: there are events to be handled first
     */
    RELAY_EVENT_DUMPED,
};

struct relay_event { /* pointers are valid until the commit of the batch with the command that answers the
                        event */
    uint32_t kind;
    uint32_t serial;
    uint32_t reply_serial; /* 0: none */
    uint64_t peer;         /* the sender, or the peer that is gone */
    uint64_t parked;
    uint8_t type;
    uint8_t flags;
    _Bool big_endian;
    _Bool active;  /* the sender has sent Hello */
    _Bool current; /* of a call or parked message: the catalogue is current, so it need not be read again */
    _Bool denied;  /* RELAY_EVENT_PARKED: by the policy, as if the service owned only the destination */
    _Bool again;   /* RELAY_EVENT_PARKED: it was judged anew, by relay_deliver */
    _Bool monitor; /* RELAY_EVENT_ADMITTED, of a resumed connection: it is a monitor */
    uint32_t n_fds;
    const char *path, *interface, *member, *error_name, *destination, *signature; /* NULL: absent */
    const uint8_t *body;
    uint32_t body_size;
    uint32_t reason; /* RELAY_EVENT_GONE: enum relay_gone */
    int fd;          /* RELAY_EVENT_HANDED_UP: owned by the control plane, as are fds */
    const int *fds;
    uint32_t listener; /* as passed to relay_listen */
    int64_t began;     /* CLOCK_MONOTONIC in milliseconds, rounded up */
    const struct relay_credentials *credentials;
};

enum relay_gone {
    RELAY_GONE_CLOSED = 0,   /* closed by the client */
    RELAY_GONE_INVALID,      /* it sent an invalid message */
    RELAY_GONE_DISCONNECTED, /* relay_disconnect */
    RELAY_GONE_OVERFLOW,     /* it did not read its messages */
    RELAY_GONE_FDS,          /* it sent descriptors that it may not send, or did not complete their message */
    RELAY_GONE_MEMORY,
};

enum relay_export_kind {
    RELAY_EXPORT_CONNECTIONS = 1,
    RELAY_EXPORT_NAMES,
    RELAY_EXPORT_MATCHES,
    RELAY_EXPORT_REPLIES,
    RELAY_EXPORT_PARKED,
    RELAY_EXPORT_TOTALS,
    RELAY_EXPORT_MEDIATION, /* of relay_explain only */
};

struct relay_identity { /* credentials of the process that made a connection, as recorded by the kernel */
    uint32_t pid;       /* 0: unknown */
    uint32_t uid, gid;
    int n_gids; /* supplementary groups; -1: unknown, or too many */
    uint32_t gids[1024];
    uint32_t label_size; /* of the security label, without NUL; 0: none */
    uint32_t command_size;
    char label[4096];
    char command[50]; /* the beginning of the command line, including NULs */
};

_Bool relay_identify(int fd, struct relay_identity *identity); /* false: not a Unix socket */
/* True if a user is logged in at a seat, by the file of logind for that user in the directory users. */
_Bool relay_at_console(const char *users, uint32_t uid);

int relay_new(struct relay **out, const char *guid);
int relay_start(struct relay *relay); /* starts the thread, with all signals blocked */
_Bool relay_has_thread(struct relay *relay);
void relay_free(struct relay *relay); /* stops the thread, closes all connections, frees everything */
/*
 * Without a thread of its own the data plane runs in that of the control plane, which calls relay_turn when
 * the first descriptor is readable, and after the number of milliseconds that it returned last; -1: no
 * timeout.
 */
int relay_poll_fd(struct relay *relay);
int relay_turn(struct relay *relay);
int relay_event_fd(struct relay *relay); /* readable while events wait */
uint32_t relay_events(struct relay *relay, struct relay_event *events, uint32_t max);

int relay_set_limits(struct relay *relay, const struct relay_limits *limits);
/* The block of omnibus.policy; -EINVAL if it is not one. */
int relay_load_policy(struct relay *relay, const uint8_t *block, size_t size);

/*
 * Before relay_start: connections become members of this group of unix_multicast(7), which has at most
 * max_members. Without trust_everybody a client receives direct messages from its own uid and root only.
 * Takes ownership of the descriptor.
 */
int relay_set_group(struct relay *relay, int group, uint32_t max_members, _Bool trust_everybody);
/* The same later, if there is no group. The log says if the data plane can't use it. */
int relay_begin_group(struct relay *relay, int group, uint32_t max_members, _Bool trust_everybody);
/* All members leave the group, and it ends. What is under way between them is relayed. */
int relay_dissolve_group(struct relay *relay);

/*
 * Accepts clients from a socket, of which the data plane keeps a duplicate. simple: a Unix stream socket,
 * with EXTERNAL among the mechanisms; connections from any other are all handed up. only_external: there is
 * no other mechanism. guid: sent to authenticated clients. number: an identifier chosen by the control plane.
 */
int relay_listen(struct relay *relay, int fd, uint32_t number, const char *guid, _Bool simple,
                 _Bool only_external);
/*
 * Stops accepting from the sockets with this number, whose connections were all handed up, and closes them.
 * HANDED_UP of connections that it accepted before may follow.
 */
int relay_shut(struct relay *relay, uint32_t number);
int relay_stop_listening(struct relay *relay);
/* Ends the count of a handed-up connection, which was attached or closed. */
int relay_settled(struct relay *relay);
uint32_t relay_incomplete(struct relay *relay); /* connections that have not sent Hello */

/*
 * Adds an authenticated connection, and takes ownership of its socket and descriptors, also on failure.
 * peer and began: as in RELAY_EVENT_HANDED_UP. listener: the Unix socket that it was accepted from, which
 * stays open; -1: it cannot join a group. leftover: bytes after BEGIN in the same read; fds: those of that
 * read.
 */
int relay_attach(struct relay *relay, uint64_t peer, int fd, int listener, int64_t began,
                 const struct relay_credentials *credentials, const uint8_t *leftover, size_t size,
                 const int *fds, uint32_t n_fds);
/* Answers Hello: reply, NameOwnerChanged and NameAcquired; the sender is resumed. */
int relay_welcome(struct relay *relay, uint64_t peer, uint32_t serial);
/*
 * Replaces the queue of a name, primary owner first, and sends the signals of the change. flags: those of
 * each request that still count, for relay_standby; NULL: none.
 */
int relay_set_queue(struct relay *relay, const char *name, const uint64_t *peers, const uint32_t *flags,
                    uint32_t n);
/* Removes one connection from the queue, and sends the signals. */
int relay_leave_queue(struct relay *relay, const char *name, uint64_t peer);
/* Answers a call. constant: the same reply answers all equal calls from now on (state/prepared.h). */
int relay_reply(struct relay *relay, uint64_t peer, uint32_t serial, const char *signature,
                const uint8_t *body, size_t size, _Bool constant);
int relay_error(struct relay *relay, uint64_t peer, uint32_t serial, const char *name, const char *text);
/* From now on each message for the peer has the header field CONTAINER_INSTANCE. There may be no group. */
int relay_name_instances(struct relay *relay, uint64_t peer);
/* Sends a signal of the driver, to all peers whose rules match (peer 0xffffffffffffffff) or to one. */
int relay_signal(struct relay *relay, uint64_t peer, const char *path, const char *interface,
                 const char *member, const char *signature, const uint8_t *body, size_t size);
enum relay_audience {
    RELAY_TO_OWNER = 1,
    RELAY_TO_MONITORS = 2, /* monitors see the message even if the name has no owner yet */
};

/*
 * Sends a method call or a signal of the driver to the owner of a name, with that name as its destination;
 * without an owner it is dropped. A call with a serial, 0x80000000 or more, expects a reply, which comes as
 * RELAY_EVENT_CALL; a connection owes one such reply at a time.
 */
int relay_send(struct relay *relay, uint32_t audience, uint8_t type, uint32_t serial, const char *destination,
               const char *path, const char *interface, const char *member, const char *signature,
               const uint8_t *body, size_t size);
/*
 * Makes a peer, stopped for its call, a monitor: the call is answered (serial 0: not), its unique name is
 * released, and nothing more is accepted from it. The relay_leave_queue for its other names follow, then
 * relay_resume; only then does it see messages of others. Without rules it sees all. -EINVAL or -E2BIG, with
 * a message in why: a rule is invalid or too long.
 */
int relay_become_monitor(struct relay *relay, uint64_t peer, uint32_t serial, const char *const *rules,
                         uint32_t n, char *why, size_t why_size);
/*
 * The same; in front of each message the monitor gets the signal org.omnibus.Inspect1.Stamp(t) of the bus:
 * when the bus routed the message, in microseconds of CLOCK_MONOTONIC. An upgrade leaves a monitor without
 * stamps.
 */
int relay_become_tracer(struct relay *relay, uint64_t peer, uint32_t serial, const char *const *rules,
                        uint32_t n, char *why, size_t why_size);
int relay_resume(struct relay *relay, uint64_t peer);
/* Keeps a message parked after the messages of the bus about it were sent: monitors see it now. */
int relay_show(struct relay *relay, uint64_t parked);
/*
 * Delivers a parked message, judged again, at that moment. Without an owner of the name it is answered if the
 * policy denies it, and parked again otherwise.
 */
int relay_deliver(struct relay *relay, uint64_t parked);
int relay_reject(struct relay *relay, uint64_t parked, const char *name, const char *text);
/* Closes a connection after one attempt to write its queue; RELAY_EVENT_GONE follows. */
int relay_disconnect(struct relay *relay, uint64_t peer);
/*
 * After RELAY_EVENT_GONE and the relay_leave_queue for its names: sends NoReply to its callers and frees it.
 */
int relay_forget(struct relay *relay, uint64_t peer);
/*
 * Requests a table: RELAY_EVENT_EXPORT follows. Connections and match rules are those of n peers; n 0: all.
 */
int relay_export(struct relay *relay, uint32_t kind, const uint64_t *peers, uint32_t n);
/* Sets whether a well-known name is awaited; while it is, all calls about it go to the control plane. */
int relay_await_name(struct relay *relay, const char *name, _Bool awaited);
/* Says how many parties wait for services being started, which max_pending_service_starts limits. */
int relay_count_starts(struct relay *relay, uint32_t n);
/*
 * Sets the catalogue: list is the answer of ListActivatableNames (as, little-endian), of which all names but
 * the first can be started. follower: follows all that it was read from; NULL: nothing does, so that each
 * question goes up. Takes ownership of the follower, unless it fails. -EINVAL: the list is none.
 */
int relay_set_catalog(struct relay *relay, struct follower *follower, const uint8_t *list, size_t size);
int relay_commit(struct relay *relay);

/*
 * An upgrade: one process freezes its data plane and dumps the state, the next one restores it (resume/).
 *
 * relay_freeze: from the wake-up on in which it is applied nothing is read, accepted or timed out. Commands
 * are applied as ever, and what they say is written. RELAY_EVENT_FROZEN follows. relay_thaw: all goes on;
 * times that passed meanwhile count.
 */
int relay_freeze(struct relay *relay);
int relay_thaw(struct relay *relay);
/*
 * Writes the state to a file, which it truncates, and then sections made elsewhere: those of the control
 * plane. RELAY_EVENT_DUMPED follows; until then the file stays open. The bus has to be frozen, and all events
 * taken and answered, connections that are lost forgotten. -EINVAL: these are no sections.
 *
 * Calls and parked messages that the control plane has not answered stay in the data plane. They are reported
 * again after the restore.
 */
int relay_dump(struct relay *relay, int fd, const uint8_t *sections, size_t size);

enum relay_state_section { /* never renumbered; below 64 */
                           RELAY_STATE_BUS = 1,
                           RELAY_STATE_LIMITS,
                           RELAY_STATE_POLICY,
                           RELAY_STATE_CATALOG,
                           RELAY_STATE_DESCRIPTORS,
                           RELAY_STATE_FDS,
                           RELAY_STATE_DOORS,
                           RELAY_STATE_PEERS,
                           RELAY_STATE_RULES,
                           RELAY_STATE_MONITORS,
                           RELAY_STATE_REPLIES,
                           RELAY_STATE_QUEUES,
                           RELAY_STATE_MESSAGES,
                           RELAY_STATE_HELD,
                           RELAY_STATE_PARKED,
                           RELAY_STATE_AWAITED,
                           RELAY_STATE_HANDSHAKES,
                           /*
                            * Those of the control plane. NAMES, which has to be there: u32 number of names;
                            * of each: its text, u32 number of requests, primary owner first; of each: u64
                            * peer, u32 flags of the request, u32 place of it among all requests of that peer,
                            * from 0. A text is u32 size and its bytes.
                            */
                           RELAY_STATE_NAMES,
                           /*
                            * Connections that it authenticates; they are HANDED_UP again. u32 number; of
                            * each, as in that event: u64 peer, u32 listener, i64 began, u64 bytes of answers
                            * sent, the text received, u32 number of descriptors and of each u32 number, u64
                            * device, u64 inode: the socket, and then those received.
                            */
                           RELAY_STATE_HANDED_UP,
                           RELAY_STATE_CONTROL, /* the data plane does not look into it */
                           /*
                            * Not critical, and only after a crash: u32 number, then of each, the oldest
                            * first: i64 when, u64 peer that was served (0xffffffffffffffff: none), u32 signal
                            * that the bus caused (0: it was killed).
                            */
                           RELAY_STATE_CRASHES,
                           RELAY_STATE_MEDIATION, /* only of a bus that is mediated */
                           RELAY_STATE_INSTANCES, /* the data plane's, if a connection has to do with any */
                           RELAY_STATE_OBSERVERS, /* the data plane's, if there are any: see listeners.h */
                           RELAY_STATE_END,
};

/*
 * Maps the state in a memfd, which has to be sealed, so that it cannot change, to belong to root or to this
 * process's user, and to be named omnibus... (-EPERM otherwise), and checks all sums. -EINVAL: it is no
 * state.
 */
int relay_state_map(int fd, const uint8_t **state, size_t *size);
void relay_state_unmap(const uint8_t *state, size_t size);
/* Finds a section. -ENOENT: there is none; -EINVAL: it is no state. */
int relay_state_section(const uint8_t *state, size_t size, uint32_t type, const uint8_t **content,
                        size_t *length);
/* Lists the descriptors in it, at most max. Returns their number; -EINVAL. */
int64_t relay_state_descriptors(const uint8_t *state, size_t size, int *fds, size_t max);
/*
 * Makes a frozen data plane with this state, to be started with relay_start, and set going with relay_thaw.
 * ADMITTED of all connections, in the order of their ids, then the PARKED, CALL and HANDED_UP that were not
 * answered are its first events. It owns the descriptors, which become close-on-exec. On an error, which why
 * explains, nothing is left of it, and the descriptors are as they were. rehearsal: all but the descriptors,
 * which are none of this process's; then it may not be thawed.
 */
int relay_restore(struct relay **out, const uint8_t *state, size_t size, _Bool rehearsal, char *why,
                  size_t why_size);

/*
 * A standby: a process that takes over when this one ends otherwise than by relay_free (api/standby.c).
 *
 * relay_share_heap: lets all that is allocated from now on be readable for a standby. Before relay_new; 0 or
 * a negative errno. Later calls do nothing.
 */
int relay_share_heap(void);
/* Sets the sections of the control plane that a standby writes into the state: those of relay_dump. */
int relay_keep(struct relay *relay, const uint8_t *sections, size_t size);
struct relay_standby {
    /*
     * what it executes, with its path first, --resume-fd=NUMBER for the text "--resume-fd=", and the
     * descriptors of the state and these; NULL at the end of both. An argument that begins with --library= is
     * left out if another file is at the path of the program by then
     */
    const char *const *command;
    const char *const *environment;
    const int *fds;
    uint32_t n_fds;
};
/*
 * Makes a standby, a child that shares the table of descriptors. Returns its pid, or a negative errno;
 * *pidfd: a descriptor that becomes readable when it ends, which the caller owns. The caller has no more than
 * one at a time, and reaps it. It has no effect on a bus whose connections are in a kernel group.
 */
int64_t relay_standby(struct relay *relay, const struct relay_standby *how, int *pidfd);
/* From now on the standby ends when this process does. */
void relay_dismiss(struct relay *relay);
/* cffi: end */
#pragma GCC visibility pop

#endif
