/* SPDX-License-Identifier: MIT */
#ifndef FUZZ_WIRE_H
#define FUZZ_WIRE_H

#include "bytes.h"

#include <stdbool.h>

/* Written here anew, and not shared with the relay: what both got wrong would not be found. */

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
    WIRE_FIELDS,
};
#define WIRE_NO_REPLY 1u
#define WIRE_NO_AUTO_START 2u
#define WIRE_FIXED 16u
#define WIRE_MAX (128u << 20)

/* A message, to be written or as it was read. Texts are NULL where the field is absent. */
struct letter {
    uint8_t type, flags;
    bool big;
    uint32_t serial, reply_serial, n_fds;
    const char *text[WIRE_FIELDS];
    const char *unknown; /* a field that the specification doesn't know */
    const uint8_t *body;
    uint32_t body_size, size;
};

void wire_put_u32(struct bytes *b, bool big, uint32_t value);
void wire_put_string(struct bytes *b, bool big, const char *text);
uint32_t wire_u32(const uint8_t *at, bool big);
/* The header with its padding. Returns its size. */
size_t wire_put_header(struct bytes *b, const struct letter *letter, uint32_t body_size);
/* The size of the message that begins here; 0: too little of it is there; SIZE_MAX: it is none. */
size_t wire_frame(const uint8_t *data, size_t have);
/* False: it is not well-formed. Texts point into data. */
bool wire_read(const uint8_t *data, size_t size, struct letter *letter);
/* The first argument, a string; NULL: the body has none. */
const char *wire_string(const struct letter *letter);

#endif
