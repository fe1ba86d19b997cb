/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_REPORT_H
#define OMNIBUS_REPORT_H

#include "state/bus.h"

/*
 * Reports: events that a client can cause as often as it likes, on their way to the control plane.
 *
 * The control plane handles events in order, at about ten microseconds each: a client that could put any
 * number of them in front of the events of others would delay these. Therefore the queue never has more than
 * REPORTS_OF_UID events of one uid; the others wait in the data plane, in order, and take no time from other
 * uids. A connection with REPORTS_OF_PEER reports is not read from until some have been handled. The kinds,
 * and their bounds:
 *
 * - CALL: a report until the answer. One per connection, which is stopped.
 * - PARKED: a report until the control plane has begun a start for it, delivers or rejects it; from then on
 *   bounded by max_pending_service_starts, which route_park enforces.
 * - GONE: a report until the connection is forgotten. One per connection. New connections of a uid that has
 *   REPORTS_OF_UID lost ones are not read from before these are forgotten.
 * - LOG: a report, until taken, of the connection whose turn it is; a line that no connection caused is
 *   bounded by LOG_LINES_MAX.
 * - HANDED_UP: a report of its uid until taken; all together are bounded by max_incomplete_connections.
 * - ADMITTED, WELCOMED, LEFT: one each per connection. ADMITTED and LEFT cancel each other if neither has
 *   been taken, and nothing is accepted while DOOR_LEFT_MAX wait.
 * - NAMED, RELEASED: a report of its uid until taken, which is a matter of microseconds; there may be
 *   REPORTS_LAZY_OF_UID. Nothing may overtake it, so none is held back here: beyond that number, or if
 *   reports are held back, the request itself becomes a CALL.
 * - EXPORT: caused by the control plane.
 *
 * A report ends with the command that answers it or, if it has memory of its own, when the control plane has
 * taken it (COMMAND_TAKEN). Reports of one uid never overtake each other; those of other uids may, as if they
 * had come earlier.
 *
 * Rejected: one limit for all uids together, as the log had before, since one uid at the limit makes all
 * others wait. Stopping all connections of the uid: these would wait for the control plane with messages that
 * do not concern it.
 */
#define REPORTS_OF_PEER 16u
#define REPORTS_OF_UID 32u
#define REPORTS_LAZY_OF_UID 256u

/* Reports an event of a connection. peer NULL: only its uid is known; user NULL: not even that. */
void report(struct bus *bus, struct peer *peer, struct user *user, struct event *event);
/* Pushes ADMITTED for a connection, once, before any other event of it. */
void report_arrival(struct bus *bus, struct peer *peer);
/* Reports an event of a connection in bus.peers, after its arrival. */
void report_of(struct bus *bus, struct peer *peer, struct event *event);
/* The same for an event that no reply depends on. Only if report_has_room. */
void report_lazily(struct bus *bus, struct peer *peer, struct event *event);
/* True if its uid may have another report that is not held back. */
bool report_has_room(const struct peer *peer);
/* Ends a report that the control plane has handled. peer NULL: forgotten already. */
void report_end(struct bus *bus, struct peer *peer, struct user *user);
/* The same for an event that still exists. Later calls do nothing. */
void report_end_event(struct bus *bus, struct peer *peer, struct event *event);
/* True if the peer has so many reports that it is not read from. */
static inline bool report_exceeded(const struct peer *peer)
{
    if (peer->reports.n >= REPORTS_OF_PEER)
        return true;
    /* before Hello it would occupy one of the places that all uids share */
    return peer->active && !peer->reports.mentioned && peer->user && peer->user->n_lost >= REPORTS_OF_UID;
}
/* Pushes the reports held back, whatever their number. */
void reports_hurry(struct bus *bus, struct user *user);
/* Frees the reports held back, at the end of the bus. */
void reports_free(struct user *user);

#endif
