/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_DIRECT_H
#define OMNIBUS_DIRECT_H

#include "send/transit.h"
#include "state/group.h"

/*
 * Messages that go from client to client without this process: unix_multicast(7). Each active connection
 * becomes a member of the group. The first message from one member to another goes through the relay, which
 * applies the whole policy; then a flow lets those like it pass directly. What a filter rests on is taken
 * back in the wake-up in which it changes, before anything of that is said; filters are made anew later, when
 * there is time.
 */

/* Sets bus->group. The descriptor is closed by direct_end, and here on failure. 0 or a negative errno. */
int direct_begin(struct bus *bus, int group, uint32_t max_members, bool trust_everybody);

/* The functions of struct group. */
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
uint32_t direct_calls(const struct bus *bus, const struct peer *caller); /* NULL: of all callers */
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
