/* SPDX-License-Identifier: MIT */
#ifndef FUZZ_WIRE_H
#define FUZZ_WIRE_H

#include "bytes.h"

#include <stdbool.h>

/* Implemented independently of the relay: a shared error would not be found. */

enum wire_type { WIRE_CALL = 1, WIRE_RETURN, WIRE_ERROR, WIRE_SIGNAL };
enum wire_field {
    WIRE_PATH = 1,
    WIRE_INTERFACE,
    WIRE_MEMBER,
    WIRE_ERROR_NAME,
    WIRE_REPLY_SERIAL,
    WIRE_DESTINATION,
    WIRE_SENDER,
    WIRE_SIGNATURE,
    WIRE_UNIX_FDS,
    WIRE_CONTAINER_INSTANCE, /* of Containers1 */
    WIRE_FIELDS,
};
#define WIRE_NO_REPLY 1u
#define WIRE_NO_AUTO_START 2u
#define WIRE_FIXED 16u
#define WIRE_MAX (128u << 20)

/* A message to be written or read. Absent fields have NULL texts. */
struct message {
    uint8_t type, flags;
    bool big;
    uint32_t serial, reply_serial, n_fds;
    const char *text[WIRE_FIELDS];
    const char *unknown; /* an unknown header field */
    const uint8_t *body;
    uint32_t body_size, size;
};

void wire_put_u32(struct bytes *b, bool big, uint32_t value);
void wire_put_string(struct bytes *b, bool big, const char *text);
uint32_t wire_u32(const uint8_t *at, bool big);
/* Writes the header with its padding; returns its size. */
size_t wire_put_header(struct bytes *b, const struct message *message, uint32_t body_size);
/* The size of the message that begins here; 0: too few bytes; SIZE_MAX: malformed. */
size_t wire_frame(const uint8_t *data, size_t have);
/* False: malformed. Texts point into data. */
bool wire_read(const uint8_t *data, size_t size, struct message *message);
/* The first argument, a string; NULL: the body has none. */
const char *wire_string(const struct message *message);

#endif
