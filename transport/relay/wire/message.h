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
    FIELD_CONTAINER_INSTANCE = 10, /* known to libdbus since 1.13; a bus removes the sender's */
};
/* cffi: end */

#define MESSAGE_FIXED_SIZE 16u /* includes the length of the fields array */
#define MESSAGE_MAX_SIZE (128u * 1024 * 1024)
#define MESSAGE_MAX_ARRAY (64u * 1024 * 1024)
#define MESSAGE_MAX_DEPTH 64u
#define MESSAGE_MAX_NAME 255u
#define MESSAGE_MAX_SIGNATURE 255u
#define MESSAGE_MAX_STAMP_PREFIX (MESSAGE_FIXED_SIZE + 8u + MESSAGE_MAX_NAME + 1u)
#define MESSAGE_MAX_MATCH_ARGS 64u

/* A parsed message. Nothing is copied: all spans point into data. */
struct message {
    const uint8_t *data;
    uint32_t size;        /* the whole message */
    uint32_t fields_size; /* length of the header fields array, without padding */
    uint32_t body_offset;
    uint32_t body_size;
    uint32_t serial;
    uint32_t reply_serial; /* 0: none */
    uint32_t n_fds;
    uint8_t type;
    uint8_t flags;
    bool big_endian;
    bool rewrite; /* has a SENDER or fields to be removed, so its header is rewritten */
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
    MESSAGE_BAD_FIELD, /* the signature or framing of a field */
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
    MESSAGE_BAD_BODY_LENGTH, /* the body is shorter or longer than its signature requires */
    MESSAGE_ERROR_COUNT,
};

/* A description of the error for the log; never NULL. */
const char *message_error_text(enum message_error error);
const char *message_type_name(uint8_t type); /* as in match rules; "invalid" if unknown */

/*
 * Reads the size of a message from its first 16 bytes. MESSAGE_INCOMPLETE: fewer than 16 are available; any
 * other error makes the stream unusable. max is max_message_size, at most MESSAGE_MAX_SIZE. *size is set only
 * on MESSAGE_OK, 16 <= *size <= max.
 */
enum message_error message_frame(const uint8_t *data, size_t available, uint32_t max, uint32_t *size);

/*
 * Parses and validates the whole message, header and body, in place; it rejects what libdbus' validator
 * rejects. size is the one of message_frame. data needs no alignment. m is zeroed first.
 */
enum message_error message_parse(struct message *m, const uint8_t *data, uint32_t size);
/*
 * The same for the header alone, of a message that is too large to be kept: the body is neither read nor
 * checked. MESSAGE_INCOMPLETE: the header is longer than what is available.
 */
enum message_error message_parse_header(struct message *m, const uint8_t *data, size_t available);

/*
 * The forwarded message: SENDER is replaced by sender (a valid bus name), unknown fields and
 * CONTAINER_INSTANCE are removed, the byte order is kept. The result may exceed the size limit that the
 * message was checked against.
 */
/* The bytes that message_stamp writes; at most m->body_offset + sender.n + 32. */
uint32_t message_stamped_header_size(const struct message *m, struct span sender);
/* Writes the header and its padding; the body follows: m->body_size bytes at m->data + m->body_offset. */
uint32_t message_stamp(const struct message *m, struct span sender, uint8_t *out);
/*
 * The same without copying the fields, only if m->rewrite is false: writes at most MESSAGE_MAX_STAMP_PREFIX
 * bytes and returns how many; m->size - MESSAGE_FIXED_SIZE bytes at m->data + MESSAGE_FIXED_SIZE follow.
 */
uint32_t message_stamp_prefix(const struct message *m, struct span sender, uint8_t *out);

/*
 * message_stamp with CONTAINER_INSTANCE, an object path, behind the other fields; returns the size of the
 * header. NULL for out: it only counts. m->data may be a message of the bus.
 */
uint32_t message_stamp_instance(const struct message *m, struct span sender, struct span instance,
                                uint8_t *out);

/* An iterator over the arguments of a body, for match rules. The message must have passed message_parse. */
struct message_args {
    const struct message *m;
    uint32_t offset;    /* within the body */
    uint32_t signature; /* within the signature */
};
struct message_arg {
    char type;        /* the first character of the argument's signature */
    struct span text; /* for 's', 'o' and 'g' */
    uint32_t number;  /* for 'u', 'i', 'b', 'h', 'q', 'n', 'y' */
};
void message_args_begin(struct message_args *args, const struct message *m);
bool message_args_next(struct message_args *args, struct message_arg *arg); /* false: no more */

/* D-Bus specification, "Valid Names". All are false for an empty span. */
bool name_is_bus_name(struct span name); /* unique or well-known */
bool name_is_unique(struct span name);   /* a valid bus name that begins with ':' */
bool name_is_well_known(struct span name);
bool name_is_interface(struct span name);
bool name_is_member(struct span name);
bool name_is_error(struct span name);
bool name_is_path(struct span path);
bool name_is_namespace(struct span name); /* arg0namespace: as a bus name, but one element is enough */
bool text_is_utf8(struct span text);      /* valid UTF-8 without NUL */
bool signature_is_valid(struct span signature);

#endif
