/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_MEDIATE_H
#define OMNIBUS_MEDIATE_H

#include "mediation/mediation.h"
#include "send/judge.h"

/*
 * The bus's questions to the security modules that mediate it; all are for a bus with bus->mediation.
 * Refusals have the names and texts of the reference, and the modules' records are made.
 */

/* Whether the connection can be mediated: its label is known. Others are closed, as in the reference. */
bool mediate_knows(const struct bus *bus, const struct peer *peer);
/*
 * Whether messages between this connection and others of which that is true may go directly, as far as
 * mediate_passes says: AppArmor has no say about them, whatever policy is loaded.
 */
bool mediate_may_join(const struct bus *bus, const struct peer *peer);
/* What SELinux knows a connection by; .s is NULL: SELinux does not mediate the bus. */
struct span mediate_context(const struct bus *bus, const struct peer *peer);
/* Whether SELinux lets all messages pass between two contexts, without a record, until its policy changes. */
bool mediate_passes(const struct bus *bus, struct span source, struct span target);
/* The descriptor that announces such a change; -1: none. */
int mediate_announces(const struct bus *bus);
/*
 * Looks for an announcement, which was made before what was read from a client just now was sent, and after
 * the events of this wake-up.
 */
void mediate_look(struct bus *bus);
/* Another policy was announced; the group has stopped if it rests on that. */
void mediate_again(struct bus *bus);
/* Whether the modules allow a message; otherwise denial is filled, unless NULL. */
bool mediate(struct bus *bus, const struct policy_case *c, struct denial *denial);
/* The same for a message that starts a service, without a record: enum policy_outcome. */
uint32_t mediate_outcome(struct bus *bus, const struct policy_case *c);
bool mediate_own(struct bus *bus, const struct peer *peer, struct span name, struct denial *denial);
bool mediate_eavesdrop(struct bus *bus, const struct peer *peer, struct denial *denial);
/*
 * What the modules say of a message; own.s: instead of owning that name. Nothing is recorded. Returns the
 * number of opinions; their labels are those of the parties and of the modules.
 */
uint32_t mediate_explain(const struct bus *bus, const struct policy_case *c, struct span own,
                         struct mediation_opinion opinions[MEDIATION_OPINIONS]);
/* Ends what mediates the bus, and begins another; NULL: none. */
int mediate_with(struct bus *bus, struct mediation *mediation);

#endif
