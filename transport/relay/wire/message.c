/* SPDX-License-Identifier: MIT */
#include "wire/wire.h"

/* D-Bus specification, "Message Format" */

enum {
    OFFSET_TYPE = 1,
    OFFSET_FLAGS = 2,
    OFFSET_VERSION = 3,
    OFFSET_BODY_SIZE = 4,
    OFFSET_SERIAL = 8,
    OFFSET_FIELDS_SIZE = 12,

    /* A field's variant lies within the array of fields and a struct. */
    FIELD_DEPTH = 2,
};

#define FIELD_BIT(field) (1u << (field))
/* Fields that require the header to be rewritten: see message_stamp */
#define FIELDS_REPLACED (FIELD_BIT(FIELD_SENDER) | FIELD_BIT(FIELD_CONTAINER_INSTANCE))

/* The type of each known field. */
static const char field_types[] = {
    [FIELD_PATH] = 'o',         [FIELD_INTERFACE] = 's',
    [FIELD_MEMBER] = 's',       [FIELD_ERROR_NAME] = 's',
    [FIELD_REPLY_SERIAL] = 'u', [FIELD_DESTINATION] = 's',
    [FIELD_SENDER] = 's',       [FIELD_SIGNATURE] = 'g',
    [FIELD_UNIX_FDS] = 'u',     [FIELD_CONTAINER_INSTANCE] = 'o',
};

/* The required fields of each message type; unknown types require none. */
static const uint16_t fields_required[256] = {
    [MESSAGE_METHOD_CALL] = FIELD_BIT(FIELD_PATH) | FIELD_BIT(FIELD_MEMBER),
    [MESSAGE_METHOD_RETURN] = FIELD_BIT(FIELD_REPLY_SERIAL),
    [MESSAGE_ERROR] = FIELD_BIT(FIELD_ERROR_NAME) | FIELD_BIT(FIELD_REPLY_SERIAL),
    [MESSAGE_SIGNAL] = FIELD_BIT(FIELD_PATH) | FIELD_BIT(FIELD_INTERFACE) | FIELD_BIT(FIELD_MEMBER),
};

/* The state of reading a header; signature_ends belong to the SIGNATURE field. */
struct header_reader {
    struct message *m;
    bool swap;
    uint32_t end; /* of the fields array */
    uint8_t signature_ends[MESSAGE_MAX_SIGNATURE + 1];
};

enum message_error message_frame(const uint8_t *data, size_t available, uint32_t max, uint32_t *size)
{
    if (available < MESSAGE_FIXED_SIZE)
        return MESSAGE_INCOMPLETE;
    if (data[0] != 'l' && data[0] != 'B')
        return MESSAGE_BAD_ENDIAN;
    if (data[OFFSET_VERSION] != 1)
        return MESSAGE_BAD_VERSION;
    const bool swap = (data[0] == 'B') != WIRE_HOST_BIG_ENDIAN;
    const uint32_t fields_size = wire_load32(data + OFFSET_FIELDS_SIZE, swap);
    const uint32_t body_size = wire_load32(data + OFFSET_BODY_SIZE, swap);
    if (fields_size > MESSAGE_MAX_ARRAY)
        return MESSAGE_BAD_FIELDS_LENGTH;
    const uint64_t whole = (uint64_t)wire_align(MESSAGE_FIXED_SIZE + fields_size, 8) + body_size;
    if (whole > max)
        return MESSAGE_TOO_LONG;
    *size = (uint32_t)whole;
    return MESSAGE_OK;
}

/* libdbus reserves these for messages that it synthesizes, and compares prefixes only. */
static inline bool is_local_path(struct span path)
{
    return span_starts(path, SPAN("/org/freedesktop/DBus/Local"));
}

static inline bool is_local_interface(struct span interface)
{
    return span_starts(interface, SPAN("org.freedesktop.DBus.Local"));
}

/* Stores the text of a field if it is valid for that field. */
static enum message_error keep_text(struct header_reader *h, unsigned field, struct span text)
{
    struct message *m = h->m;
    switch (field) {
    case FIELD_PATH:
        m->path = text;
        return name_is_path(text) && !is_local_path(text) ? MESSAGE_OK : MESSAGE_BAD_PATH;
    case FIELD_INTERFACE:
        m->interface = text;
        return name_is_interface(text) && !is_local_interface(text) ? MESSAGE_OK : MESSAGE_BAD_INTERFACE;
    case FIELD_MEMBER:
        m->member = text;
        return name_is_member(text) ? MESSAGE_OK : MESSAGE_BAD_MEMBER;
    case FIELD_ERROR_NAME:
        m->error_name = text;
        return name_is_error(text) ? MESSAGE_OK : MESSAGE_BAD_ERROR_NAME;
    case FIELD_DESTINATION:
        m->destination = text;
        return name_is_bus_name(text) ? MESSAGE_OK : MESSAGE_BAD_DESTINATION;
    case FIELD_SENDER:
        m->sender = text;
        return name_is_bus_name(text) ? MESSAGE_OK : MESSAGE_BAD_SENDER;
    case FIELD_SIGNATURE:
        m->signature = text;
        return wire_read_signature(text, h->signature_ends) >= 0 ? MESSAGE_OK : MESSAGE_BAD_SIGNATURE;
    default:
        return name_is_path(text) ? MESSAGE_OK : MESSAGE_BAD_FIELD;
    }
}

static enum message_error keep_number(struct message *m, unsigned field, uint32_t number)
{
    if (field == FIELD_UNIX_FDS) {
        m->n_fds = number;
        return MESSAGE_OK;
    }
    m->reply_serial = number;
    return number ? MESSAGE_OK : MESSAGE_BAD_REPLY_SERIAL;
}

/*
 * Reads a known field at an offset that is a multiple of eight: its code, the signature of its type, and the
 * value, which no known type pads. The eight bytes after *at are readable, because the header is padded.
 */
static enum message_error read_known_field(struct header_reader *h, unsigned field, uint32_t *at)
{
    const uint8_t *s = h->m->data + *at;
    const uint32_t left = h->end - *at;
    const char type = field_types[field];
    uint32_t n, prefix;

    if (s[1] != 1 || s[2] != (uint8_t)type || s[3] != 0)
        return MESSAGE_BAD_FIELD;
    if (type == 'g') {
        n = s[4];
        prefix = 5;
    } else {
        n = wire_load32(s + 4, h->swap);
        prefix = 8;
    }
    if (type == 'u') {
        if (left < prefix)
            return MESSAGE_BAD_FIELD;
        *at += prefix;
        return keep_number(h->m, field, n);
    }
    if (left <= prefix || n >= left - prefix || s[prefix + n] != 0)
        return MESSAGE_BAD_FIELD;
    *at += prefix + n + 1;
    return keep_text(h, field, (struct span){(const char *)s + prefix, n});
}

/* Skips an unknown field, which may be any well-formed variant. */
static enum message_error read_unknown_field(struct header_reader *h, uint32_t *at)
{
    struct wire_reader r = {.data = h->m->data, .at = *at + 1, .end = h->end, .swap = h->swap};
    enum message_error error = h->m->data[*at] ? wire_read_variant(&r, FIELD_DEPTH) : MESSAGE_BAD_FIELD;
    *at = r.at;
    return error == MESSAGE_BAD_BODY_LENGTH ? MESSAGE_BAD_FIELD : error;
}

static enum message_error read_fields(struct header_reader *h)
{
    struct message *m = h->m;
    uint32_t at = MESSAGE_FIXED_SIZE, seen = 0;
    while (at < h->end) {
        const uint8_t field = m->data[at];
        enum message_error error;
        if (field - 1u < FIELD_CONTAINER_INSTANCE) {
            if (seen & FIELD_BIT(field))
                return MESSAGE_DUPLICATE_FIELD;
            seen |= FIELD_BIT(field);
            error = read_known_field(h, field, &at);
        } else {
            m->rewrite = true;
            error = read_unknown_field(h, &at);
        }
        if (error)
            return error;
        /* up to the next field, or to the body after the last one */
        const uint32_t next = wire_align(at, 8);
        if (!wire_is_padding(m->data, at, next))
            return MESSAGE_BAD_PADDING;
        if (next >= h->end && at != h->end)
            return MESSAGE_BAD_FIELD;
        at = next;
    }
    m->rewrite |= (seen & FIELDS_REPLACED) != 0;
    return (seen & fields_required[m->type]) == fields_required[m->type] ? MESSAGE_OK : MESSAGE_MISSING_FIELD;
}

static enum message_error read_body(const struct header_reader *h)
{
    const struct message *m = h->m;
    struct wire_reader r = {.data = m->data, .at = m->body_offset, .end = m->size, .swap = h->swap};
    enum message_error error = wire_read_values(&r, m->signature, h->signature_ends);
    if (error)
        return error;
    return r.at == r.end ? MESSAGE_OK : MESSAGE_BAD_BODY_LENGTH;
}

/* Reads the header of a message of that size; its body need not be there yet. */
static enum message_error read_header(struct header_reader *h, const uint8_t *data, uint32_t size)
{
    struct message *m = h->m;
    m->big_endian = data[0] == 'B';
    h->swap = m->big_endian != WIRE_HOST_BIG_ENDIAN;
    m->type = data[OFFSET_TYPE];
    m->flags = data[OFFSET_FLAGS];
    m->body_size = wire_load32(data + OFFSET_BODY_SIZE, h->swap);
    m->body_offset = size - m->body_size;
    m->serial = wire_load32(data + OFFSET_SERIAL, h->swap);
    m->fields_size = wire_load32(data + OFFSET_FIELDS_SIZE, h->swap);
    h->end = MESSAGE_FIXED_SIZE + m->fields_size;
    if (m->type == 0)
        return MESSAGE_BAD_TYPE;
    if (m->serial == 0)
        return MESSAGE_BAD_SERIAL;
    return read_fields(h);
}

enum message_error message_parse(struct message *m, const uint8_t *data, uint32_t size)
{
    uint32_t framed = 0;
    *m = (struct message){.data = data, .size = size};
    enum message_error error = message_frame(data, size, MESSAGE_MAX_SIZE, &framed);
    if (error)
        return error;
    if (framed != size)
        return framed > size ? MESSAGE_INCOMPLETE : MESSAGE_TOO_LONG;

    struct header_reader h;
    h.m = m;
    error = read_header(&h, data, size);
    return error ? error : read_body(&h);
}

enum message_error message_parse_header(struct message *m, const uint8_t *data, size_t available)
{
    uint32_t size = 0;
    *m = (struct message){.data = data};
    enum message_error error = message_frame(data, available, MESSAGE_MAX_SIZE, &size);
    if (error)
        return error;
    const bool swap = (data[0] == 'B') != WIRE_HOST_BIG_ENDIAN;
    if (available < size - wire_load32(data + OFFSET_BODY_SIZE, swap))
        return MESSAGE_INCOMPLETE;
    struct header_reader h;
    h.m = m;
    m->size = size;
    return read_header(&h, data, size);
}

static const char *const message_error_texts[] = {
    [MESSAGE_OK] = "valid",
    [MESSAGE_INCOMPLETE] = "more bytes are needed",
    [MESSAGE_BAD_ENDIAN] = "the byte order is neither 'l' nor 'B'",
    [MESSAGE_BAD_VERSION] = "the protocol version is not 1",
    [MESSAGE_BAD_TYPE] = "the message type is 0",
    [MESSAGE_BAD_SERIAL] = "the serial is 0",
    [MESSAGE_TOO_LONG] = "the message is too long",
    [MESSAGE_BAD_FIELDS_LENGTH] = "the header fields are too long",
    [MESSAGE_BAD_FIELD] = "a header field is malformed or of the wrong type",
    [MESSAGE_DUPLICATE_FIELD] = "a header field appears twice",
    [MESSAGE_MISSING_FIELD] = "a header field that this type of message needs is missing",
    [MESSAGE_BAD_PATH] = "an object path is not valid, or reserved",
    [MESSAGE_BAD_INTERFACE] = "the interface is not a valid name, or reserved",
    [MESSAGE_BAD_MEMBER] = "the member is not a valid name",
    [MESSAGE_BAD_ERROR_NAME] = "the error name is not a valid name",
    [MESSAGE_BAD_DESTINATION] = "the destination is not a valid bus name",
    [MESSAGE_BAD_SENDER] = "the sender is not a valid bus name",
    [MESSAGE_BAD_SIGNATURE] = "a signature is not valid",
    [MESSAGE_BAD_REPLY_SERIAL] = "the reply serial is 0",
    [MESSAGE_BAD_PADDING] = "alignment padding is not zero",
    [MESSAGE_BAD_STRING] = "a string is not valid UTF-8, contains NUL or does not end with it",
    [MESSAGE_BAD_BOOLEAN] = "a boolean is neither 0 nor 1",
    [MESSAGE_BAD_ARRAY] = "an array's length is not that of its elements, or too large",
    [MESSAGE_BAD_VARIANT] = "a variant's signature is not that of one complete type",
    [MESSAGE_BAD_DEPTH] = "values are nested too deeply",
    [MESSAGE_BAD_BODY_LENGTH] = "the body is shorter or longer than its signature says",
};

const char *message_error_text(enum message_error error)
{
    const char *text = (unsigned)error < MESSAGE_ERROR_COUNT ? message_error_texts[error] : NULL;
    return text ? text : "an unknown error";
}

const char *message_type_name(uint8_t type)
{
    static const char *const names[] = {"invalid", "method_call", "method_return", "error", "signal"};
    return type <= MESSAGE_SIGNAL ? names[type] : names[0];
}
