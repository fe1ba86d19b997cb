/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_MONITOR_H
#define OMNIBUS_MONITOR_H

#include "send/judge.h"
#include "send/transit.h"
#include "state/monitor_rules.h"

/*
 * D-Bus specification, "org.freedesktop.DBus.Monitoring". Monitors have rules of their own, in an index that
 * no ordinary message meets, and no policy. They see a message once, where it comes in or where the bus says
 * it, before anybody gets it; of a denial they see the error, even where nobody is told.
 */

/* It counts as a monitor: only now that its names are given up, and the other monitors have seen that. */
void monitor_watch(struct bus *bus, struct peer *peer);

/*
 * A message that came in, for that peer if it is there. False: it came from a monitor, which is closed for
 * it. One that is parked is seen later, behind what the bus says to have the name's owner started.
 */
bool monitor_message(const struct transit *t, struct peer *addressed, bool parks);
void monitor_parked(struct bus *bus, struct peer *sender, const struct message *m, struct fds *fds);
/* A message for the bus that monitors see only when the bus is about to answer it. */
void monitor_late(struct bus *bus, struct peer *sender, const struct message *m, struct fds *fds);
/* A message of the bus itself; to NULL: a broadcast. */
void monitor_said(struct bus *bus, struct peer *to, const struct message *m, struct fds *fds);
/* The error that tells why a receiver does not get m; the sender (NULL: the bus) is not told. */
void monitor_denial(struct bus *bus, struct peer *sender, struct peer *addressed, const struct message *m,
                    const struct denial *denial);

#endif
