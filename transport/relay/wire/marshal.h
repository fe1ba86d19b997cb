/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_MARSHAL_H
#define OMNIBUS_MARSHAL_H

#include "wire/message.h"

/* Fields that are 0 or have no text (s is NULL) are left out. */
struct marshal_header {
    uint8_t type;
    uint8_t flags;
    uint32_t serial;
    uint32_t reply_serial;
    uint32_t n_fds;
    struct span path, interface, member, error_name, destination, sender, signature;
};

/*
 * A message that the bus itself sends, little-endian, in a buffer that grows. What goes wrong (no memory, too
 * long) is kept in failed: everything after it does nothing, and marshal_end tells. Start with a zeroed
 * struct; marshal_begin may be called again to reuse the buffer. Strings are not validated.
 */
struct marshal {
    uint8_t *data;
    size_t size;     /* written so far; the whole message after marshal_end */
    size_t capacity; /* of data */
    size_t body;     /* offset of the body */
    bool failed;
    struct marshal_header header;
};

/* Writes the header; the body's arguments follow in the order of header->signature. */
void marshal_begin(struct marshal *w, const struct marshal_header *header);
/* Writes the length of the body. True when the message stands, whole, in data[0 .. size). */
bool marshal_end(struct marshal *w);
/*
 * After marshal_end: what message_parse would find, without reading it again. The texts are those that
 * marshal_begin was given, so they have to be there still, and valid; so does the body.
 */
void marshal_message(const struct marshal *w, struct message *m);
/* Frees the buffer; the struct is zeroed. */
void marshal_free(struct marshal *w);

void marshal_byte(struct marshal *w, uint8_t value);
void marshal_uint32(struct marshal *w, uint32_t value);
void marshal_uint64(struct marshal *w, uint64_t value);
void marshal_boolean(struct marshal *w, bool value);
void marshal_string(struct marshal *w, struct span text); /* 's' and 'o'; no text is the empty string */
void marshal_signature(struct marshal *w, struct span signature);
void marshal_string_array(struct marshal *w, const struct span *texts, size_t n);
/* Bytes as they are, at the present offset: a body (or the rest of one) that is marshalled already. */
void marshal_raw(struct marshal *w, const void *bytes, size_t n);
void marshal_align(struct marshal *w,
                   unsigned alignment); /* a power of two, at most 8; struct and dict entry: 8 */

/*
 * An array whose elements are put one by one in between; alignment is its element's. begin returns a mark for
 * end. A variant is its signature (marshal_signature), then its value.
 */
size_t marshal_array_begin(struct marshal *w, unsigned alignment);
void marshal_array_end(struct marshal *w, size_t mark, unsigned alignment);

#endif
