/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_DIRECT_H
#define OMNIBUS_DIRECT_H

#include "send/transit.h"
#include "state/group.h"

/*
 * The group layer: messages that go from client to client without passing through the bus, by
 * unix_multicast(7).
 *
 * - Each active connection becomes a member of the group. The first message from one member to another goes
 *   through the relay, which applies the whole policy; a flow then lets messages of its class pass directly.
 * - A filter is never wider than what the relay would decide. When something that a filter depends on changes
 *   (policy, names, match rules, monitors), the filter is emptied in the same wake-up, before any message
 *   that shows the change is written. Filters are rebuilt later, at most one member per wake-up, when they
 *   are worth it.
 * - Order is kept: a member for which the relay has messages is held, so that what others send to it directly
 *   waits behind them; a member of which the relay has unread messages sends nothing directly until these are
 *   dispatched and it is released.
 * - A failing group is not an error for clients: it is closed (direct_fail), and the relay serves every
 *   connection again.
 *
 * The relay calls this layer through struct group (state/group.h) only. Learning from the policy ahead of any
 * message was rejected: the number of possible flows is the square of the number of clients, and few are
 * used.
 */

/* Sets bus->group. Takes ownership of the descriptor, also on failure. 0 or a negative errno. */
int direct_begin(struct bus *bus, int group, uint32_t max_members, bool trust_everybody);

/* Implementations of struct group. */
void direct_end(struct bus *bus);
void direct_join(struct bus *bus, struct peer *peer);
void direct_leave(struct bus *bus, struct peer *peer);
void direct_dirty(struct bus *bus, struct peer *peer);
void direct_rules_changed(struct bus *bus, struct peer *peer, const struct match_rule *rule);
void direct_name_changed(struct bus *bus, struct span name, struct peer *old_owner);
void direct_policy_changed(struct bus *bus);
void direct_limits_changed(struct bus *bus);
void direct_watched(struct bus *bus);
void direct_learn(const struct transit *t, struct peer *to, bool requested_reply);
void direct_learn_broadcast(const struct transit *t, struct peer *to);
int direct_note_call(struct bus *bus, struct peer *caller, struct peer *callee, uint32_t serial);
bool direct_take_call(struct bus *bus, struct peer *caller, struct peer *callee, uint32_t serial);
uint32_t direct_calls(const struct bus *bus, const struct peer *caller); /* NULL: all callers */
void direct_expire_calls(struct bus *bus);
void direct_spilled(struct bus *bus);
void direct_release(struct bus *bus);
void direct_settle(struct bus *bus);
int direct_timeout(const struct bus *bus);
void direct_flush(struct bus *bus, struct list *peers);
void direct_writable(struct bus *bus, struct peer *peer);
struct group_counts direct_counts(const struct bus *bus, const struct peer *peer);
void direct_totals(const struct bus *bus, struct group_totals *totals);

#endif
