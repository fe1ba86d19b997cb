/* SPDX-License-Identifier: MIT */
#include "wire/wire.h"

/* D-Bus specification, "Type System" */

#define FIXED(size)                                                                                          \
    {                                                                                                        \
        .alignment = (size), .fixed = (size), .basic = true                                                  \
    }
#define TEXT(align)                                                                                          \
    {                                                                                                        \
        .alignment = (align), .basic = true                                                                  \
    }
#define CONTAINER(align)                                                                                     \
    {                                                                                                        \
        .alignment = (align)                                                                                 \
    }

const struct wire_type wire_types[256] = {
    ['y'] = FIXED(1),     ['b'] = FIXED(4),     ['n'] = FIXED(2), ['q'] = FIXED(2),     ['i'] = FIXED(4),
    ['u'] = FIXED(4),     ['h'] = FIXED(4),     ['x'] = FIXED(8), ['t'] = FIXED(8),     ['d'] = FIXED(8),
    ['s'] = TEXT(4),      ['o'] = TEXT(4),      ['g'] = TEXT(1),  ['a'] = CONTAINER(4), ['v'] = CONTAINER(1),
    ['('] = CONTAINER(8), ['{'] = CONTAINER(8),
};

/* An open bracket; the first one stands for the whole signature. */
struct bracket {
    char kind;
    uint8_t at;
    uint8_t arrays;   /* number of 'a' before it */
    uint8_t elements; /* number of complete types in it */
};

struct signature_reader {
    struct bracket open[2 * WIRE_MAX_TYPE_DEPTH + 1];
    unsigned depth;
    unsigned structs, dict_entries;
    unsigned arrays; /* number of 'a' whose element type is still to come */
};

static bool open_bracket(struct signature_reader *r, char kind, uint32_t at)
{
    if (kind == '(' ? ++r->structs > WIRE_MAX_TYPE_DEPTH
                    : r->arrays == 0 || ++r->dict_entries > WIRE_MAX_TYPE_DEPTH)
        return false;
    r->open[++r->depth] = (struct bracket){kind, (uint8_t)at, (uint8_t)r->arrays, 0};
    r->arrays = 0;
    return true;
}

/* Closes the innermost bracket. The arrays in front of it then lack their element type. */
static bool close_bracket(struct signature_reader *r, char kind)
{
    const struct bracket *b = &r->open[r->depth];
    if (b->kind != kind || r->arrays)
        return false;
    if (kind == '(') {
        r->structs--;
        if (b->elements == 0)
            return false;
    } else {
        r->dict_entries--;
        if (b->elements != 2)
            return false;
    }
    r->arrays = b->arrays;
    r->depth--;
    return true;
}

/* Completes the type from first to end, and the arrays of it. */
static void complete(struct signature_reader *r, uint32_t first, uint32_t end, uint8_t *ends)
{
    for (; r->arrays; r->arrays--)
        ends[--first] = (uint8_t)end;
    r->open[r->depth].elements++;
}

int wire_read_signature(struct span signature, uint8_t ends[MESSAGE_MAX_SIGNATURE + 1])
{
    if (signature.n > MESSAGE_MAX_SIGNATURE)
        return -1;
    struct signature_reader r;
    r.depth = r.structs = r.dict_entries = r.arrays = 0;
    r.open[0] = (struct bracket){0};

    for (uint32_t i = 0; i < signature.n; i++) {
        const char c = signature.s[i];
        uint32_t first = i;
        if (c == 'a') {
            if (++r.arrays > WIRE_MAX_TYPE_DEPTH)
                return -1;
            continue;
        }
        if (c == '(' || c == '{') {
            if (!open_bracket(&r, c, i))
                return -1;
            continue;
        }
        if (c == ')' || c == '}') {
            first = r.open[r.depth].at;
            if (!close_bracket(&r, c == ')' ? '(' : '{'))
                return -1;
        } else if (wire_type(c).alignment == 0) {
            return -1;
        }
        /* the key of a dict entry is basic */
        const struct bracket *outer = &r.open[r.depth];
        if (outer->kind == '{' && outer->elements == 0 && (r.arrays || !wire_type(c).basic))
            return -1;
        complete(&r, first, i + 1, ends);
    }
    return r.depth == 0 && r.arrays == 0 ? r.open[0].elements : -1;
}

bool signature_is_valid(struct span signature)
{
    uint8_t ends[MESSAGE_MAX_SIGNATURE + 1];
    return wire_read_signature(signature, ends) >= 0;
}
