/* SPDX-License-Identifier: MIT */
#include "bpf/text.h"

#include <endian.h>
#include <string.h>

uint32_t text_word(struct span text, uint32_t i)
{
    uint32_t word = 0;
    uint32_t at = 4 * i;
    if (at < text.n && text.n - at >= 4) {
        memcpy(&word, text.s + at, 4);
        return be32toh(word);
    }
    for (; at < 4 * i + 4; at++)
        word = word << 8 | (at < text.n ? (uint8_t)text.s[at] : 0u);
    return word;
}

static void compare_piece(struct program *p, uint16_t size, uint32_t offset, uint32_t value,
                          uint32_t otherwise)
{
    program_load_at(p, size, offset);
    program_if(p, BPF_JEQ, value, PROGRAM_NEXT, otherwise);
}

void text_compare(struct program *p, struct span text, uint32_t offset, uint32_t otherwise)
{
    uint32_t at = 0;
    for (; at + 4 <= text.n; at += 4)
        compare_piece(p, BPF_W, offset + at, text_word(text, at / 4), otherwise);
    uint32_t rest = text_word(text, at / 4);
    if (text.n - at >= 2) {
        compare_piece(p, BPF_H, offset + at, rest >> 16, otherwise);
        at += 2;
        rest <<= 16;
    }
    if (text.n - at == 1)
        compare_piece(p, BPF_B, offset + at, rest >> 24, otherwise);
}

void text_compare_back(struct program *p, struct span text, uint32_t offset, uint32_t otherwise)
{
    if (text.n < 4) {
        text_compare(p, text, offset, otherwise);
        return;
    }
    for (uint32_t end = text.n; end > 0; end -= end < 4 ? end : 4) {
        const struct span last = {text.s + (end < 4 ? 0 : end - 4), 4};
        compare_piece(p, BPF_W, offset + (uint32_t)(last.s - text.s), text_word(last, 0), otherwise);
    }
}
