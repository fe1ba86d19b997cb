/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_OUTPUT_INTERNAL_H
#define OMNIBUS_OUTPUT_INTERNAL_H

#include "send/output.h"

#include <sys/types.h>
#include <sys/uio.h>

#define OUTPUT_IOVECS 256
#define OUTPUT_BYTES (4u * 1024 * 1024) /* in one send */
#define OUTPUT_WIDE (512 * 1024)        /* waiting: then the socket gets a buffer of that size */
#define OUTPUT_PACKET (64u * 1024)      /* in one packet */
#define OUTPUT_FDS 253                  /* the kernel's SCM_MAX_FD */

/* What one send takes of what waits for a receiver. */
struct gathered {
    struct iovec *iov;
    size_t room; /* of iov */
    size_t n;
    size_t bytes;
    bool packet; /* one message, or OUTPUT_PACKET of it */
    struct fds *fds;
    const struct delivery *next; /* the first that it does not take; NULL: it takes all */
    size_t next_offset;          /* what it takes of that one nevertheless */
};

/* Descriptors go only with the first message, so each set gets a send of its own. */
void gather(struct gathered *g, const struct delivery *delivery, size_t offset);
/* The control data for descriptors, of which there are some; returns its size. */
size_t gather_control(const struct fds *fds, void *control);

/* What to do after a send that failed. */
enum refused { REFUSED_LATER, REFUSED_MESSAGE, REFUSED_PEER };
enum refused output_refused(int error);

void output_count(struct bus *bus, struct peer *peer, size_t sent);
/* Takes what was sent off the list; returns the bytes of its first message that were sent already. */
size_t output_take_sent(struct delivery_list *list, size_t sent);
/* The same of what was kept. */
void output_queue_take_sent(struct bus *bus, struct peer *peer, size_t sent);
void output_queue_take(struct bus *bus, struct peer *peer);
/* What is pending waits until the socket is writable. */
void output_keep_pending(struct bus *bus, struct peer *peer);
void output_want_writable(struct bus *bus, struct peer *peer, bool want);
void output_flush_peer(struct bus *bus, struct peer *peer);

#endif
