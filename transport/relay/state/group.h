/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_GROUP_H
#define OMNIBUS_GROUP_H

#include "match/match.h"
#include "state/bus.h"

struct transit;

/* What went directly: of one connection, or of all together. */
struct group_counts {
    uint64_t sent, received;
    uint64_t broadcasts; /* of those that were sent */
    uint32_t calls;      /* without a reply so far */
};

#define GROUP_REASONS 32

struct group_totals {
    uint64_t members, spilled;
    struct group_asked {
        const char *reason; /* NULL: behind the last */
        uint64_t count;     /* of messages that did not go directly for that */
    } asked[GROUP_REASONS];
};

/*
 * What the relay calls of multicast/group: messages that go from client to client, see direct.h. bus.group is
 * NULL where there is no group, and then everything is relayed; the relay is built and tested without one
 * too.
 *
 * A connection that is no member is fine in all of these.
 */
struct group {
    void (*end)(struct bus *bus);
    /* A connection is active, and may become a member. */
    void (*join)(struct bus *bus, struct peer *peer);
    /*
     * It is lost, or becomes a monitor. On return nothing goes from it or to it directly, and the calls that
     * it has not answered are among those that it owes.
     */
    void (*leave)(struct bus *bus, struct peer *peer);
    /* Bytes of it have come. */
    void (*dirty)(struct bus *bus, struct peer *peer);

    /* A rule was added or removed. */
    void (*rules_changed)(struct bus *bus, struct peer *peer, const struct match_rule *rule);
    void (*name_changed)(struct bus *bus, struct span name, struct peer *old_owner);
    void (*policy_changed)(struct bus *bus);
    void (*limits_changed)(struct bus *bus);
    /* There is a monitor or an eavesdropper, which sees everything from now on. */
    void (*watched)(struct bus *bus);

    /* A message goes to the peer that it is addressed to. */
    void (*learn)(const struct transit *t, struct peer *to, bool requested_reply);
    /* A broadcast goes to one more peer; NULL: there is one. */
    void (*learn_broadcast)(const struct transit *t, struct peer *to);
    /*
     * A call that the relay delivers is noted by the group, like those that go directly: 0; -EEXIST or
     * -EDQUOT if it may not be made; -ENOENT: it isn't the group's, but the relay's to remember.
     */
    int (*note_call)(struct bus *bus, struct peer *caller, struct peer *callee, uint32_t serial);
    /* The call, which the group has noted, is among those that wait for a reply; false: there is no such
     * call. */
    bool (*take_call)(struct bus *bus, struct peer *caller, struct peer *callee, uint32_t serial);
    /* How many calls of this caller the group has noted, and have no reply yet. */
    uint32_t (*calls)(const struct bus *bus, const struct peer *caller);
    /* Calls that went directly and are older than reply_timeout are answered. */
    void (*expire_calls)(struct bus *bus);

    /* What was spilled by the group: an event of its descriptor. */
    void (*spilled)(struct bus *bus);
    /*
     * At the end of a wake-up: members of which all was read and dispatched may send directly. Members for
     * which something is pending are held first, so that it is possible before that is written, and one that
     * reacts to it can be quick.
     */
    void (*release)(struct bus *bus);
    /* Behind that, when all was said: makes filters. */
    void (*settle)(struct bus *bus);
    /* Milliseconds until settle has something to do; -1: it has nothing. */
    int (*timeout)(const struct bus *bus);

    /* Says to members what is pending for them; they are linked by in_touched. */
    void (*flush)(struct bus *bus, struct list *peers);
    /* The socket of a member takes more of its queue. */
    void (*writable)(struct bus *bus, struct peer *peer);

    struct group_counts (*counts)(const struct bus *bus, const struct peer *peer); /* NULL: of all */
    void (*totals)(const struct bus *bus, struct group_totals *totals);
};

/* Calls a function of the group, if there is one. */
#define GROUP_CALL(bus, function, ...)                                                                       \
    do {                                                                                                     \
        if ((bus)->group)                                                                                    \
            (bus)->group->function(__VA_ARGS__);                                                             \
    } while (0)

static inline struct group_counts group_counts(const struct bus *bus, const struct peer *peer)
{
    return bus->group ? bus->group->counts(bus, peer) : (struct group_counts){0};
}

#endif
