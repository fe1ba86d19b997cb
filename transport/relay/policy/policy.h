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
 * Rules are compared by numbers. Every text that rules mention is a symbol, and
 * a message is only known by the symbols in it. Connections to which the same
 * rules apply share an identity, and those that have the same of the names that
 * rules mention share a role. A verdict depends on nothing else: it is
 * remembered by these, and no change of names makes it wrong.
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
#define POLICY_ABSENT 0u /* a rule does not ask for the field; a message does not have it */
#define POLICY_OTHER 1u  /* a message has a text that no rule mentions */

/* All that rules can tell apart in a message. */
struct policy_class {
    uint32_t interface, member, path, error;
    uint32_t n_fds; /* 0 where no rule counts them */
    uint32_t bits;  /* the type and enum policy_bit */
};

#define POLICY_TYPE_BITS 0xffu
enum policy_bit {
    POLICY_IS_REPLY = 0x100, /* it has a reply serial */
    POLICY_IS_BROADCAST = 0x200,
    POLICY_IS_REQUESTED = 0x400,     /* it answers a call of the recipient */
    POLICY_IS_EAVESDROPPING = 0x800, /* the recipient is not who it is addressed to */
};

struct identity;
struct role;

/* Whose rules apply on one side, and which names count. */
struct policy_side {
    const struct identity *identity; /* NULL: the bus itself, which has no rules */
    const struct role *role;
};

struct policy_verdict {
    bool allow, log;
    uint32_t matched;               /* how many rules fitted */
    const struct policy_rule *rule; /* the one that decided; NULL: none fitted */
};

struct policy_place { /* of a rule in the configuration; file is NULL if that is not known */
    const char *file;
    uint32_t line;
};

enum policy_outcome {
    POLICY_DENIED = 1,
    POLICY_ALLOWED = 2,
    POLICY_LOGGED = 4, /* as the send rule that decided asks for */
};

struct policy {
    uint64_t generation; /* identities and roles of another one are void; never 0 */
    uint32_t n_rules, n_sections;
    struct policy_rule *rules; /* by section, then in the order of the files */
    struct policy_section *sections;
    struct policy_connect *connect; /* in the order of the files */
    uint32_t n_connect;
    char *strings;
    struct table symbols;
    uint32_t uses[POLICY_FIELDS]; /* symbols of each field */
    bool counts_fds;              /* some rule has min_fds or max_fds */
    struct table identities, roles;
    uint32_t last_id;
    const struct role *bus_role; /* NULL: not made yet */
    uint32_t *scratch;           /* symbols of the names of the role that is looked for, each once */
    uint32_t n_scratch;
    struct policy_memo *memos;
};

/* -EINVAL: not a block of omnibus.policy; -ENOMEM. */
int policy_new(struct policy **out, const uint8_t *block, size_t size, uint64_t generation);
void policy_free(struct policy *policy);

/* NULL in all of these: no memory. */
const struct identity *policy_identity(struct policy *policy, uint32_t uid, const uint32_t *gids,
                                       uint32_t n_gids, bool at_console);
/* Of a peer with these names: begun, then each name is added, then the role is found. */
void policy_role_begin(struct policy *policy);
void policy_role_add(struct policy *policy, struct span name);
const struct role *policy_role(struct policy *policy);
const struct role *policy_role_of_bus(struct policy *policy);
const struct role *policy_role_of_name(struct policy *policy, struct span name); /* .s is NULL: of no name */
/* Frees identities and roles when they have become too many, and begins a new
 * generation. */
void policy_tidy(struct policy *policy);

/* May a user connect, by rules that are about no client yet? owner is the bus's own user. */
bool policy_can_connect(const struct policy *policy, uint32_t uid, const uint32_t *gids, uint32_t n_gids,
                        uint32_t owner);
void policy_classify(const struct policy *policy, const struct message *m, struct policy_class *class);
struct policy_verdict policy_can_send(const struct policy *policy, const struct identity *sender,
                                      const struct role *recipient, const struct policy_class *class);
struct policy_verdict policy_can_receive(const struct policy *policy, const struct identity *recipient,
                                         const struct role *sender, const struct policy_class *class);
/* May it ask for a well-known name? The control plane says so in its words if not. */
bool policy_can_own(const struct identity *identity, struct span name);
struct policy_place policy_place(const struct policy *policy, const struct policy_rule *rule);
/*
 * Which fields of a message of this type, 1 << enum policy_field each, the rules of both sides look at: as
 * far as others go, they do not tell messages apart.
 */
uint32_t policy_looks_at(const struct policy *policy, const struct policy_side *sender,
                         const struct policy_side *recipient, uint8_t type);
/* Both together, remembered: DENIED or ALLOWED, and perhaps LOGGED. */
uint32_t policy_outcome(struct policy *policy, const struct policy_side *sender,
                        const struct policy_side *recipient, const struct policy_class *class);

#endif
