/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_MONITOR_RULES_H
#define OMNIBUS_MONITOR_RULES_H

#include "state/bus.h"

/* The monitors and their rules; monitor.h shows messages to them. */
struct monitor {
    struct match_list *list; /* in the index, after monitor_begin */
    uint64_t mark;
    bool watching;              /* since the reply to its last call */
    bool stamped;               /* a tracer: see relay_become_tracer */
    uint32_t n_rules;           /* until monitor_begin */
    struct match_rule *rules[]; /* NULL: owned by the index */
};

int monitors_init(struct monitors *monitors);
void monitors_free(struct monitors *monitors);

/*
 * Without rules a monitor sees all messages. 0; -ENOMEM; -EINVAL or -E2BIG with a message in why, as
 * match_rule_parse.
 */
int monitor_new(struct monitor **monitor, const char *const *rules, uint32_t n, char *why, size_t why_size);
void monitor_free(struct monitor *monitor); /* accepts NULL; only before monitor_begin, or after its rules
                                               have left the index */
/* Adds its rules to the index, and removes the unique name of the peer. */
int monitor_begin(struct bus *bus, struct peer *peer, struct monitor *monitor);
void monitor_end(struct bus *bus, struct peer *peer);

static inline bool monitored(const struct bus *bus)
{
    return __builtin_expect(bus->monitors.count != 0, false);
}

#endif
