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
 * Whether no module has a say about messages between this connection and others of which that is true,
 * whatever policy is loaded: they may go directly.
 */
bool mediate_spares(const struct bus *bus, const struct peer *peer);
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
