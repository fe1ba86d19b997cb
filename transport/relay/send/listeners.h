/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_LISTENERS_H
#define OMNIBUS_LISTENERS_H

#include "state/bus.h"

/*
 * org.omnibus.Listeners1: who listens to the names of a connection. docs/using/listeners.md is its reference.
 *
 * An observer is a connection that has called Watch. The bus tells it of each match rule that a broadcast of
 * its own can match, with the connection that has it and the number of copies, and of each change: in order
 * with all other messages for the observer, so that it knows a rule before it gets what its owner sends next.
 *
 * - What is told is absolute, never a difference: a rule has so many copies now. A walk through all rules and
 *   single changes can therefore be told in any order.
 * - A rule with a sender is told to the owner of that name, which is one look-up; a rule without one is told
 *   to all observers. If there is no observer, a change of rules costs a comparison.
 * - A connection whose rules take more than LISTENERS_WIDE bytes is told as one that listens to everything,
 *   for as long as it is there: neither its rules nor their changes cost more.
 * - An observer that leaves LISTENERS_UNREAD bytes unread gets Lost instead of more, and is none any more.
 * - The end of a rule with its connection is not told, as NameOwnerChanged does.
 *
 * Rejected: a set of rules for each observer, kept by the bus, whose cost is that of all rules times all
 * observers. An event for the control plane, which would tell later than the next message of the client.
 */

#define LISTENERS_MAX 1024u                 /* observers */
#define LISTENERS_WIDE (32u * 1024)         /* of match_list.memory: some 100 rules */
#define LISTENERS_PART (32u * 1024)         /* a signal with more bytes ends */
#define LISTENERS_UNREAD (8u * 1024 * 1024) /* bytes queued */

/* Tells the peer of all rules, and of all changes from now on. False: a limit; then it hears of none. */
bool listeners_watch(struct bus *bus, struct peer *peer);
/* Tells an observer that it has missed changes. */
void listeners_say_lost(struct bus *bus, struct peer *observer);

void listeners_tell_rule(struct bus *bus, struct peer *client, const struct match_rule *rule);
void listeners_tell_name(struct bus *bus, struct span name);

/* A rule of the client, or an equal one, was added or removed. */
static inline void listeners_rule_changed(struct bus *bus, struct peer *client, const struct match_rule *rule)
{
    if (!list_empty(&bus->observers))
        listeners_tell_rule(bus, client, rule);
}

/* A name has another owner, or none. */
static inline void listeners_name_changed(struct bus *bus, struct span name)
{
    if (!list_empty(&bus->observers))
        listeners_tell_name(bus, name);
}

#endif
