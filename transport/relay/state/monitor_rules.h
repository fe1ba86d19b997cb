/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_MONITOR_RULES_H
#define OMNIBUS_MONITOR_RULES_H

#include "state/bus.h"

/* The monitors and their rules; what they see of messages is for monitor.h. */
struct monitor {
    struct match_list *list; /* the index's, once it has begun */
    uint64_t mark;
    bool watching;              /* since the answer to its last call */
    uint32_t n_rules;           /* until it has begun */
    struct match_rule *rules[]; /* NULL: taken over by the index */
};

int monitors_init(struct monitors *monitors);
void monitors_free(struct monitors *monitors);

/* No rules: everything. 0; -ENOMEM; -EINVAL or -E2BIG with a sentence in why, as match_rule_parse. */
int monitor_new(struct monitor **monitor, const char *const *rules, uint32_t n, char *why, size_t why_size);
void monitor_free(struct monitor *monitor); /* NULL is fine; none of its rules may be in the index */
/* Its rules are in the index from here on, and the peer is no longer found by its unique name. */
int monitor_begin(struct bus *bus, struct peer *peer, struct monitor *monitor);
void monitor_end(struct bus *bus, struct peer *peer);

static inline bool monitored(const struct bus *bus)
{
    return __builtin_expect(bus->monitors.count != 0, false);
}

#endif
