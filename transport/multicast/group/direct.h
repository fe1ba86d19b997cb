/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_DIRECT_H
#define OMNIBUS_DIRECT_H

#include "send/transit.h"
#include "state/bus.h"

/*
 * Messages that go from client to client without this process: unix_multicast(7). Each active connection
 * becomes a member of the group. The first message from one member to another goes through the relay, which
 * applies the whole policy; then a flow lets those like it pass directly. What a filter rests on is taken
 * back in the wake-up in which it changes, before anything of that is said; filters are made anew later, when
 * there is time.
 *
 * All of these do nothing while bus->direct is NULL, or the connection is no member.
 */

/* The descriptor is closed by direct_end, and here on failure. 0 or a negative errno. */
int direct_begin(struct bus *bus, int group, uint32_t max_members, bool trust_everybody);
void direct_end(struct bus *bus);

/* A connection is active, and may become a member. */
void direct_join(struct bus *bus, struct peer *peer);
/*
 * It is lost, or becomes a monitor. On return nothing goes from it or to it directly, and the calls that it
 * has not answered are among those that it owes.
 */
void direct_leave(struct bus *bus, struct peer *peer);
/* Bytes of it have come. */
void direct_dirty(struct bus *bus, struct peer *peer);

/* A rule was added or removed. */
void direct_rules_changed(struct bus *bus, struct peer *peer, const struct match_rule *rule);
void direct_name_changed(struct bus *bus, struct span name, struct peer *old_owner);
void direct_policy_changed(struct bus *bus);
void direct_limits_changed(struct bus *bus);
/* There is a monitor or an eavesdropper who sees everything from now on. */
void direct_watched(struct bus *bus);

/* A message goes to whom it is addressed. */
void direct_learn(const struct transit *t, struct peer *to, bool requested_reply);
/* A broadcast goes to somebody; NULL: there is one. */
void direct_learn_broadcast(const struct transit *t, struct peer *to);
/*
 * A call that the relay delivers is noted by the group, like those that go directly: 0; -EEXIST or -EDQUOT if
 * it may not be made; -ENOENT: it isn't the group's, but the relay's to remember.
 */
int direct_note_call(struct bus *bus, struct peer *caller, struct peer *callee, uint32_t serial);
/* The call, which the group has noted, is among those that wait for a reply; false: there is no such call. */
bool direct_take_call(struct bus *bus, struct peer *caller, struct peer *callee, uint32_t serial);
/* How many calls of this caller (NULL: of anybody) the group has noted, and have no reply yet. */
uint32_t direct_calls(const struct bus *bus, const struct peer *caller);

/* Calls that went directly and are older than reply_timeout are answered. */
void direct_expire_calls(struct bus *bus);

/* What was spilled by the group: an event of its descriptor. */
void direct_spilled(struct bus *bus);
/*
 * At the end of a wake-up: those of whom all was read and dispatched may send directly. Who is to be said
 * something is held first, so that it is possible before that is written, and who reacts to it can be quick.
 */
void direct_release(struct bus *bus);
/* Behind that, when all was said: makes filters. */
void direct_settle(struct bus *bus);
/* Milliseconds until direct_settle has something to do; -1: it has nothing. */
int direct_timeout(const struct bus *bus);

/* Says to members what is pending for them; they are linked by in_touched. */
void direct_flush(struct bus *bus, struct list *peers);
/* The socket of a member takes more of its queue. */
void direct_continue(struct bus *bus, struct peer *peer);

#endif
