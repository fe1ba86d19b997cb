/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_TEXT_H
#define OMNIBUS_TEXT_H

#include "base/span.h"
#include "bpf/program.h"

/* Texts in messages, compared four bytes at a time. D-Bus specification, "Marshaling". */

#define TEXT_MAX 255u /* longer ones are in no message that goes directly */

/* The length n of a text as BPF, which is big-endian, reads it from a message. */
static inline uint32_t text_length(uint32_t n, bool big_endian)
{
    return big_endian ? n : __builtin_bswap32(n);
}

/* The bytes 4 * i to 4 * i + 3, zeros behind its end, as BPF reads them */
uint32_t text_word(struct span text, uint32_t i);
static inline uint32_t text_words(uint32_t n)
{
    return n / 4 + (n % 4 != 0);
}

/*
 * Goes on if packet[X + offset] has the text's bytes, else to otherwise. Reads no byte behind the first four
 * that differ, and none behind the text.
 */
void text_compare(struct program *p, struct span text, uint32_t offset, uint32_t otherwise);
/* The same from its end on, where texts differ that begin alike; so many bytes have to be there. */
void text_compare_back(struct program *p, struct span text, uint32_t offset, uint32_t otherwise);

#endif
