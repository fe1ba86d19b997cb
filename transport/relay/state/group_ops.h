/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_GROUP_OPS_H
#define OMNIBUS_GROUP_OPS_H

#include "match/match.h"
#include "state/bus.h"

struct transit;

/* Counts of direct messages, of one connection or of all. */
struct group_counts {
    uint64_t sent, received;
    uint64_t broadcasts; /* among those sent */
    uint32_t calls;      /* pending replies */
};

/* A pending reply that the kernel has recorded. */
struct group_call {
    struct peer *caller, *callee; /* NULL: not a member any more */
    uint32_t serial, age;         /* milliseconds since the call */
    bool doubtful;                /* the bus was about to record it, or to answer it */
};

#define GROUP_REASONS 32

struct group_totals {
    uint64_t members, spilled;
    struct group_asked {
        const char *reason; /* NULL: end of the array */
        uint64_t count;     /* messages that did not go directly for this reason */
    } asked[GROUP_REASONS];
};

/*
 * The functions of multicast/group that the relay calls; multicast/group/group.h describes the group.
 * bus.group_ops is NULL if there is no group, and then all messages are relayed; the relay is built and
 * tested without one too.
 *
 * All functions accept a connection that is not in the group.
 */
struct group_ops {
    void (*end)(struct bus *bus);
    /* All members leave the group, and it ends. What was under way between them is the relay's. */
    void (*dissolve)(struct bus *bus);
    /*
     * In the standby of a dead bus, as dissolve, with what was under way between the bus and the kernel
     * completed in the lists of peers; keep takes each pending reply. No other function is called any more.
     * False: no memory.
     */
    bool (*salvage)(struct bus *bus, bool (*keep)(struct bus *bus, const struct group_call *call));
    /*
     * The connection is lost. On return no message begins to go from it or to it directly, and the pending
     * replies that it owes are the relay's.
     */
    void (*leave)(struct bus *bus, struct peer *peer);
    /* The connection has become a monitor, after watched. The pending replies that it owes are the relay's.
     */
    void (*monitor)(struct bus *bus, struct peer *peer);
    /* Bytes were received from the connection. */
    void (*dirty)(struct bus *bus, struct peer *peer);

    /* A match rule of the connection was added, or removed. */
    void (*rule_added)(struct bus *bus, struct peer *peer, const struct match_rule *rule);
    void (*rule_removed)(struct bus *bus, struct peer *peer, const struct match_rule *rule);
    void (*name_changed)(struct bus *bus, struct span name, struct peer *old_owner);
    void (*policy_changed)(struct bus *bus); /* this one's, or a module's */
    void (*limits_changed)(struct bus *bus);
    /* There is a monitor or an eavesdropper, which has to see all messages from now on. */
    void (*watched)(struct bus *bus);
    /*
     * A security module mediates the bus from now on, and no connection is in the group. When the module
     * announces another policy the kernel stops the group, and policy_changed lets it go on. A negative
     * errno: it can't.
     */
    int (*mediated)(struct bus *bus);

    /* The relay delivers a message of a client to the addressed peer. Both may join the group. */
    void (*learn)(const struct transit *t, struct peer *to, bool requested_reply);
    /* The relay delivers a broadcast to a peer, which may join; NULL: a client's broadcast begins. */
    void (*learn_broadcast)(const struct transit *t, struct peer *to);
    /*
     * Records the pending reply of a call that the relay delivers in the group, like those of direct calls.
     * 0; -EEXIST or -EDQUOT if the call may not be made; -ENOENT: the relay has to record it.
     */
    int (*note_call)(struct bus *bus, struct peer *caller, struct peer *callee, uint32_t serial);
    /* Moves a pending reply from the group to the relay. False: the group has no such call. */
    bool (*take_call)(struct bus *bus, struct peer *caller, struct peer *callee, uint32_t serial);
    /* The number of pending replies of the caller that the group has recorded. */
    uint32_t (*calls)(const struct bus *bus, const struct peer *caller);
    /* Answers direct calls that are older than reply_timeout. */
    void (*expire_calls)(struct bus *bus);

    /* Takes messages that the group spilled, on an event of its descriptor. */
    void (*spilled)(struct bus *bus);
    /*
     * After the output was written, lets members join, builds filters, and lets members send directly whose
     * input was read and dispatched.
     */
    void (*settle)(struct bus *bus);
    /* Milliseconds until settle is due; -1: never. */
    int (*timeout)(const struct bus *bus);

    /*
     * Writes pending messages to members, which are linked by in_touched. Members whose input was read and
     * dispatched may send directly from then on: they are released when the receivers are held and nothing is
     * written, so that each can react without delay.
     */
    void (*flush)(struct bus *bus, struct list *peers);
    /* Writes the queue of a member whose socket has become writable. */
    void (*writable)(struct bus *bus, struct peer *peer);

    struct group_counts (*counts)(const struct bus *bus, const struct peer *peer); /* NULL: all connections */
    void (*totals)(const struct bus *bus, struct group_totals *totals);
};

/* Calls a function of the group, if there is one. */
#define GROUP_CALL(bus, function, ...)                                                                       \
    do {                                                                                                     \
        if ((bus)->group_ops)                                                                                \
            (bus)->group_ops->function(__VA_ARGS__);                                                         \
    } while (0)

static inline struct group_counts group_counts(const struct bus *bus, const struct peer *peer)
{
    return bus->group_ops ? bus->group_ops->counts(bus, peer) : (struct group_counts){0};
}

#endif
