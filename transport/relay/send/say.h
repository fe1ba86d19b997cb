/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_SAY_H
#define OMNIBUS_SAY_H

#include "state/bus.h"

/*
 * Messages of the bus itself. The say_* functions begin a message in bus->marshal, to which the caller
 * appends the arguments; say_end delivers it. Only one message is being written at a time.
 */
struct marshal *say_reply(struct bus *bus, const struct peer *to, uint32_t serial, struct span signature,
                          uint32_t n_fds);
struct marshal *say_signal(struct bus *bus, const struct peer *to, struct span path, struct span interface,
                           struct span member, struct span signature);
uint32_t say_serial(struct bus *bus); /* for a message of the bus written elsewhere */
/* Begins any message, to the destination of header if to is NULL; a reply is expected if header has a serial.
 */
struct marshal *say_begin(struct bus *bus, struct marshal_header *header, const struct peer *to);
/* Delivers the message; to NULL: to all peers whose rules match. Its texts are known to be valid. */
void say_end(struct bus *bus, struct peer *to);
/* The same for a message with unverified content: no peer gets an invalid one. False: it was not delivered.
 */
bool say_end_checked(struct bus *bus, struct peer *to, struct fds *fds);
/* Delivers to a peer (NULL: it does not exist), to monitors, or to both: enum relay_audience. */
void say_end_as(struct bus *bus, struct peer *to, uint32_t audience);

void say_error(struct bus *bus, struct peer *to, uint32_t serial, const char *name, const char *text);
/* The same with a text that is formatted. */
void say_error_about(struct bus *bus, struct peer *to, uint32_t serial, const char *name, const char *format,
                     ...) __attribute__((format(printf, 5, 6)));
/* Emits NameOwnerChanged; an empty span is no owner. */
void say_owner_changed(struct bus *bus, struct span name, struct span old_owner, struct span new_owner);
void say_name_acquired(struct bus *bus, struct peer *to, struct span name);
void say_name_lost(struct bus *bus, struct peer *to, struct span name);

#endif
