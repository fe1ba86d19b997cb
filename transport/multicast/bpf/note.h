/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_NOTE_H
#define OMNIBUS_NOTE_H

#include "bpf/program.h"
#include "wire/message.h"

#include <linux/unix_multicast.h>

/*
 * What the first filter has found out about a message, and all others need not find again: that it is right,
 * whether it is addressed to somebody, and where four of its fields are. To compile that for each member
 * would cost the kernel more than most filters are ever worth. 32 bits in all: the kind, and four times an
 * offset in units of eight bytes, 0 for a field that is not there.
 */
#define NOTE_ADDRESSED UMC_UNICAST
#define NOTE_BROADCAST UMC_MULTICAST /* a signal without DESTINATION */

enum note_place {
    NOTE_DESTINATION, /* of a broadcast: SIGNATURE */
    NOTE_PATH,        /* of replies: REPLY_SERIAL */
    NOTE_INTERFACE,   /* of errors: ERROR_NAME */
    NOTE_MEMBER,
    NOTE_PLACES,
};

#define NOTE_BITS 7u
#define NOTE_UNIT 3u /* offsets are multiples of 1 << 3 */
#define NOTE_SHIFT(place) (NOTE_BITS * (place))
#define NOTE_OFFSETS (((1u << NOTE_BITS) - 1) << NOTE_UNIT)

/* The field that is noted there of messages of this type that are addressed; 0: none. */
uint8_t noted_field(uint8_t type, enum note_place place);

/* A = the note */
static inline void note_load(struct program *p)
{
    program_load(p, BPF_W, (uint32_t)(SKF_AD_OFF + SKF_AD_RXHASH));
}

/* A = the offset that is noted there */
static inline void note_offset(struct program *p, enum note_place place)
{
    note_load(p);
    if (NOTE_SHIFT(place) > NOTE_UNIT)
        program_compute(p, BPF_RSH, NOTE_SHIFT(place) - NOTE_UNIT);
    else
        program_compute(p, BPF_LSH, NOTE_UNIT - NOTE_SHIFT(place));
    program_compute(p, BPF_AND, NOTE_OFFSETS);
}

#endif
