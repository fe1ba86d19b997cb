/* SPDX-License-Identifier: MIT */

/* For all bytes: parsing stays within them, an accepted message can be stamped, and libdbus agrees. */

#include "../../transport/relay/wire/message.h"
#include "reference.h"

#include <stdlib.h>

#define SENDER SPAN(":1.42")
#define ASSERT(condition)                                                                                    \
    do {                                                                                                     \
        if (!(condition))                                                                                    \
            __builtin_trap();                                                                                \
    } while (0)

static bool lies_in(struct span text, const uint8_t *data, uint32_t size)
{
    const uint8_t *s = (const uint8_t *)text.s;
    return !s || (s >= data && s + text.n < data + size && s[text.n] == 0);
}

static void assert_spans(const struct message *m)
{
    const struct span spans[] = {m->path,        m->interface, m->member,   m->error_name,
                                 m->destination, m->sender,    m->signature};
    for (size_t i = 0; i < sizeof(spans) / sizeof(spans[0]); i++)
        ASSERT(lies_in(spans[i], m->data, m->body_offset));
    ASSERT(m->body_offset + m->body_size == m->size);
}

static void assert_args(const struct message *m)
{
    struct message_args args;
    struct message_arg arg;
    message_args_begin(&args, m);
    while (message_args_next(&args, &arg)) {
        ASSERT(args.offset <= m->body_size && args.signature <= m->signature.n);
        ASSERT(lies_in(arg.text, m->data + m->body_offset, m->body_size));
        ASSERT(arg.type != 's' || text_is_utf8(arg.text));
        ASSERT(arg.type != 'o' || name_is_path(arg.text));
        ASSERT(arg.type != 'g' || signature_is_valid(arg.text));
    }
    ASSERT(args.offset == m->body_size && args.signature == m->signature.n);
}

static void assert_same(const struct message *a, const struct message *b)
{
    ASSERT(a->type == b->type && a->flags == b->flags && a->serial == b->serial);
    ASSERT(a->reply_serial == b->reply_serial && a->n_fds == b->n_fds && a->big_endian == b->big_endian);
    ASSERT(span_equal(a->path, b->path) && span_equal(a->interface, b->interface));
    ASSERT(span_equal(a->member, b->member) && span_equal(a->error_name, b->error_name));
    ASSERT(span_equal(a->destination, b->destination) && span_equal(a->signature, b->signature));
    ASSERT(a->body_size == b->body_size);
    ASSERT(memcmp(a->data + a->body_offset, b->data + b->body_offset, a->body_size) == 0);
}

static void assert_stamps(const struct message *m)
{
    const uint32_t header_size = message_stamped_header_size(m, SENDER);
    ASSERT(header_size <= m->body_offset + SENDER.n + 32 && header_size % 8 == 0);
    uint8_t *out = malloc(header_size);
    ASSERT(out && message_stamp(m, SENDER, out) == header_size);
    if (!m->rewrite) {
        uint8_t prefix[MESSAGE_MAX_STAMP_PREFIX];
        const uint32_t n = message_stamp_prefix(m, SENDER, prefix);
        ASSERT(n + m->body_offset - MESSAGE_FIXED_SIZE == header_size && memcmp(out, prefix, n) == 0);
        ASSERT(memcmp(out + n, m->data + MESSAGE_FIXED_SIZE, header_size - n) == 0);
    }

    const uint32_t size = header_size + m->body_size;
    uint8_t *whole = realloc(out, size);
    ASSERT(whole);
    memcpy(whole + header_size, m->data + m->body_offset, m->body_size);
    struct message stamped;
    uint32_t framed;
    ASSERT(message_frame(whole, size, MESSAGE_MAX_SIZE, &framed) == MESSAGE_OK && framed == size);
    ASSERT(message_parse(&stamped, whole, size) == MESSAGE_OK);
    ASSERT(span_equal(stamped.sender, SENDER) && stamped.rewrite);
    assert_same(m, &stamped);
    free(whole);
}

static void try_message(const uint8_t *data, uint32_t size)
{
    struct message m;
    const enum message_error error = message_parse(&m, data, size);
    ASSERT(message_error_text(error)[0]);
    if (reference_load() && !(error == MESSAGE_OK && m.n_fds))
        ASSERT(reference_accepts(data, size) == (error == MESSAGE_OK));
    if (error)
        return;
    assert_spans(&m);
    assert_args(&m);
    assert_stamps(&m);
}

static uint32_t read_uint32(const uint8_t *at, bool big_endian)
{
    return big_endian ? (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3]
                      : (uint32_t)at[3] << 24 | (uint32_t)at[2] << 16 | (uint32_t)at[1] << 8 | at[0];
}

/* Sets the body length to the available bytes, so that more inputs reach the body. */
static bool correct_body_size(uint8_t *data, size_t size)
{
    const bool big_endian = data[0] == 'B';
    const uint64_t header = (16 + (uint64_t)read_uint32(data + 12, big_endian) + 7) & ~(uint64_t)7;
    if (header > size)
        return false;
    for (int i = 0; i < 4; i++)
        data[4 + i] = (uint8_t)((size - header) >> (big_endian ? 24 - 8 * i : 8 * i));
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint32_t framed = 0;
    if (message_frame(data, size, MESSAGE_MAX_SIZE, &framed) == MESSAGE_OK && framed <= size)
        try_message(data, framed);
    if (size < MESSAGE_FIXED_SIZE)
        return 0;
    uint8_t *copy = malloc(size);
    ASSERT(copy);
    memcpy(copy, data, size);
    if (correct_body_size(copy, size))
        try_message(copy, (uint32_t)size);
    free(copy);
    return 0;
}
