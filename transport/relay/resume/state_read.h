/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_STATE_READ_H
#define OMNIBUS_STATE_READ_H

#include "base/span.h"
#include "resume/state.h"

/* Where the sections of a state are. */
struct state_view {
    const uint8_t *bytes;
    size_t size;
    struct state_place {
        const uint8_t *content; /* NULL: there is no such section */
        size_t size;
        uint16_t version;
    } places[STATE_SECTIONS];
    uint32_t n_skipped; /* sections of unknown types */
};

/*
 * Reads the content of one section. Beyond its end, or after an error, all values are 0 and failed is set:
 * the calls need not be checked one by one, but counts are bounded by state_count only.
 */
struct state_reader {
    const uint8_t *at, *end;
    bool failed;
};

/*
 * Finds the sections and checks all sums. 0, or -EINVAL with a text in why: it is no state, or has something
 * critical that this version does not know. check false: the sums were checked before.
 */
int state_open(struct state_view *view, const uint8_t *bytes, size_t size, bool check, char *why,
               size_t why_size);
/* Checks a series of sections, without the header of the state. Returns their number; -EINVAL. */
int64_t state_check_sections(const uint8_t *sections, size_t size);
struct state_reader state_section(const struct state_view *view, uint32_t type);

uint8_t state_get8(struct state_reader *r);
uint16_t state_get16(struct state_reader *r);
uint32_t state_get32(struct state_reader *r);
uint64_t state_get64(struct state_reader *r);
/* Bytes in place. */
const uint8_t *state_get(struct state_reader *r, size_t size); /* NULL: there are fewer */
struct span state_get_bytes(struct state_reader *r);           /* preceded by their length */
/* The number of elements that follow, of which each takes at least this many bytes. */
uint32_t state_count(struct state_reader *r, size_t least);
/* Flags, of which only those below the end may be set. */
uint32_t state_get_flags(struct state_reader *r, uint32_t end);
static inline bool state_at_end(const struct state_reader *r)
{
    return !r->failed && r->at == r->end;
}

#endif
