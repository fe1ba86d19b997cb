/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_SAY_H
#define OMNIBUS_SAY_H

#include "state/bus.h"

/*
 * What the bus itself says. say_* begin a message in bus->marshal, where its arguments are put;
 * say_end hands it to the one way out. Only one is under way at a time.
 */
struct marshal *say_reply(struct bus *bus, const struct peer *to, uint32_t serial, struct span signature,
                          uint32_t n_fds);
struct marshal *say_signal(struct bus *bus, const struct peer *to, struct span path, struct span interface,
                           struct span member, struct span signature);
uint32_t say_serial(struct bus *bus); /* for a message of the bus that is said elsewhere */
/* With header's destination; a reply is wanted if there is a serial in it. */
struct marshal *say_to_name(struct bus *bus, struct marshal_header *header);
/* To NULL: to all whose rules match. The message was written here, of texts that are known to be valid. */
void say_end(struct bus *bus, struct peer *to);
/* The same of what came from elsewhere: it is read once more, so that nobody gets what is no message. */
void say_end_checked(struct bus *bus, struct peer *to, struct fds *fds);
/* To that peer (NULL: it isn't there), to monitors, or to both: enum relay_audience. */
void say_end_as(struct bus *bus, struct peer *to, uint32_t audience);

void say_error(struct bus *bus, struct peer *to, uint32_t serial, const char *name, const char *text);
/* NameOwnerChanged; an empty span for no owner */
void say_owner_changed(struct bus *bus, struct span name, struct span old_owner, struct span new_owner);
void say_name_acquired(struct bus *bus, struct peer *to, struct span name);
void say_name_lost(struct bus *bus, struct peer *to, struct span name);

#endif
