/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_OUTPUT_H
#define OMNIBUS_OUTPUT_H

#include "state/bus.h"

/* Says a message to a peer at the end of this wake-up, after all that was said to it before. */
void output_add(struct bus *bus, struct peer *peer, struct outgoing *out);
/* The peer is lost once what was said to it was tried. */
void output_close(struct bus *bus, struct peer *peer, enum relay_gone reason);
/* Writes what was said to all peers: one send each, as far as descriptors allow. */
void output_flush(struct bus *bus);
/* The socket takes more: writes what was kept. */
void output_continue(struct bus *bus, struct peer *peer);
/* Everything for it is dropped. */
void output_drop(struct bus *bus, struct peer *peer);

#endif
