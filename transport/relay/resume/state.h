/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_STATE_H
#define OMNIBUS_STATE_H

#include "api/relay.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * The format of a state: what one omnibusd leaves to the next, in a sealed memfd.
 *
 * - A header (magic, format, number of sections), then the sections, and nothing behind them. The header of a
 *   section has its type, version, flags, length and sum; docs/understanding/state.md lists the contents.
 * - Numbers are little-endian and of fixed width, texts and arrays begin with their length or count, and
 *   there are no pointers: a peer is known by its id, all else by its place in an earlier section.
 * - A descriptor is a number, with the device and the inode that it has to lead to.
 * - A section of an unknown type is skipped, or refused if it is critical; so is one of a later version.
 *
 * The reader takes the bytes for hostile: whatever they are, it ends with an error or with a consistent bus.
 *
 * Shared structures were rejected: a new layout would forbid the upgrade. So was JSON, which has no bytes,
 * and takes ten times as long.
 */

#define STATE_MAGIC "OMNISTAT"
#define STATE_FORMAT 1u
#define STATE_HEADER 16u
#define STATE_SECTION_HEADER 20u /* type 2, version 2, flags 2, reserved 2, length 8, sum 4 */
#define STATE_SUMMED 16u         /* bytes of a section's header that are summed, after its content */
#define STATE_CRITICAL 1u        /* in flags */
#define STATE_NONE 0xffffffffu   /* in place of a place in another section */

/* enum relay_state_section; the control plane's are in relay.h, too. */
#define STATE_SECTIONS 64u

/* A peer's record: the bits of its flags. Never renumbered. */
enum state_peer_flag {
    STATE_PEER_SEQPACKET = 1u << 0,
    STATE_PEER_ACTIVE = 1u << 1,
    STATE_PEER_STOPPED = 1u << 2,
    STATE_PEER_UNSEEN = 1u << 3,
    STATE_PEER_BEGUN = 1u << 4,
    STATE_PEER_FDS_OPEN = 1u << 5,
    STATE_PEER_FDS_WAIT = 1u << 6,
    STATE_PEER_PAUSED = 1u << 7,
    STATE_PEER_WAITING = 1u << 8,
    STATE_PEER_READABLE = 1u << 9,
    STATE_PEER_HUNG_UP = 1u << 10,
    STATE_PEER_BIG_ENDIAN = 1u << 11,
    STATE_PEER_WIDE = 1u << 12,
    STATE_PEER_MENTIONED = 1u << 13,
    STATE_PEER_LOGGED = 1u << 14,
    STATE_PEER_AT_CONSOLE = 1u << 15,
    STATE_PEER_FD_PASSING = 1u << 16,
    STATE_PEER_PRIVILEGED = 1u << 17,
    STATE_PEER_FLAGS = 1u << 18,
};

/* Of a queue. */
enum state_queue_flag {
    STATE_QUEUE_STALLED = 1u << 0,
    STATE_QUEUE_REFUSAL_TOLD = 1u << 1,
    STATE_QUEUE_FLAGS = 1u << 2,
};

/* Who is charged for a queued message. */
enum state_payer {
    STATE_PAYER_NONE, /* the bus */
    STATE_PAYER_PEER,
    STATE_PAYER_MONITORS,
    STATE_PAYER_GONE, /* a peer that has left */
    STATE_PAYERS,
};

#endif
