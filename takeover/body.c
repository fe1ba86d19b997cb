/* SPDX-License-Identifier: MIT */
#include "body.h"

#include "wire/wire.h"

bool body_begin(struct body *body, const struct message *m, const char *signature)
{
    struct span found = {m->signature.s ? m->signature.s : "", m->signature.n};
    *body = (struct body){m, m->body_offset, false};
    body->failed = !span_equal(found, span_of(signature));
    return !body->failed;
}

void body_align(struct body *body, uint32_t alignment)
{
    /* a body begins at a multiple of eight */
    uint32_t at = wire_align(body->at, alignment);
    body->failed |= at > body->m->size;
    if (!body->failed)
        body->at = at;
}

uint32_t body_uint32(struct body *body)
{
    body_align(body, 4);
    if (body->failed || body->m->size - body->at < 4) {
        body->failed = true;
        return 0;
    }
    uint32_t value = wire_load32(body->m->data + body->at, body->m->big_endian != WIRE_HOST_BIG_ENDIAN);
    body->at += 4;
    return value;
}

struct span body_string(struct body *body)
{
    uint32_t n = body_uint32(body);
    if (body->failed || body->m->size - body->at <= n) {
        body->failed = true;
        return (struct span){"", 0};
    }
    struct span text = {(const char *)body->m->data + body->at, n};
    body->at += n + 1;
    return text;
}

uint32_t body_array(struct body *body, uint32_t alignment)
{
    uint32_t n = body_uint32(body);
    body_align(body, alignment);
    body->failed |= body->m->size - body->at < n;
    return body->failed ? body->at : body->at + n;
}
