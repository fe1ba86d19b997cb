/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_MARSHAL_H
#define OMNIBUS_MARSHAL_H

#include "wire/message.h"

/* The header of a message. Fields that are 0 or have no text (s is NULL) are omitted. */
struct marshal_header {
    uint8_t type;
    uint8_t flags;
    uint32_t serial;
    uint32_t reply_serial;
    uint32_t n_fds;
    struct span path, interface, member, error_name, destination, sender, signature;
};

/*
 * The writer of a message from the bus itself, little-endian, in a growing buffer. failed records any error
 * (no memory, too long): all later calls do nothing, and marshal_end returns false. The struct starts zeroed;
 * marshal_begin may be called again to reuse the buffer. Strings are not validated.
 */
struct marshal {
    uint8_t *data;
    size_t size;     /* bytes written; the size of the message after marshal_end */
    size_t capacity; /* of data */
    size_t body;     /* offset of the body */
    bool failed;
    struct marshal_header header;
};

/* Writes the header; the body's arguments follow in the order of header->signature. */
void marshal_begin(struct marshal *w, const struct marshal_header *header);
/* Writes the length of the body. True: the complete message is in data[0 .. size). */
bool marshal_end(struct marshal *w);
/*
 * After marshal_end: fills m as message_parse would, without parsing. m refers to the texts that were passed
 * to marshal_begin, which must still exist. They and the body must be valid.
 */
void marshal_message(const struct marshal *w, struct message *m);
/* Frees the buffer; the struct is zeroed. */
void marshal_free(struct marshal *w);

void marshal_byte(struct marshal *w, uint8_t value);
void marshal_uint32(struct marshal *w, uint32_t value);
void marshal_uint64(struct marshal *w, uint64_t value);
void marshal_boolean(struct marshal *w, bool value);
void marshal_string(struct marshal *w,
                    struct span text); /* 's' and 'o'; a span without text is the empty string */
void marshal_signature(struct marshal *w, struct span signature);
void marshal_string_array(struct marshal *w, const struct span *texts, size_t n);
/* Appends marshalled bytes at the current offset: a body, or the rest of one. */
void marshal_raw(struct marshal *w, const void *bytes, size_t n);
void marshal_align(struct marshal *w,
                   unsigned alignment); /* a power of two, at most 8; struct and dict entry: 8 */

/*
 * An array whose elements are written between begin and end; alignment is that of an element. begin returns a
 * mark for end. A variant is its signature (marshal_signature), then its value.
 */
size_t marshal_array_begin(struct marshal *w, unsigned alignment);
void marshal_array_end(struct marshal *w, size_t mark, unsigned alignment);

#endif
