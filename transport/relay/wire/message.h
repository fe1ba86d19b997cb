/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_MESSAGE_H
#define OMNIBUS_MESSAGE_H

#include "base/span.h"

#include <stddef.h>

/* D-Bus specification, "Message Protocol"; build.py gives these to cffi. */
/* cffi: begin */
enum message_type {
    MESSAGE_METHOD_CALL = 1,
    MESSAGE_METHOD_RETURN = 2,
    MESSAGE_ERROR = 3,
    MESSAGE_SIGNAL = 4,
};

enum message_flag {
    MESSAGE_NO_REPLY_EXPECTED = 1,
    MESSAGE_NO_AUTO_START = 2,
    MESSAGE_ALLOW_INTERACTIVE_AUTHORIZATION = 4,
};

enum message_field {
    FIELD_PATH = 1,
    FIELD_INTERFACE = 2,
    FIELD_MEMBER = 3,
    FIELD_ERROR_NAME = 4,
    FIELD_REPLY_SERIAL = 5,
    FIELD_DESTINATION = 6,
    FIELD_SENDER = 7,
    FIELD_SIGNATURE = 8,
    FIELD_UNIX_FDS = 9,
    FIELD_CONTAINER_INSTANCE = 10, /* libdbus knows it since 1.13; buses take it out */
};
/* cffi: end */

#define MESSAGE_FIXED_SIZE 16u /* up to and with the length of the fields array */
#define MESSAGE_MAX_SIZE (128u * 1024 * 1024)
#define MESSAGE_MAX_ARRAY (64u * 1024 * 1024)
#define MESSAGE_MAX_DEPTH 64u
#define MESSAGE_MAX_NAME 255u
#define MESSAGE_MAX_SIGNATURE 255u
#define MESSAGE_MAX_STAMP_PREFIX (MESSAGE_FIXED_SIZE + 8u + MESSAGE_MAX_NAME + 1u)
#define MESSAGE_MAX_MATCH_ARGS 64u

/* One message as it stands in a buffer: nothing is copied, all spans point into data. */
struct message {
    const uint8_t *data;
    uint32_t size;        /* of the whole message */
    uint32_t fields_size; /* length of the header fields array, without padding */
    uint32_t body_offset;
    uint32_t body_size;
    uint32_t serial;
    uint32_t reply_serial; /* 0: none */
    uint32_t n_fds;
    uint8_t type;
    uint8_t flags;
    bool big_endian;
    bool rewrite; /* carries a SENDER or fields to be left out: its header can't be stitched */
    struct span path, interface, member, error_name, destination, sender, signature;
};

enum message_error {
    MESSAGE_OK = 0,
    MESSAGE_INCOMPLETE,
    MESSAGE_BAD_ENDIAN,
    MESSAGE_BAD_VERSION,
    MESSAGE_BAD_TYPE,
    MESSAGE_BAD_SERIAL,
    MESSAGE_TOO_LONG,
    MESSAGE_BAD_FIELDS_LENGTH,
    MESSAGE_BAD_FIELD, /* a field's signature, or its framing */
    MESSAGE_DUPLICATE_FIELD,
    MESSAGE_MISSING_FIELD,
    MESSAGE_BAD_PATH,
    MESSAGE_BAD_INTERFACE,
    MESSAGE_BAD_MEMBER,
    MESSAGE_BAD_ERROR_NAME,
    MESSAGE_BAD_DESTINATION,
    MESSAGE_BAD_SENDER,
    MESSAGE_BAD_SIGNATURE,
    MESSAGE_BAD_REPLY_SERIAL,
    MESSAGE_BAD_PADDING,
    MESSAGE_BAD_STRING,
    MESSAGE_BAD_BOOLEAN,
    MESSAGE_BAD_ARRAY,
    MESSAGE_BAD_VARIANT,
    MESSAGE_BAD_DEPTH,
    MESSAGE_BAD_BODY_LENGTH, /* the body is shorter or longer than its signature says */
    MESSAGE_ERROR_COUNT,
};

/* What a person would want to read of an error; never NULL. */
const char *message_error_text(enum message_error error);
const char *message_type_name(uint8_t type); /* as match rules have it; "invalid" */

/*
 * The size of the message that begins at data, from its first 16 bytes.
 * MESSAGE_INCOMPLETE when fewer than 16 are there; any other error means that the stream is lost.
 * max is max_message_size, at most MESSAGE_MAX_SIZE. *size is set only on MESSAGE_OK, 16 <= *size <= max.
 */
enum message_error message_frame(const uint8_t *data, size_t available, uint32_t max, uint32_t *size);

/*
 * Reads and validates the whole message, header and body, in place (what libdbus' validator rejects is
 * rejected). size is message_frame's. data needs no alignment. m is all zero before it is filled.
 */
enum message_error message_parse(struct message *m, const uint8_t *data, uint32_t size);

/*
 * The message as it goes on: SENDER replaced by sender (a valid bus name), unknown fields and
 * CONTAINER_INSTANCE left out, byte order kept. The result may be longer than any limit that the message was
 * held against.
 */
/* Bytes that message_stamp needs at out; never more than m->body_offset + sender.n + 32. */
uint32_t message_stamped_header_size(const struct message *m, struct span sender);
/* Writes the header and its padding; what follows is m->data + m->body_offset, m->body_size bytes. */
uint32_t message_stamp(const struct message *m, struct span sender, uint8_t *out);
/*
 * Without copying the fields, if m->rewrite is false: writes at most MESSAGE_MAX_STAMP_PREFIX bytes and
 * returns how many; what follows is m->data + MESSAGE_FIXED_SIZE, m->size - MESSAGE_FIXED_SIZE bytes.
 */
uint32_t message_stamp_prefix(const struct message *m, struct span sender, uint8_t *out);

/* The body's arguments one by one, for match rules. Only on a message that message_parse accepted. */
struct message_args {
    const struct message *m;
    uint32_t offset;    /* in the body */
    uint32_t signature; /* in the signature */
};
struct message_arg {
    char type;        /* the first character of the argument's signature */
    struct span text; /* for 's', 'o' and 'g' */
    uint32_t number;  /* for 'u', 'i', 'b', 'h', 'q', 'n', 'y' */
};
void message_args_begin(struct message_args *args, const struct message *m);
bool message_args_next(struct message_args *args, struct message_arg *arg); /* false: no more */

/* Names, "Valid Names". All false for an empty span. */
bool name_is_bus_name(struct span name); /* unique or well-known */
bool name_is_unique(struct span name);   /* begins with ':' (and is a valid bus name) */
bool name_is_well_known(struct span name);
bool name_is_interface(struct span name);
bool name_is_member(struct span name);
bool name_is_error(struct span name);
bool name_is_path(struct span path);
bool name_is_namespace(struct span name); /* arg0namespace: a bus name that may have one element only */
bool text_is_utf8(struct span text);      /* valid UTF-8 without NUL */
bool signature_is_valid(struct span signature);

#endif
