/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_GROUP_PEER_H
#define OMNIBUS_GROUP_PEER_H

#include "bpf/filter.h"
#include "group/group.h"
#include "group/umc.h"

#include <errno.h>

/*
 * Making a filter costs as much as a few messages cost the relay. It is done once enough messages have passed
 * through the relay that need not have. One missing ingress filter stops all broadcasts, so a few suffice for
 * each missing one; but they have to come without another change of rules, as a filter that lasts for fewer
 * is not worth its cost. A filter in force that is out of date, and flows without a filter, are renewed after
 * a long time anyway.
 */
#define GROUP_PEER_MISSES 32u
#define GROUP_MISSES 8u            /* broadcasts, for each missing ingress filter */
#define GROUP_REST_RULES_A_MISS 4u /* rules in the rest filter that cost as much as one broadcast more */
#define GROUP_PEER_HEARD 16u       /* broadcasts, until a group peer has an ingress filter of its own */
#define GROUP_REST_RULES 128u      /* beyond it a group peer has one from the beginning */
#define GROUP_PEER_PATIENCE 1000   /* milliseconds */
#define GROUP_REBUILDS 8u          /* group peers whose filters are made in one wake-up */
#define GROUP_PEER_VAIN 2          /* releases in a row after which a group peer has sent nothing directly */
/*
 * The least time in milliseconds between two filters of a group peer. It doubles after a filter that did not
 * last as long, as while a client starts.
 */
#define GROUP_PEER_LIFE 20
#define GROUP_PEER_REBUILD_TIME 3
#define GROUP_PEER_REBUILD_MAX 384
#define GROUP_PEER_FLOWS 512u   /* limit of one group peer; beyond it all are learned anew */
#define GROUP_PEER_RETRY_TIME 1 /* milliseconds until a busy group peer is written to again */
#define GROUP_SIDES 4096u       /* beyond this, parties are numbered anew */
#define GROUP_NO_SIDE UINT32_MAX
#define GROUP_UNREAD_MAX 100u /* revocations in vain */
#define GROUP_EXPIRY_TIME 100 /* milliseconds between searches for calls past reply_timeout */

enum flow_field { FLOW_PATH, FLOW_INTERFACE, FLOW_MEMBER, FLOW_ERROR_NAME, FLOW_FIELDS };

/* A class of messages that may go directly from one group peer to another. */
struct flow {
    struct table_node node; /* gp.flow_table, by destination and type */
    struct list in_from;    /* gp.flows */
    struct list in_to;      /* gp.arriving */
    struct group_peer *from, *to;
    uint8_t type;
    struct span destination;
    struct span fields[FLOW_FIELDS]; /* s NULL: any */
    char text[];
};

/*
 * A connection in the group. The group peer without a peer stands for all connections outside the group, and
 * for those members that hear hardly any broadcasts, which are quiet.
 */
struct group_peer {
    struct peer *peer;
    uint32_t index;
    uint32_t side;   /* its party as a sender, struct side */
    uint64_t sided;  /* the numbering of parties that it belongs to */
    bool big_endian; /* the byte order of its messages */
    bool broadcasts; /* it has sent a broadcast */
    bool calls;      /* its method calls may go directly */
    bool named;      /* the kernel knows its class, which is its party */
    bool unnamed;    /* a name of it could not be told to the kernel */
    bool has_egress; /* the filter in the kernel is not empty */
    bool has_ingress;
    bool quiet;     /* it has no ingress filter: the rest filter stands for its rules */
    uint32_t heard; /* while it is quiet: broadcasts through the relay, and changes of its rules */
    bool egress_stale, ingress_stale;
    bool held;            /* by the kernel, as it has a queue in the relay */
    uint32_t vain;        /* releases in a row after which it has sent nothing directly */
    uint32_t sides_known; /* number of parties that its ingress filter covers */
    uint32_t misses;      /* messages that a new egress filter would have passed */
    int64_t stale_since, rebuild_at, rebuild_time;
    uint64_t stale_at;    /* the number of departures before it became stale */
    struct list in_all;   /* group.all */
    struct list in_stale; /* group.stale */
    struct list in_dirty; /* group.dirty: received from since its release */
    struct list in_retry; /* group.retry: to be written to again, without an event */
    struct list flows;    /* list of flow.in_from, the latest last */
    struct list arriving; /* list of flow.in_to */
    struct table flow_table;
    uint32_t n_flows;
    uint32_t n_rules;      /* rules in its ingress filter */
    struct hash *mentions; /* hashes of the senders that the rules of its ingress filter name */
    uint32_t n_mentions;
};

/* What decides about a connection besides its part in the policy. */
struct subject {
    uint32_t uid;
    struct span context; /* where SELinux mediates; s is NULL: it does not */
};

/* Senders that neither the policy nor what is said of their subjects distinguishes. */
struct side {
    const struct rule_set *identity;
    const struct role *role;
    struct subject subject;
    char *text;                   /* of its context */
    uint64_t accepts[UMC_TOPICS]; /* by topic: 1 << a party whose messages the policy allows as a whole */
};

/* A group peer that has left. */
struct departure {
    uint32_t index;
    uint64_t number;
};

/*
 * A pending reply that is taken from the kernel and not recorded or answered by the relay yet, so that a
 * standby can do so. The kernel stores the age of the call within the ioctl that removes it.
 */
struct taking {
    struct peer *_Atomic caller; /* NULL: none */
    struct peer *callee;
    struct umc_pending call; /* age_ms: GROUP_NOT_TAKEN before the ioctl */
};

#define GROUP_NOT_TAKEN UINT32_MAX

enum group_trouble { GROUP_ADD, GROUP_FILTER, GROUP_FULL, GROUP_NAMES, GROUP_TROUBLES };

struct group {
    struct source source;
    int fd;
    uint32_t max_members;
    bool trust_everybody;
    bool failed; /* the group is closed; the rest is freed at the end of the wake-up */
    bool gated;
    bool nameless;      /* the kernel finds no member by name: all is learned */
    bool release_waits; /* a group peer could not be released */
    bool timed;         /* there is a reply_timeout */
    bool stale_changed; /* a stale filter may be due */
    int rebuild_wait;   /* milliseconds until a filter is due; -1: none */
    int64_t rebuild_at; /* when it is; -1: none */
    bool told[GROUP_TROUBLES];
    struct list all, stale, dirty, retry;
    struct list joining;       /* list of peer.in_joining */
    struct group_peer **peers; /* by index */
    uint32_t *indices;         /* free indices */
    uint32_t n_indices;
    struct departure *dead; /* those that a filter may still name, the first first */
    uint32_t n_dead;
    uint64_t departures;
    struct group_peer rest;
    struct side *sides;
    uint32_t n_sides;
    uint64_t generation;    /* of the policy that the parties belong to */
    uint32_t unread;        /* revocations in a row after which what stops the group was still readable */
    uint64_t numbering;     /* counts how often the parties were numbered anew */
    struct hash_key key;    /* of mentions */
    uint32_t misses;        /* broadcasts that new ingress filters would have passed */
    uint32_t enough_misses; /* with which an ingress filter is due */
    uint32_t n_stale_ingress;
    int64_t calls_failed; /* see log_recurs */
    int64_t expired_at;   /* time of the last search for calls past reply_timeout */
    struct taking taking;
    struct writing *writing;
    struct spilled *spilled;
};

/* Closes the group after an error; the relay serves every connection again. */
void group_fail(struct bus *bus, const char *what, int error);
/* Logs, once per kind, an error that costs only speed. */
void group_note(struct bus *bus, enum group_trouble trouble, const char *what, int error);

/*
 * Ignores the error of a client that closed its socket, and so left the group, before this process noticed.
 */
static inline int unless_left(int error)
{
    return error == -ENOENT ? 0 : error;
}

/* Has a connection join, unless it is a group peer or waits to be one. */
void group_join(struct bus *bus, struct peer *peer);
/* Joins waiting connections, and frees the indices of those that left, once no filter names them. */
void group_peers_join(struct bus *bus);
void group_peers_forget(struct bus *bus);

/* Empties a filter now and schedules a new one. */
void group_peer_ask_egress(struct bus *bus, struct group_peer *gp);
void group_peer_ask_ingress(struct bus *bus, struct group_peer *gp);
void group_peer_stale_egress(struct bus *bus, struct group_peer *gp);
void group_peer_stale_ingress(struct bus *bus, struct group_peer *gp);
/* The group peers whose filters are to be made now, and in group when the next ones are. */
uint32_t group_due(struct group *group, struct group_peer *due[GROUP_REBUILDS]);
/* A message went through the relay that a new egress filter, or new ingress filters, would have passed. */
void group_peer_missed(struct bus *bus, struct group_peer *gp);
void group_missed(struct bus *bus);
/* A reason for a quiet group peer to have an ingress filter of its own. */
void group_peer_heard(struct bus *bus, struct group_peer *gp);
void group_peer_rebuild(struct bus *bus, struct group_peer *gp);
/* Determines the party of a group peer anew, and revokes what depends on the old one. */
void group_peer_set_side(struct bus *bus, struct group_peer *gp);
/* Does so if its number is no longer valid. */
void group_peer_know_side(struct bus *bus, struct group_peer *gp);

/*
 * Drop the flows from a group peer, or to it by a name (s NULL: all), and empty the filters of the senders.
 */
void flows_drop_from(struct bus *bus, struct group_peer *gp);
void flows_drop_to(struct bus *bus, struct group_peer *gp, struct span name);

/*
 * Drops the flows to a group peer that has left: messages to its index ask, until filters without it are
 * made.
 */
void flows_end_to(struct bus *bus, struct group_peer *gp);
void mentions_end(struct bus *bus, struct peer *peer);

/* True if a broadcast of a group peer can match the rule. */
bool wants_of_members(const struct match_rule *rule);
/* True if the filter that stands for the rules of a group peer (NULL: none) had a new rule before. */
bool wanted_already(const struct group_peer *gp, const struct match_rule *rule);
/* True if the rest filter has so many rules to stand for that no more members should be quiet. */
bool rest_is_large(const struct bus *bus);

int egress_make(struct bus *bus, struct group_peer *gp, struct filter *filter);
int ingress_make(struct bus *bus, struct group_peer *gp, struct filter *filter);

struct subject subject_of(const struct bus *bus, const struct peer *peer);
/* True if trust and SELinux let all messages pass between two subjects, as far as the policy allows them. */
bool subject_may_send(const struct bus *bus, const struct subject *sender, const struct subject *recipient);
/* The number of a peer's party, which may be added now; GROUP_NO_SIDE: no room, or no memory. */
uint32_t side_find(struct bus *bus, struct peer *peer, bool *added);
void sides_end(struct group *group); /* all numbers become invalid */

/* Sets the egress filter that all group peers share. */
int naming_set_shared(const struct bus *bus, const struct group *group);
/*
 * These return 0, or an error after which the kernel may not use names any more.
 *
 * naming_side_added: a party has its number. Finds out what it accepts of the others, and they of it.
 * naming_set_class: the party of a group peer has changed.
 * naming_name_changed: the registry has a new owner. -ENOSPC: the kernel has no room for the name, and leaves
 * messages to it to flows.
 */
int naming_side_added(struct bus *bus, uint32_t side);
int naming_set_class(const struct group *group, struct group_peer *gp);
int naming_name_changed(const struct bus *bus, struct span name, const struct peer *old_owner);
/* True if all messages of that type go directly, so that nothing needs to be learned. */
bool naming_covers(const struct group *group, const struct group_peer *from, const struct group_peer *to,
                   uint8_t type);

/*
 * Moves the pending replies of calls that were relayed before both ends were group peers to the group, which
 * counts those of a caller, and lets the replies go directly.
 */
void group_hand_over_calls(struct bus *bus, struct peer *peer);
/* The reply_timeout may have changed. */
void group_time_calls(struct bus *bus);
/* Moves the pending replies that a callee owes to the relay. */
void group_take_calls(struct bus *bus, uint32_t callee);

int writing_new(struct writing **out);
/* Holds the group peers with pending messages. False: not all of them. */
bool writing_hold(struct bus *bus, const struct list *peers);
/* Releases the group peers that are drained, while those with pending messages are held. */
void writing_release(struct bus *bus, const struct list *peers);
/* The group peers from which all is dispatched, at most room of them, and what the kernel says of each. */
uint32_t group_collect_drained(struct group *group, struct umc_release_entry *entries, uint32_t room);
void group_released(struct bus *bus, const struct umc_release_entry *entries, uint32_t n);
/*
 * With the gate closed: lets what goes directly arrive. Spilled messages are read by a function, which
 * returns false to give up, as this does then. The pending replies in the kernel are complete on return: a
 * delivery that had begun may record one until it is over.
 */
bool group_quiesce(struct bus *bus, bool (*read_spilled)(struct bus *bus));
/* Writes to a group peer again later, without an event. */
static inline void group_peer_retry(struct group *group, struct peer *peer)
{
    if (peer->group.gp && !list_linked(&peer->group.gp->in_retry))
        list_append(&group->retry, &peer->group.gp->in_retry);
}

int spilled_new(struct spilled **out);
/* In a standby: queues the message that was read and those that are left. False: no memory. */
bool spilled_salvage(struct bus *bus);

#endif
