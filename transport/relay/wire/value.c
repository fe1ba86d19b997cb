/* SPDX-License-Identifier: MIT */
#include "wire/wire.h"

/* D-Bus specification, "Marshaling": validation of values by their signature, in place. */

/* A position in the signature of the values being read. */
struct type_cursor {
    const char *s;
    const uint8_t *ends; /* of wire_read_signature */
    uint32_t i;
};

static enum message_error value_read(struct wire_reader *r, struct type_cursor *type, unsigned depth);

static inline enum message_error align(struct wire_reader *r, uint32_t alignment)
{
    const uint32_t to = wire_align(r->at, alignment);
    if (to > r->end)
        return MESSAGE_BAD_BODY_LENGTH;
    if (!wire_is_padding(r->data, r->at, to))
        return MESSAGE_BAD_PADDING;
    r->at = to;
    return MESSAGE_OK;
}

static inline enum message_error read_fixed(struct wire_reader *r, uint32_t size)
{
    enum message_error error = align(r, size);
    if (error)
        return error;
    if (r->end - r->at < size)
        return MESSAGE_BAD_BODY_LENGTH;
    r->at += size;
    return MESSAGE_OK;
}

static inline enum message_error read_uint32(struct wire_reader *r, uint32_t *value)
{
    enum message_error error = read_fixed(r, 4);
    if (error)
        return error;
    *value = wire_load32(r->data + r->at - 4, r->swap);
    return MESSAGE_OK;
}

static enum message_error read_boolean(struct wire_reader *r)
{
    uint32_t value;
    enum message_error error = read_uint32(r, &value);
    if (error)
        return error;
    return value <= 1 ? MESSAGE_OK : MESSAGE_BAD_BOOLEAN;
}

/* Reads n characters and their NUL. */
static inline enum message_error read_text(struct wire_reader *r, uint32_t n, struct span *text)
{
    if (n >= r->end - r->at)
        return MESSAGE_BAD_BODY_LENGTH;
    *text = (struct span){(const char *)r->data + r->at, n};
    r->at += n + 1;
    return text->s[n] == 0 ? MESSAGE_OK : MESSAGE_BAD_STRING;
}

static enum message_error read_string(struct wire_reader *r, char type)
{
    uint32_t n;
    struct span text;
    enum message_error error = read_uint32(r, &n);
    if (!error)
        error = read_text(r, n, &text);
    if (error)
        return error;
    if (type == 'o')
        return name_is_path(text) ? MESSAGE_OK : MESSAGE_BAD_PATH;
    return text_is_utf8(text) ? MESSAGE_OK : MESSAGE_BAD_STRING;
}

/* Reads the text of a signature, for 'g' and 'v'. */
static inline enum message_error read_signature_text(struct wire_reader *r, struct span *text)
{
    if (r->at >= r->end)
        return MESSAGE_BAD_BODY_LENGTH;
    const uint8_t n = r->data[r->at++];
    return read_text(r, n, text);
}

static enum message_error read_signature(struct wire_reader *r)
{
    struct span text;
    enum message_error error = read_signature_text(r, &text);
    if (error)
        return error;
    return signature_is_valid(text) ? MESSAGE_OK : MESSAGE_BAD_SIGNATURE;
}

enum message_error wire_read_variant(struct wire_reader *r, unsigned depth)
{
    struct span text;
    uint8_t ends[MESSAGE_MAX_SIGNATURE + 1];
    enum message_error error = read_signature_text(r, &text);
    if (error)
        return error == MESSAGE_BAD_STRING ? MESSAGE_BAD_VARIANT : error;
    const bool simple = text.n == 1 && (wire_type(text.s[0]).basic || text.s[0] == 'v');
    if (!simple && wire_read_signature(text, ends) != 1)
        return MESSAGE_BAD_VARIANT;
    if (depth == MESSAGE_MAX_DEPTH)
        return MESSAGE_BAD_DEPTH;
    struct type_cursor type = {text.s, ends, 0};
    return value_read(r, &type, depth + 1);
}

/* Reads n bytes of fixed-size elements, of which only booleans can be invalid. */
static enum message_error read_fixed_array(struct wire_reader *r, uint32_t n, char element)
{
    if (n & (wire_type(element).fixed - 1u))
        return MESSAGE_BAD_ARRAY;
    if (element == 'b') {
        uint32_t any = 0;
        for (uint32_t i = 0; i < n; i += 4)
            any |= wire_load32(r->data + r->at + i, r->swap);
        if (any > 1)
            return MESSAGE_BAD_BOOLEAN;
    }
    r->at += n;
    return MESSAGE_OK;
}

static enum message_error read_array(struct wire_reader *r, struct type_cursor *type, unsigned depth)
{
    const uint32_t first = type->i + 1;
    const struct wire_type element = wire_type(type->s[first]);
    uint32_t n;
    enum message_error error = read_uint32(r, &n);
    if (!error)
        error = align(r, element.alignment);
    if (error)
        return error;
    if (n > MESSAGE_MAX_ARRAY)
        return MESSAGE_BAD_ARRAY;
    if (n > r->end - r->at)
        return MESSAGE_BAD_BODY_LENGTH;

    type->i = type->ends[type->i];
    if (element.fixed)
        return read_fixed_array(r, n, type->s[first]);
    if (n && depth == MESSAGE_MAX_DEPTH)
        return MESSAGE_BAD_DEPTH;
    const uint32_t end = r->at + n;
    while (r->at < end) {
        struct type_cursor each = {type->s, type->ends, first};
        error = value_read(r, &each, depth + 1);
        if (error)
            return error;
    }
    return r->at == end ? MESSAGE_OK : MESSAGE_BAD_ARRAY;
}

/* Reads a struct or a dict entry. */
static enum message_error read_struct(struct wire_reader *r, struct type_cursor *type, unsigned depth)
{
    enum message_error error = align(r, 8);
    if (error)
        return error;
    if (depth == MESSAGE_MAX_DEPTH)
        return MESSAGE_BAD_DEPTH;
    type->i++;
    do {
        error = value_read(r, type, depth + 1);
        if (error)
            return error;
    } while (type->s[type->i] != ')' && type->s[type->i] != '}');
    type->i++;
    return MESSAGE_OK;
}

/*
 * Reads a value of the type at the cursor and advances the cursor. depth is the number of enclosing
 * containers.
 */
static enum message_error value_read(struct wire_reader *r, struct type_cursor *type, unsigned depth)
{
    const char code = type->s[type->i];
    switch (code) {
    case 'a':
        return read_array(r, type, depth);
    case '(':
    case '{':
        return read_struct(r, type, depth);
    }
    type->i++;
    switch (code) {
    case 's':
    case 'o':
        return read_string(r, code);
    case 'v':
        return wire_read_variant(r, depth);
    case 'g':
        return read_signature(r);
    case 'b':
        return read_boolean(r);
    default:
        return read_fixed(r, wire_type(code).fixed);
    }
}

enum message_error wire_read_values(struct wire_reader *r, struct span signature, const uint8_t *ends)
{
    struct type_cursor type = {signature.s, ends, 0};
    while (type.i < signature.n) {
        enum message_error error = value_read(r, &type, 0);
        if (error)
            return error;
    }
    return MESSAGE_OK;
}
