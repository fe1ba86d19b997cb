/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_POLICY_H
#define OMNIBUS_POLICY_H

#include "message.h"
#include "table.h"

struct peer;
struct registry;

#define POLICY_ANY 0xffffffffu

enum policy_kind {
    POLICY_SEND = 1,
    POLICY_RECEIVE = 2,
    POLICY_OWN = 3,
    POLICY_CONNECT_USER = 4,
    POLICY_CONNECT_GROUP = 5,
};

enum policy_context {
    POLICY_DEFAULT = 0,
    POLICY_GROUP = 1,
    POLICY_USER = 2,
    POLICY_AT_CONSOLE = 3,
    POLICY_MANDATORY = 4,
    POLICY_NOT_AT_CONSOLE = 5,
};

enum policy_flag {
    POLICY_PREFIX = 1,
    POLICY_EAVESDROP = 2,
    POLICY_REQUESTED_REPLY = 4,
    POLICY_LOG = 8,
    POLICY_BROADCAST_TRUE = 16,
    POLICY_BROADCAST_FALSE = 32,
};

struct policy_rule { /* dbus-daemon(1), <allow> and <deny> */
    uint8_t kind;
    bool allow;
    uint8_t context;
    uint8_t message_type; /* 0: any */
    uint16_t flags;
    uint32_t principal;
    uint32_t min_fds, max_fds;
    struct span destination; /* of a receive rule: the sender; s is NULL where not given, as in all spans */
    struct span path, interface, member, error;
    struct span file;
    uint32_t line;
};

struct identity { /* the rules of all connections with one uid, the same groups and the same console */
    struct table_node node;
    uint32_t uid, n_gids;
    const uint32_t *gids;
    bool at_console;
    uint32_t n_send, n_receive;
    const struct policy_rule **send; /* the last first: the first that fits decides */
    const struct policy_rule **receive;
};

struct policy {
    uint64_t generation;
    uint32_t n_rules;
    struct policy_rule *rules;
    char *strings;
    struct table identities;
};

/* What a message is judged by, besides itself. NULL peers: the bus itself. */
struct policy_case {
    const struct message *m;
    const struct registry *registry;
    struct peer *sender;
    struct peer *recipient; /* who would get it */
    bool requested_reply;
    bool eavesdropping; /* the recipient is not who it is addressed to */
};

struct policy_verdict {
    bool allow, log;
    uint32_t matched;               /* how many rules fitted */
    const struct policy_rule *rule; /* the one that decided; NULL: none fitted */
};

/* -EINVAL: not a block of omnibus.policy; -ENOMEM. */
int policy_new(struct policy **out, const uint8_t *block, size_t size, uint64_t generation);
void policy_free(struct policy *policy);
/* NULL: no memory */
const struct identity *policy_identity(struct policy *policy, uint32_t uid, const uint32_t *gids,
                                       uint32_t n_gids, bool at_console);
struct policy_verdict policy_can_send(const struct identity *identity, const struct policy_case *c);
struct policy_verdict policy_can_receive(const struct identity *identity, const struct policy_case *c);

#endif
