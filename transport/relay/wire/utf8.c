/* SPDX-License-Identifier: MIT */
#include "wire/wire.h"

/* True if eight bytes are all ASCII and none of them is NUL. */
static inline bool is_plain(const char *s)
{
    uint64_t v = wire_load64_le((const uint8_t *)s);
    return (((v - 0x0101010101010101u) | v) & 0x8080808080808080u) == 0;
}

static inline bool is_between(char c, uint8_t least, uint8_t most)
{
    return (uint8_t)c >= least && (uint8_t)c <= most;
}

/*
 * The length of the character at s; 0 if it is NUL, or not a Unicode scalar value in its shortest form. The
 * range of the second byte excludes overlong forms, surrogates and values above U+10FFFF.
 */
static uint32_t character_length(const char *s, uint32_t left)
{
    const uint8_t c = (uint8_t)s[0];
    if (c < 0x80)
        return c ? 1 : 0;
    if (c < 0xc2)
        return 0;
    if (c < 0xe0)
        return left >= 2 && is_between(s[1], 0x80, 0xbf) ? 2 : 0;
    if (c < 0xf0) {
        bool second = left >= 3 && is_between(s[1], c == 0xe0 ? 0xa0 : 0x80, c == 0xed ? 0x9f : 0xbf);
        return second && is_between(s[2], 0x80, 0xbf) ? 3 : 0;
    }
    if (c < 0xf5) {
        bool second = left >= 4 && is_between(s[1], c == 0xf0 ? 0x90 : 0x80, c == 0xf4 ? 0x8f : 0xbf);
        return second && is_between(s[2], 0x80, 0xbf) && is_between(s[3], 0x80, 0xbf) ? 4 : 0;
    }
    return 0;
}

bool text_is_utf8(struct span text)
{
    uint32_t i = 0;
    for (;;) {
        while (text.n - i >= 8 && is_plain(text.s + i))
            i += 8;
        if (text.n >= 8 && text.n - i < 8 && is_plain(text.s + text.n - 8))
            return true;
        /* a few characters one by one, then the fast way again */
        const uint32_t stop = text.n - i > 8 ? i + 8 : text.n;
        while (i < stop) {
            uint32_t length = character_length(text.s + i, text.n - i);
            if (length == 0)
                return false;
            i += length;
        }
        if (i == text.n)
            return true;
    }
}
