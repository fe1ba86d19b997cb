/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_TEXT_H
#define OMNIBUS_TEXT_H

#include "base/span.h"
#include "bpf/program.h"

/* Comparison of texts in messages, four bytes at a time. D-Bus specification, "Marshaling". */

#define TEXT_MAX 255u /* messages with longer ones never go directly */

/* The value of a text's length n as BPF, which is big-endian, loads it from a message. */
static inline uint32_t text_length(uint32_t n, bool big_endian)
{
    return big_endian ? n : __builtin_bswap32(n);
}

/* The bytes 4 * i to 4 * i + 3 as BPF loads them, zeros after the end of the text. */
uint32_t text_word(struct span text, uint32_t i);
static inline uint32_t text_words(uint32_t n)
{
    return n / 4 + (n % 4 != 0);
}

/*
 * Continues if packet[X + offset] has the bytes of the text, else jumps to otherwise. Reads no byte after the
 * first four that differ, and none after the text.
 */
void text_compare(struct program *p, struct span text, uint32_t offset, uint32_t otherwise);
/* The same from the end backwards, for texts that begin alike. That many bytes must be in the packet. */
void text_compare_back(struct program *p, struct span text, uint32_t offset, uint32_t otherwise);

#endif
