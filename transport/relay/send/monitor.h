/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_MONITOR_H
#define OMNIBUS_MONITOR_H

#include "send/judge.h"
#include "send/transit.h"
#include "state/bus.h"

/*
 * D-Bus specification, "org.freedesktop.DBus.Monitoring". Monitors have rules of their own, in an index that
 * no ordinary message meets, and no policy. They see a message once, where it comes in or where the bus says
 * it, before anybody gets it; of a denial they see the error, even where nobody is told.
 */
struct monitor {
    struct match_list *list; /* the index's, once it has begun */
    uint64_t mark;
    bool watching;              /* since the answer to its last call */
    uint32_t n_rules;           /* until it has begun */
    struct match_rule *rules[]; /* NULL: taken over by the index */
};

int monitors_init(struct monitors *monitors);
void monitors_free(struct monitors *monitors);

/* No rules: everything. 0; -ENOMEM; -EINVAL or -E2BIG with a sentence in why, as match_rule_parse. */
int monitor_new(struct monitor **monitor, const char *const *rules, uint32_t n, char *why, size_t why_size);
void monitor_free(struct monitor *monitor); /* NULL is fine; none of its rules may be in the index */
/* Its rules are in the index from here on, and the peer is no longer found by its unique name. */
int monitor_begin(struct bus *bus, struct peer *peer, struct monitor *monitor);
/* It counts as a monitor: only now that its names are given up, and the other monitors have seen that. */
void monitor_watch(struct bus *bus, struct peer *peer);
void monitor_end(struct bus *bus, struct peer *peer);

static inline bool monitored(const struct bus *bus)
{
    return __builtin_expect(bus->monitors.count != 0, false);
}

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
