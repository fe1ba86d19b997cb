/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_WALK_H
#define OMNIBUS_WALK_H

#include "bpf/program.h"
#include "wire/message.h"

/* The header of a message, parsed by BPF. D-Bus specification, "Message Format". */

/* Slots of the scratch memory M. The slot of a field, whose number is its code, has its offset; 0: absent. */
enum walk_slot {
    SLOT_END = 0,      /* the end of the fields, without padding */
    SLOT_BODY = 7,     /* the size of the body, later its offset */
    SLOT_TYPE = 9,     /* 1 << enum message_type */
    SLOT_VERDICT = 10, /* the verdict so far */
    SLOT_SENDER = 11,  /* the index in the mark */
};

enum {
    WALK_TYPE = 1, /* offsets within the fixed part */
    WALK_FLAGS = 2,
    WALK_BODY_SIZE = 4,
    WALK_SERIAL = 8,
    WALK_FIELDS_SIZE = 12,
};

/*
 * Continues if the packet is one well-formed message, except for the characters of its texts and the values
 * of its body, with neither descriptors nor fields that the relay would remove; the slots up to
 * SLOT_SIGNATURE are filled. Otherwise it jumps to wrong.
 */
void walk_check(struct program *p, bool big_endian, uint32_t max_size, uint32_t wrong);

/* Continues if the message has this byte order. */
void walk_check_order(struct program *p, bool big_endian, uint32_t wrong);

/* SLOT_BODY = the offset of the body of a well-formed message. */
void walk_to_body(struct program *p, bool big_endian);

#endif
