/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_TAKEOVER_STREAM_H
#define OMNIBUS_TAKEOVER_STREAM_H

#include "wire/message.h"

#include <stddef.h>

/*
 * One direction of one connection, as far as it was seen: where its messages begin.
 *
 * A stream is out of step when watching begins, as that may be in the middle of a message. It comes in step
 * with a first whole message at its very beginning, or with one whose serial the daemon has passed on or
 * answered: that was read as a whole, so that the next message begins behind it.
 *
 * The bytes are hostile. Whatever they are, at most STREAM_MAX of them are kept, and a client that misleads
 * this file about its own stream gets its own stream wrong.
 */

#define STREAM_WINDOW (1u << 20)                       /* kept of a stream out of step */
#define STREAM_MAX ((size_t)MESSAGE_MAX_SIZE + 65536u) /* a message, and what was read with its end */

struct stream {
    uint8_t *bytes;
    size_t size, room;
    uint64_t begin; /* place of bytes[0], counted from where watching began */
    bool in_step;   /* bytes[0] begins a message */
    bool broken;    /* in step, and what follows is no message */
    bool failed;    /* no memory */
};

/* Called with each whole message of a stream in step, in order; it is valid during the call. */
typedef void (*stream_visit)(void *context, const struct message *message);

/* Which message was read as a whole. destination: NULL if any. */
struct stream_sought {
    uint8_t type;
    uint32_t serial;
    struct span member, destination;
};

/* Appends what was read or written. */
void stream_add(struct stream *s, const uint8_t *bytes, size_t n, stream_visit visit, void *context);
/*
 * Looks in a stream out of step for that message. True: it is in step, and what follows the message has been
 * visited.
 */
bool stream_find(struct stream *s, const struct stream_sought *sought, stream_visit visit, void *context);
/* The stream comes in step behind the first n bytes, which are dropped. */
void stream_enter(struct stream *s, size_t n, stream_visit visit, void *context);
/* Forgets what is kept, so that the stream begins anew with what comes next. */
void stream_reset(struct stream *s);
void stream_free(struct stream *s);

#endif
