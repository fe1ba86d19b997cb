/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_INBOX_H
#define OMNIBUS_INBOX_H

#include "state/bus.h"

/*
 * The input of a peer that was received and not routed yet: the bytes of its tail from tail_start on, and the
 * descriptors that no message has claimed. input.c has the invariants.
 */

/* Sizes of one read, for long messages and for short ones, which take more time per byte. */
#define INBOX_READ_SIZE (256u * 1024)
#define INBOX_READ_SHORT (32u * 1024)
#define INBOX_READ_HEAD 2048u /* after a message with its own buffer */

/* Stores what was received together with the end of the handshake. 0 or -ENOMEM. */
int inbox_begin(struct peer *peer, const uint8_t *bytes, size_t size, const int *fds, uint32_t n_fds);
/* Replaces the tail by these bytes, which may be part of the tail. 0 or -ENOMEM. */
int inbox_set(struct peer *peer, const uint8_t *bytes, size_t size);
void inbox_clear(struct peer *peer); /* drops the bytes, not the descriptors */
/*
 * Grows the tail to capacity, or to all of a long message if the pool has a buffer of that size. 0 or
 * -ENOMEM.
 */
int inbox_reserve(struct bus *bus, struct peer *peer, size_t capacity, size_t claimed);
/* Takes ownership of descriptors; without memory (-ENOMEM) they are closed. */
int inbox_add_fds(struct peer *peer, const int *fds, uint32_t n);
/* Frees the bytes and closes the descriptors. */
void inbox_drop(struct peer *peer);

/* Schedules a turn of the peer. */
void inbox_turn(struct bus *bus, struct peer *peer);
/* Schedules a turn of a peer that is no longer stopped or paused, for the input that it has. */
void inbox_resume(struct bus *bus, struct peer *peer);

#endif
