/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_REPORT_H
#define OMNIBUS_REPORT_H

#include "state/bus.h"

/*
 * Events that a client can cause as often as it likes, on their way to the control plane.
 *
 * The control plane takes events in their order, and one takes it some ten microseconds: a client that could
 * put any number of them in front of others' would make these wait. So whatever a client does, of the events
 * in the queue that are its uid's there are never more than REPORTS_OF_UID; the rest waits in the data plane,
 * in order, and takes no time from others. A connection with REPORTS_OF_PEER of them is not read from until
 * some have been handled. The kinds, and what bounds each:
 *
 *   CALL        a report until the answer; one for a connection, which is stopped
 *   PARKED      a report until the control plane has begun a start for it, delivers or rejects it; from then
 *               on max_pending_service_starts bounds it, which route_park enforces
 *   GONE        a report until the connection is forgotten; one for a connection. New connections of a uid
 *               that has REPORTS_OF_UID lost ones are not read from before these are forgotten
 *   LOG         a report of the connection whose turn it is, until it has been taken; a line that no
 *               connection caused is bounded by LOG_LINES_MAX
 *   HANDED_UP   a report of its uid until it has been taken; max_incomplete_connections bounds all
 *   ADMITTED, WELCOMED, LEFT    one for a connection. ADMITTED and LEFT annul each other as long as neither
 *               has been taken, and nothing is accepted while DOOR_LEFT_MAX wait
 *   NAMED, RELEASED             a report of its uid until it has been taken, which is a matter of
 * microseconds: there may be REPORTS_LAZY_OF_UID. It must not be overtaken, so none waits here; from then on,
 *               or if others wait, the request itself is a CALL
 *   EXPORT      caused by the control plane
 *
 * A report is ended by the command that answers it, or, if it has memory of its own, when the control plane
 * has taken it (COMMAND_TAKEN). Reports of one uid never overtake each other; those of others may, which is
 * as if they had come sooner.
 *
 * Considered: a limit for all uids together, as for the log before. One uid that reaches it makes all others
 * wait. And stopping all connections of the uid: they would wait for the control plane with messages that
 * have nothing to do with it.
 */
#define REPORTS_OF_PEER 16u
#define REPORTS_OF_UID 32u
#define REPORTS_LAZY_OF_UID 256u

/* An event of a connection. peer may be NULL, if nothing is known of it but its uid; user NULL: not even
 * that. */
void report(struct bus *bus, struct peer *peer, struct user *user, struct event *event);
/* The control plane is told of a connection that was admitted, once: before all else of it. */
void report_arrival(struct bus *bus, struct peer *peer);
/* An event of a connection that bus.peers has; its arrival is reported before. */
void report_of(struct bus *bus, struct peer *peer, struct event *event);
/* The same of one that nothing waits for, as long as report_has_room. */
void report_lazily(struct bus *bus, struct peer *peer, struct event *event);
/* May its uid have one more that is not put off? */
bool report_has_room(const struct peer *peer);
/* The control plane has done with a report; peer: NULL if it is forgotten. */
void report_end(struct bus *bus, struct peer *peer, struct user *user);
/* The same of an event that is still there, once; later calls do nothing. */
void report_end_event(struct bus *bus, struct peer *peer, struct event *event);
/* Has it so many that it is not read from? */
bool report_exceeded(const struct peer *peer);
/* The end of the bus: frees those that the control plane was never given. */
void reports_free(struct user *user);

#endif
