/* SPDX-License-Identifier: MIT */
#include "wire/wire.h"

/*
 * D-Bus specification, "Valid Names" and "Valid Object Paths". Where libdbus is more lenient, libdbus
 * decides.
 */

/*
 * The grammar of a name: elements of letters, '_', digits and perhaps dashes, with a separator between them.
 */
struct manner {
    char separator;
    bool dashes;
    bool digits_first; /* an element may begin with a digit */
};

/* Sixteen characters at once, because every message has several names to check. A mask has 0xff for "yes". */
typedef uint8_t block __attribute__((vector_size(16)));
typedef uint64_t block_words __attribute__((vector_size(16)));

struct scan {
    block bad;
    block separators;
};

static inline bool any(block mask)
{
    const block_words words = (block_words)mask;
    return words[0] | words[1];
}

static inline block load_block(const char *s)
{
    block v;
    memcpy(&v, s, sizeof(v));
    return v;
}

static inline block in_range(block v, char low, char high)
{
    return (block)(v - (uint8_t)low <= (uint8_t)(high - low));
}

/* before holds the predecessor of each character of v. */
static inline void scan_block(struct scan *scan, block v, block before, struct manner manner)
{
    const block digits = in_range(v, '0', '9');
    const block separators = (block)(v == (uint8_t)manner.separator);
    block first = in_range(v | 0x20, 'a', 'z') | (block)(v == '_');
    if (manner.dashes)
        first |= (block)(v == '-');
    if (manner.digits_first)
        first |= digits;
    scan->bad |= (block)(before == (uint8_t)manner.separator) & ~first;
    scan->bad |= ~(first | digits | separators);
    scan->separators |= separators;
}

/* Loads n characters (1 to 8), the first one into the lowest byte, followed by letters. */
static inline uint64_t load_word(const char *text, uint32_t n)
{
    const uint8_t *s = (const uint8_t *)text;
    if (n == 8)
        return wire_load64_le(s);
    uint64_t v = UINT64_C(0x6161616161616161) << 8 * n;
    for (uint32_t i = 0; i < n; i++)
        v |= (uint64_t)s[i] << 8 * i;
    return v;
}

/* Scans up to sixteen characters from the beginning, where no separator is allowed. */
static inline void scan_beginning(struct scan *scan, struct span text, struct manner manner)
{
    uint64_t low = load_word(text.s, text.n < 8 ? text.n : 8);
    uint64_t high = UINT64_C(0x6161616161616161);
    if (text.n > 8)
        high = load_word(text.s + 8, text.n < 16 ? text.n - 8 : 8);
    const block_words v = {low, high};
    const block_words before = {low << 8 | (uint8_t)manner.separator, high << 8 | low >> 56};
    scan_block(scan, (block)v, (block)before, manner);
}

static inline __attribute__((always_inline)) struct scan scan_text(struct span text, struct manner manner)
{
    struct scan scan = {0};
    if (text.n == 0 || text.s[text.n - 1] == manner.separator) {
        scan.bad = ~scan.bad;
        return scan;
    }
    scan_beginning(&scan, text, manner);
    uint32_t i = 16;
    for (; i + 16 <= text.n; i += 16)
        scan_block(&scan, load_block(text.s + i), load_block(text.s + i - 1), manner);
    if (i < text.n) /* the last sixteen, which overlap the block before */
        scan_block(&scan, load_block(text.s + text.n - 16), load_block(text.s + text.n - 17), manner);
    return scan;
}

bool name_is_unique(struct span name)
{
    /* libdbus accepts ":" alone, and ":.1" too */
    const struct manner manner = {.separator = '.', .dashes = true, .digits_first = true};
    if (name.n == 0 || name.n > MESSAGE_MAX_NAME || name.s[0] != ':')
        return false;
    if (name.n == 1)
        return true;
    const uint32_t from = name.s[1] == '.' ? 2 : 1;
    return !any(scan_text((struct span){name.s + from, name.n - from}, manner).bad);
}

bool name_is_well_known(struct span name)
{
    const struct scan scan = scan_text(name, (struct manner){.separator = '.', .dashes = true});
    return name.n <= MESSAGE_MAX_NAME && !any(scan.bad) && any(scan.separators);
}

bool name_is_bus_name(struct span name)
{
    return name.n && name.s[0] == ':' ? name_is_unique(name) : name_is_well_known(name);
}

bool name_is_namespace(struct span name)
{
    if (name.n && name.s[0] == ':')
        return name_is_unique(name);
    return name.n <= MESSAGE_MAX_NAME &&
           !any(scan_text(name, (struct manner){.separator = '.', .dashes = true}).bad);
}

bool name_is_interface(struct span name)
{
    const struct scan scan = scan_text(name, (struct manner){.separator = '.'});
    return name.n <= MESSAGE_MAX_NAME && !any(scan.bad) && any(scan.separators);
}

bool name_is_error(struct span name)
{
    return name_is_interface(name);
}

bool name_is_member(struct span name)
{
    const struct scan scan = scan_text(name, (struct manner){.separator = '.'});
    return name.n <= MESSAGE_MAX_NAME && !any(scan.bad) && !any(scan.separators);
}

bool name_is_path(struct span path)
{
    const struct manner manner = {.separator = '/', .digits_first = true};
    if (path.n == 0 || path.s[0] != '/')
        return false;
    return path.n == 1 || !any(scan_text((struct span){path.s + 1, path.n - 1}, manner).bad);
}
