/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_GROUP_CORE_H
#define OMNIBUS_GROUP_CORE_H

#include "send/transit.h"
#include "state/group_ops.h"

/*
 * The group layer: messages that go from client to client without passing through the bus, by
 * unix_multicast(7).
 *
 * - A connection becomes a group peer with the first message from it or to it that is not the bus's
 *   own: most short-lived clients only talk to the bus. What the policy allows as a whole between the parties
 *   of two group peers goes directly from then on (naming.c). The first message of any other kind from one to
 *   another goes through the relay, which applies the whole policy; a flow then lets messages of its class
 *   pass directly.
 * - A filter is never wider than what the relay would decide. When something that a filter depends on changes
 *   (policy, names, match rules, monitors), the filter is emptied in the same wake-up, before any message
 *   that shows the change is written. Filters are rebuilt later, a few per wake-up, when they are worth it.
 * - Order is kept. A group peer with a queue in the relay is held: messages for it go to the relay, behind
 *   that queue. A group peer whose message went to the relay sends nothing directly until the relay has
 *   dispatched all that it received from it, and releases it.
 * - A failing group is not an error for clients: it is closed (group_fail), and the relay serves every
 *   connection again.
 *
 * The relay calls this layer through struct group_ops (state/group_ops.h) only. Learning from the policy
 * ahead of any message was rejected where a verdict depends on fields: the number of possible flows is the
 * square of the number of clients, and few are used.
 */

/* Sets bus->group_ops. Takes ownership of the descriptor, also on failure. 0 or a negative errno. */
int group_begin(struct bus *bus, int fd, uint32_t max_members, bool trust_everybody);

/* Implementations of struct group_ops. */
void group_end(struct bus *bus);
void group_dissolve(struct bus *bus);
bool group_salvage(struct bus *bus, bool (*keep)(struct bus *bus, const struct group_call *call));
void group_leave(struct bus *bus, struct peer *peer);
void group_monitor(struct bus *bus, struct peer *peer);
void group_dirty(struct bus *bus, struct peer *peer);
void group_rule_added(struct bus *bus, struct peer *peer, const struct match_rule *rule);
void group_rule_removed(struct bus *bus, struct peer *peer, const struct match_rule *rule);
void group_name_changed(struct bus *bus, struct span name, struct peer *old_owner);
void group_policy_changed(struct bus *bus);
void group_limits_changed(struct bus *bus);
void group_watched(struct bus *bus);
int group_mediated(struct bus *bus);
void group_learn(const struct transit *t, struct peer *to, bool requested_reply);
void group_learn_broadcast(const struct transit *t, struct peer *to);
int group_note_call(struct bus *bus, struct peer *caller, struct peer *callee, uint32_t serial);
bool group_take_call(struct bus *bus, struct peer *caller, struct peer *callee, uint32_t serial);
uint32_t group_calls(const struct bus *bus, const struct peer *caller); /* NULL: all callers */
void group_expire_calls(struct bus *bus);
void group_spilled(struct bus *bus);
void group_settle(struct bus *bus);
int group_timeout(const struct bus *bus);
void group_flush(struct bus *bus, struct list *peers);
void group_writable(struct bus *bus, struct peer *peer);
struct group_counts group_count(const struct bus *bus, const struct peer *peer);
void group_sum(const struct bus *bus, struct group_totals *totals);

#endif
