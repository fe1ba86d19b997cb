/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_MONITOR_H
#define OMNIBUS_MONITOR_H

#include "send/judge.h"
#include "send/transit.h"
#include "state/monitor_rules.h"

/*
 * D-Bus specification, "org.freedesktop.DBus.Monitoring". Monitors have rules of their own, in an index that
 * serves nothing else, and the policy does not apply to them. They see a message once, when it arrives or
 * when the bus sends it, before any receiver gets it. Of a denial they see the error, even if no peer gets
 * it.
 */

/* Makes the peer a monitor, after it has given up its names and the other monitors have seen that. */
void monitor_watch(struct bus *bus, struct peer *peer);

/*
 * Shows a received message; addressed: its receiver, if any. False: it came from a monitor, which is closed
 * for that. A parked message is shown later, after the messages by which the bus has the name's owner
 * started.
 */
bool monitor_message(const struct transit *t, struct peer *addressed, bool parks);
void monitor_parked(struct bus *bus, struct peer *sender, const struct message *m, struct fds *fds);
/* Shows a message for the bus that is due only when the bus is about to answer it. */
void monitor_late(struct bus *bus, struct peer *sender, const struct message *m, struct fds *fds);
/* Shows a message of the bus itself; to NULL: a broadcast. */
void monitor_said(struct bus *bus, struct peer *to, const struct message *m, struct fds *fds);
/* Shows the error that says why a receiver does not get m; the sender (NULL: the bus) does not get it. */
void monitor_denial(struct bus *bus, struct peer *sender, struct peer *addressed, const struct message *m,
                    const struct denial *denial);

#endif
