/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_INBOX_H
#define OMNIBUS_INBOX_H

#include "state/bus.h"

/*
 * What has come from a peer and is not routed yet: peer.tail, bytes from tail_start on, and the descriptors
 * that no message has claimed. input.c says what may be in it when.
 */

/* Sizes of one read: of long messages, and of short ones, each of which takes more time. */
#define INBOX_READ_SIZE (256u * 1024)
#define INBOX_READ_SHORT (32u * 1024)
#define INBOX_READ_HEAD 2048u /* behind a message with a buffer of its own: the next may get one, too */

/* What came together with the end of the authentication. 0 or -ENOMEM. */
int inbox_begin(struct peer *peer, const uint8_t *bytes, size_t size, const int *fds, uint32_t n_fds);
/* Keeps these bytes, which may stand in the tail itself, and nothing else. 0 or -ENOMEM. */
int inbox_set(struct peer *peer, const uint8_t *bytes, size_t size);
void inbox_clear(struct peer *peer); /* of bytes */
/*
 * Room for this much of a long message, and for all of it where there is a buffer of that size already.
 * 0 or -ENOMEM.
 */
int inbox_reserve(struct bus *bus, struct peer *peer, size_t capacity, size_t claimed);
/* Takes descriptors over; without memory (-ENOMEM) they are closed. */
int inbox_add_fds(struct peer *peer, const int *fds, uint32_t n);
/* Frees and closes all. */
void inbox_drop(struct peer *peer);

/* The peer's next turn, if it has anything to do in it. */
void inbox_turn(struct bus *bus, struct peer *peer);
/* The peer was stopped or paused; it goes on, in its turn, with what it had sent. */
void inbox_resume(struct bus *bus, struct peer *peer);

#endif
