/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_MEMBER_H
#define OMNIBUS_MEMBER_H

#include "bpf/filter.h"
#include "group/direct.h"
#include "group/umc.h"

#include <errno.h>

/*
 * To make a filter costs the kernel as much as some dozens of messages cost the relay: it is made once some
 * have gone through the relay that need not have, or when it has been missing for long. One missing ingress
 * filter stops all broadcasts, so few are enough for each that is missing.
 */
#define MEMBER_MISSES 32u
#define DIRECT_MISSES 8u     /* broadcasts */
#define MEMBER_PATIENCE 1000 /* milliseconds */
/*
 * Milliseconds between two filters of one member, at least: twice as many after one that did not live so
 * long, as while somebody starts.
 */
#define MEMBER_LIFE 20
#define MEMBER_REBUILD_TIME 3
#define MEMBER_REBUILD_MAX 384
#define MEMBER_FLOWS 512u   /* that one member may have; then they are learnt anew */
#define MEMBER_RETRY_TIME 1 /* milliseconds until one that was busy is written to again */
#define DIRECT_SIDES 4096u  /* then they are numbered anew */
#define DIRECT_NO_SIDE UINT32_MAX
#define DIRECT_EXPIRY_TIME 100 /* milliseconds between looks at calls that went directly */

enum flow_field { FLOW_PATH, FLOW_INTERFACE, FLOW_MEMBER, FLOW_ERROR_NAME, FLOW_FIELDS };

/* A class of messages that may go directly. */
struct flow {
    struct table_node node; /* member.flow_table, by destination and type */
    struct list in_from;    /* member.flows */
    struct list in_to;      /* member.arriving */
    struct member *from, *to;
    uint8_t type;
    struct span destination;
    struct span fields[FLOW_FIELDS]; /* s NULL: any */
    char text[];
};

/* A connection in the group. The one without a peer stands for all connections that are not in it. */
struct member {
    struct peer *peer;
    uint32_t index;
    uint32_t side;   /* struct side, as a sender */
    bool big_endian; /* what it sends */
    bool broadcasts; /* it has sent a signal to nobody in particular */
    bool calls;      /* a call of it may go directly */
    bool has_egress; /* the filter in the kernel is not empty */
    bool has_ingress;
    bool egress_stale, ingress_stale;
    bool held;            /* by the kernel, as there is a queue for it */
    uint32_t sides_known; /* to its ingress filter */
    uint32_t misses;      /* messages that a new egress filter would let pass */
    int64_t stale_since, rebuild_at, rebuild_time;
    struct list in_all;   /* direct.all */
    struct list in_stale; /* direct.stale */
    struct list in_dirty; /* direct.dirty: something of it has come since it was released */
    struct list in_retry; /* direct.retry: to be written to again without an event */
    struct list flows;    /* flow.in_from, the latest last */
    struct list arriving; /* flow.in_to */
    struct table flow_table;
    uint32_t n_flows;
    uint32_t n_rules;      /* that its ingress filter is made of */
    struct hash *mentions; /* hashes of the names that are senders in the rules of its ingress filter */
    uint32_t n_mentions;
};

/* Senders whom no policy tells apart. */
struct side {
    const struct identity *identity;
    const struct role *role;
    uint32_t uid;
};

enum direct_trouble { DIRECT_ADD, DIRECT_FILTER, DIRECT_FULL, DIRECT_TROUBLES };

struct direct {
    struct source source;
    int group;
    uint32_t max_members;
    bool trust_everybody;
    bool failed; /* the group is closed; what is left is freed at the end of the wake-up */
    bool gated;
    bool release_waits; /* somebody could not be released */
    int rebuild_wait;   /* milliseconds until a filter is to be made; -1: none */
    bool told[DIRECT_TROUBLES];
    struct list all, stale, dirty, retry;
    struct list joining;     /* peer.in_joining */
    struct member **members; /* by index */
    uint32_t *indices;       /* free ones */
    uint32_t n_indices;
    uint32_t *dead; /* indices that a filter may still name */
    uint32_t n_dead;
    struct member rest;
    struct side *sides;
    uint32_t n_sides;
    uint64_t generation; /* of the policy whose sides these are */
    struct hash_key key; /* of mentions */
    uint32_t misses;     /* broadcasts that new ingress filters would let pass */
    uint32_t n_stale_ingress;
    int64_t calls_failed; /* see log_recurs */
    int64_t expired_at;   /* when calls that are too old were last looked for */
    struct writing *writing;
};

/* The group can't be relied on: it is closed, and the relay serves everybody. */
void direct_fail(struct bus *bus, const char *what, int error);
/* Says once what makes something slower and nothing wrong. */
void direct_note(struct bus *bus, enum direct_trouble trouble, const char *what, int error);

/* A client that closes its end leaves by itself, before anybody here knows: nothing goes wrong by that. */
static inline int unless_left(int error)
{
    return error == -ENOENT ? 0 : error;
}

/* Those who wait to join do; the indices of who has left are free again, once no filter names them. */
void members_join(struct bus *bus);
void members_forget(struct bus *bus);

/* Empties a filter now, which is then made anew. */
void member_ask_egress(struct bus *bus, struct member *member);
void member_ask_ingress(struct bus *bus, struct member *member);
void member_stale_egress(struct bus *bus, struct member *member);
void member_stale_ingress(struct bus *bus, struct member *member);
void member_rebuild(struct bus *bus, struct member *member);
/* Its side is found anew; what rests on the old one is taken back. */
void member_set_side(struct bus *bus, struct member *member);

/* All flows from it, or to it under a name (s NULL: all); the senders' filters are emptied. */
void flows_drop_from(struct bus *bus, struct member *member);
void flows_drop_to(struct bus *bus, struct member *member, struct span name);

/* It has left: what filters still send there asks. They are made anew, and then its index is forgotten. */
void flows_end_to(struct bus *bus, struct member *member);
void mentions_end(struct bus *bus, struct peer *peer);

/* Can anything that members send to nobody in particular match it? */
bool wants_of_members(const struct match_rule *rule);

int egress_make(struct bus *bus, struct member *member, struct filter *filter);
int ingress_make(struct bus *bus, struct member *member, struct filter *filter);
bool direct_trusts(const struct direct *direct, uint32_t sender_uid, const struct peer *to);

/* Calls to it without a reply become the relay's. */
void direct_take_calls(struct bus *bus, uint32_t callee);

int writing_new(struct writing **out);
/* Holds those for whom something is pending; false: not all of them. */
bool writing_hold(struct bus *bus, const struct list *peers);
void writing_free(struct writing *writing);

#endif
