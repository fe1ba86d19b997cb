/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_SPAN_H
#define OMNIBUS_SPAN_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* A text in a buffer owned elsewhere. s is NULL if there is no text. */
struct span {
    const char *s;
    uint32_t n;
};

#define SPAN(literal) ((struct span){(literal), sizeof(literal) - 1})

static inline struct span span_of(const char *s)
{
    return (struct span){s, s ? (uint32_t)strlen(s) : 0};
}

static inline bool span_equal(struct span a, struct span b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.s, b.s, a.n) == 0);
}

static inline bool span_starts(struct span a, struct span prefix)
{
    return a.n >= prefix.n && (prefix.n == 0 || memcmp(a.s, prefix.s, prefix.n) == 0);
}

/* True if a is prefix, or prefix followed by the separator and more. */
static inline bool span_below(struct span a, struct span prefix, char separator)
{
    return span_starts(a, prefix) && (a.n == prefix.n || a.s[prefix.n] == separator);
}

#endif
