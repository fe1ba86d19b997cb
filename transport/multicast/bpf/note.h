/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_NOTE_H
#define OMNIBUS_NOTE_H

#include "bpf/program.h"
#include "wire/message.h"

#include <linux/unix_multicast.h>

/*
 * The note: what the first filter found out about a message, so that the others need not. A note says that
 * the message is well-formed, whether it is addressed, and where four of its fields are. Compiling these
 * checks into the filters of each member would cost the kernel more than most filters save. A note has 32
 * bits: the kind, and four offsets in units of eight bytes, 0 for a field that is absent.
 */
#define NOTE_ADDRESSED UMC_UNICAST
#define NOTE_BROADCAST UMC_MULTICAST /* a signal without DESTINATION */

enum note_place {
    NOTE_DESTINATION, /* in a broadcast: SIGNATURE */
    NOTE_PATH,        /* in replies: REPLY_SERIAL */
    NOTE_INTERFACE,   /* in errors: ERROR_NAME */
    NOTE_MEMBER,
    NOTE_PLACES,
};

#define NOTE_BITS 7u
#define NOTE_UNIT 3u /* offsets are multiples of 1 << 3 */
#define NOTE_SHIFT(place) (NOTE_BITS * (place))
#define NOTE_OFFSETS (((1u << NOTE_BITS) - 1) << NOTE_UNIT)

/* The field whose offset is noted at this place for addressed messages of this type; 0: none. */
uint8_t noted_field(uint8_t type, enum note_place place);

/* A = the note. */
static inline void note_load(struct program *p)
{
    program_load(p, BPF_W, (uint32_t)(SKF_AD_OFF + SKF_AD_RXHASH));
}

/* A = the offset noted at this place. */
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
