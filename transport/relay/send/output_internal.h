/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_OUTPUT_INTERNAL_H
#define OMNIBUS_OUTPUT_INTERNAL_H

#include "send/output.h"

#include <sys/types.h>
#include <sys/uio.h>

#define OUTPUT_IOVECS 256
#define OUTPUT_BYTES (4u * 1024 * 1024) /* limit of one send */
#define OUTPUT_WIDE (512 * 1024)        /* with this much waiting, the socket gets a buffer of this size */
#define OUTPUT_PACKET (64u * 1024)      /* limit of one packet */
#define OUTPUT_FDS 253                  /* the kernel's SCM_MAX_FD */

/* What one send takes from the messages for a receiver. */
struct gathered {
    struct iovec *iov;
    size_t room; /* number of iovecs */
    size_t n;
    size_t bytes;
    bool packet; /* one message, or OUTPUT_PACKET bytes of it */
    struct fds *fds;
    const struct delivery *next; /* the first delivery not taken in full; NULL: all are */
    size_t next_offset;          /* bytes taken of that one */
};

/* Gathers messages for a send. Only the first may have descriptors, so each set takes a send of its own. */
void gather(struct gathered *g, const struct delivery *delivery, size_t offset);
/* Writes the control message for a non-empty set of descriptors. Returns its size. */
size_t gather_control(const struct fds *fds, void *control);

/* The consequences of a failed send. */
enum refused { REFUSED_LATER, REFUSED_MESSAGE, REFUSED_PEER };
enum refused output_refused(int error);

void output_count(struct bus *bus, struct peer *peer, size_t sent);
/* Removes sent messages from the list. Returns the bytes of the first remaining message that were sent. */
size_t output_take_sent(struct delivery_list *list, size_t sent);
/* The same for the queue of kept messages. */
void output_queue_take_sent(struct bus *bus, struct peer *peer, size_t sent);
void output_queue_take(struct peer *peer);
/* For a standby: lets a list begin where a write ended that has sent these bytes of first and what follows.
 */
void output_written(struct peer *peer, struct delivery_list *list, struct delivery *first, size_t sent);
/* Moves pending messages to the queue, until the socket is writable. */
void output_keep_pending(struct bus *bus, struct peer *peer);
void output_want_writable(struct bus *bus, struct peer *peer, bool want);
void output_flush_peer(struct bus *bus, struct peer *peer);

#endif
