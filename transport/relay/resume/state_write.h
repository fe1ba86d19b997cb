/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_STATE_WRITE_H
#define OMNIBUS_STATE_WRITE_H

#include "base/crc32.h"
#include "base/span.h"
#include "resume/state.h"

#define STATE_BUFFER 65536u

/*
 * Writes a state to a file, which it truncates first. An error is kept, and ends all writing: the calls need
 * not be checked one by one. Too large for a stack.
 */
struct state_writer {
    int fd;
    int error;   /* 0 or a negative errno */
    uint64_t at; /* where the buffer goes */
    size_t used; /* of the buffer */
    uint32_t n_sections;
    uint64_t section; /* where the header of the open section goes */
    uint32_t sum;     /* of its content so far, without the buffer's from summed on */
    size_t summed;
    uint8_t head[STATE_SECTION_HEADER];
    struct crc32 crc;
    uint8_t buffer[STATE_BUFFER];
};

void state_write_begin(struct state_writer *w, int fd);
void state_section_begin(struct state_writer *w, uint16_t type, uint16_t version, bool critical);
void state_section_end(struct state_writer *w);
/* Appends whole sections, made elsewhere. */
void state_append(struct state_writer *w, const uint8_t *sections, size_t size, uint32_t n);
/* 0 or a negative errno; *size: that of the state. */
int state_write_end(struct state_writer *w, uint64_t *size);

void state_put(struct state_writer *w, const void *bytes, size_t size);
void state_put8(struct state_writer *w, uint8_t value);
void state_put16(struct state_writer *w, uint16_t value);
void state_put32(struct state_writer *w, uint32_t value);
void state_put64(struct state_writer *w, uint64_t value);
/* The length, and the bytes. */
void state_put_bytes(struct state_writer *w, const void *bytes, size_t size);
static inline void state_put_text(struct state_writer *w, struct span text)
{
    state_put_bytes(w, text.s, text.n);
}

#endif
