/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_WALK_H
#define OMNIBUS_WALK_H

#include "bpf/program.h"
#include "wire/message.h"

/* The header of a message as BPF reads it. D-Bus specification, "Message Format". */

/* Of the scratch memory M. The slot of a field, which is its code, has its offset; 0: there is no such field
 */
enum walk_slot {
    SLOT_END = 0,      /* where the fields end, without padding */
    SLOT_BODY = 7,     /* the size of the body, or its offset */
    SLOT_TYPE = 9,     /* 1 << enum message_type */
    SLOT_VERDICT = 10, /* so far */
    SLOT_SENDER = 11,  /* index, from the mark */
};

enum {
    WALK_TYPE = 1, /* offsets of the fixed part */
    WALK_FLAGS = 2,
    WALK_BODY_SIZE = 4,
    WALK_SERIAL = 8,
    WALK_FIELDS_SIZE = 12,
};

/*
 * Goes on if the packet is one message that is right, up to the characters of its texts and the values in its
 * body, and that has no fields that the relay would take out or fds; the slots up to SLOT_SIGNATURE are
 * filled. Else to wrong.
 */
void walk_check(struct program *p, bool big_endian, uint32_t max_size, uint32_t wrong);

/* Goes on if it is in this byte order */
void walk_check_order(struct program *p, bool big_endian, uint32_t wrong);

/* SLOT_BODY = the offset of the body of a message that is right */
void walk_to_body(struct program *p, bool big_endian);

#endif
