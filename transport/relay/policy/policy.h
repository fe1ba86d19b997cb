/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_POLICY_H
#define OMNIBUS_POLICY_H

#include "base/table.h"
#include "wire/message.h"

struct policy_connect;
struct policy_memo;
struct policy_rule;
struct policy_section;

#define POLICY_ANY 0xffffffffu

/*
 * The policy layer: the compiled <policy> rules of the configuration, and their verdicts.
 *
 * - Rules compare numbers. Every text that a rule mentions is a symbol, and a message is reduced to the
 *   symbols of its fields (struct policy_class).
 * - Connections to which the same rules apply share an identity; those that own the same of the names that
 *   rules mention share a role. A verdict depends on nothing else, so it is remembered under these numbers
 *   (policy_outcome), and a change of names never invalidates it: it leads to another role.
 * - The control plane parses the XML and compiles it to a block (omnibus.policy); policy_new checks the block
 *   like any foreign input. A reload makes a new struct policy with a new generation.
 * - policy/evaluate.py is the readable reference evaluation. Tests hold this layer against it.
 *
 * Verdicts cached by pair of connections were rejected: with 1000 connections there are a million pairs, and
 * each change of a name would invalidate some. So was evaluating the rules in Python, which would put the
 * control plane on the path of every message.
 */

enum policy_field {
    POLICY_NAME,
    POLICY_NAME_PREFIX,
    POLICY_PATH,
    POLICY_INTERFACE,
    POLICY_MEMBER,
    POLICY_ERROR,
    POLICY_FIELDS,
};

/* The numbers of symbols begin after these. */
#define POLICY_ABSENT 0u /* not filtered by a rule; not in a message */
#define POLICY_OTHER 1u  /* a text that no rule mentions */

/* The properties by which rules distinguish messages. group/flow.c asserts that flows keep all of them. */
struct policy_class {
    uint32_t interface, member, path, error;
    uint32_t n_fds; /* 0 if no rule counts descriptors */
    uint32_t bits;  /* message type and enum policy_bit */
};

#define POLICY_TYPE_BITS 0xffu
enum policy_bit {
    POLICY_IS_REPLY = 0x100, /* the message has a reply serial */
    POLICY_IS_BROADCAST = 0x200,
    POLICY_IS_REQUESTED = 0x400,     /* the message answers a call of the recipient */
    POLICY_IS_EAVESDROPPING = 0x800, /* the message is addressed to another peer */
    POLICY_BITS_END = 0x1000,
};

struct rule_set;
struct role;

/* One end of a message: the rules that apply to it, and its names as far as rules mention them. */
struct policy_party {
    const struct rule_set *identity; /* NULL: the bus itself, which has no rules */
    const struct role *role;
};

struct policy_verdict {
    bool allow, log;
    uint32_t matched;               /* how many rules applied */
    const struct policy_rule *rule; /* the deciding one; NULL: none applied */
};

struct policy_place { /* of a rule in the configuration; file is NULL if unknown */
    const char *file;
    uint32_t line;
};

enum policy_outcome {
    POLICY_DENIED = 1,
    POLICY_ALLOWED = 2,
    POLICY_LOGGED = 4, /* requested by the deciding send rule */
};

struct policy {
    uint64_t generation; /* identities and roles of any other generation are invalid; never 0 */
    uint32_t n_rules, n_sections;
    struct policy_rule *rules; /* by section, then in the order of the files */
    struct policy_section *sections;
    struct policy_connect *connect; /* in the order of the files */
    uint32_t n_connect;
    uint8_t *block; /* as it was loaded */
    size_t block_size;
    const char *strings; /* in the block */
    struct table symbols;
    uint32_t uses[POLICY_FIELDS]; /* number of symbols of each field */
    bool counts_fds;              /* a rule has min_fds or max_fds */
    bool asks_console;            /* a rule is for users at the console, or for others */
    struct table identities, roles;
    uint32_t last_id;
    const struct role *bus_role; /* NULL: not created yet */
    uint32_t *scratch;           /* symbols of the names of the role being looked up, each once */
    uint32_t n_scratch;
    struct policy_memo *memos;
};

#pragma GCC visibility push(default)
/* cffi: begin */
/* -EINVAL: not a block of omnibus.policy; -ENOMEM. generation: any but 0 for a policy with one user. */
int policy_new(struct policy **out, const uint8_t *block, size_t size, uint64_t generation);
void policy_free(struct policy *policy);
/* True if a user may connect, by the rules that precede any client. owner is the user of the bus itself. */
_Bool policy_can_connect(const struct policy *policy, uint32_t uid, const uint32_t *gids, uint32_t n_gids,
                         uint32_t owner);
/* cffi: end */
#pragma GCC visibility pop

/* These return NULL without memory. */
const struct rule_set *policy_rule_set(struct policy *policy, uint32_t uid, const uint32_t *gids,
                                       uint32_t n_gids, bool at_console);
/* False: a role is the same with the name and without it. */
bool policy_mentions(const struct policy *policy, struct span name);
/* The role of a peer with certain names: begin, add each name, find. */
void policy_role_begin(struct policy *policy);
void policy_role_add(struct policy *policy, struct span name);
const struct role *policy_role(struct policy *policy);
const struct role *policy_role_of_bus(struct policy *policy);
const struct role *policy_role_of_name(struct policy *policy, struct span name); /* .s is NULL: no name */
/* Limit of rule sets plus roles, reached only by a peer that owns ever different names. */
#define POLICY_TOGETHER_MAX 1024u

/* True if there are too many rule sets and roles. */
static inline bool policy_is_full(const struct policy *policy)
{
    return policy->identities.count + policy->roles.count > POLICY_TOGETHER_MAX;
}

/* Frees all rule sets and roles, which begins a new generation. */
void policy_begin_anew(struct policy *policy);

void policy_classify(const struct policy *policy, const struct message *m, struct policy_class *class);
struct policy_verdict policy_can_send(const struct policy *policy, const struct rule_set *sender,
                                      const struct role *recipient, const struct policy_class *class);
struct policy_verdict policy_can_receive(const struct policy *policy, const struct rule_set *recipient,
                                         const struct role *sender, const struct policy_class *class);
/* True if it may own a well-known name. */
bool policy_can_own(const struct rule_set *identity, struct span name);
/* True if the rule (NULL: none) is about messages of one interface. */
bool policy_names_interface(const struct policy_rule *rule);
struct policy_place policy_place(const struct policy *policy, const struct policy_rule *rule);
/*
 * The fields of a message of this type, as 1 << enum policy_field, that the rules of both parties filter by.
 * Other fields do not affect the verdict.
 */
uint32_t policy_looks_at(const struct policy *policy, const struct policy_party *sender,
                         const struct policy_party *recipient, uint8_t type);
/* The verdict of both parties, cached: DENIED or ALLOWED, and perhaps LOGGED. */
uint32_t policy_outcome(struct policy *policy, const struct policy_party *sender,
                        const struct policy_party *recipient, const struct policy_class *class);

#endif
