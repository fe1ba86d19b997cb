/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_LINK_FRAME_H
#define OMNIBUS_LINK_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Messages on their way from one bus to another. The header is read by the parser of the data plane, so bytes
 * of another host meet the code that the bus's own clients meet; the body is checked by it and passed on as
 * it is, in its byte order. Only four things of a header change: serial, reply serial, sender and
 * destination.
 *
 * build.py gives the part between the cffi marks to cffi verbatim.
 */

/* cffi: begin */
struct frame { /* a message that was read; all pointers lead into data; NULL: absent */
    const uint8_t *data;
    const char *path, *interface, *member, *error_name, *sender, *destination, *signature;
    uint32_t path_size, interface_size, member_size, error_name_size;
    uint32_t sender_size, destination_size, signature_size;
    uint32_t size; /* of the whole message */
    uint32_t body_offset;
    uint32_t serial;
    uint32_t reply_serial; /* 0: none */
    uint32_t n_fds;
    uint8_t type;
    uint8_t flags;
    bool big_endian;
};

enum frame_result {
    FRAME_WHOLE = 0,
    FRAME_INCOMPLETE = 1, /* size is that of the message, or 0 where that is unknown */
    FRAME_TOO_LONG = 2,   /* larger than max: the header was read, size bytes are to be skipped */
};

/*
 * Reads the message at the beginning of the data. A negative result is an error after which the stream is
 * unusable, to be explained by frame_error. max bounds what is kept of one message: a longer header is such
 * an error.
 */
int frame_read(struct frame *frame, const uint8_t *data, size_t available, uint32_t max);
const char *frame_error(int result);

/* The most bytes that frame_forward writes for a destination and a sender of that many bytes. */
size_t frame_room(const struct frame *frame, size_t destination_size, size_t sender_size);
/*
 * Writes a whole message as it is to be sent: with another serial, destination and sender, with a reply
 * serial if that is not 0, without unknown fields. To a bus there is no sender, which the bus itself adds;
 * between hosts there is. Returns the size; 0: it would be too long.
 */
size_t frame_forward(const struct frame *frame, uint32_t serial, uint32_t reply_serial,
                     const char *destination, size_t destination_size, const char *sender, size_t sender_size,
                     uint8_t *out);

/* Whether a read from a socket would not block: there is data, or its end. */
bool has_input(int fd);
/*
 * Connects a Unix socket, with the ids that the kernel records in SO_PEERCRED. Only the calling thread has
 * them, and only during the call. 0, or a negative errno: -EPERM if the thread may not change them, and those
 * of connect(2). If it can't change them back the process ends, as it would go on as another user.
 */
int connect_as(int fd, const void *address, size_t size, uint32_t uid, uint32_t gid);
/* cffi: end */

#endif
