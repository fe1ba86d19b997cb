/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_TEST_TAKEOVER_MESSAGES_H
#define OMNIBUS_TEST_TAKEOVER_MESSAGES_H

#include "../relay/check.h"

#include "wire/marshal.h"
#include "wire/message.h"

#define BUS_NAME "org.freedesktop.DBus"

/* Messages as a daemon sends them. Each call returns its bytes in a buffer that bytes_free frees. */
struct bytes {
    uint8_t *data;
    size_t n;
};

static inline struct bytes bytes_of(struct marshal *w)
{
    struct bytes bytes = {NULL, 0};
    if (marshal_end(w) && (bytes.data = malloc(w->size))) {
        memcpy(bytes.data, w->data, w->size);
        bytes.n = w->size;
    }
    marshal_free(w);
    return bytes;
}

static inline void bytes_free(struct bytes *bytes)
{
    free(bytes->data);
    *bytes = (struct bytes){NULL, 0};
}

/* A message without a body. */
static inline struct bytes message_of(struct marshal_header header)
{
    struct marshal w = {0};
    if (header.type != MESSAGE_METHOD_RETURN && header.type != MESSAGE_ERROR && !header.path.s)
        header.path = SPAN("/");
    if (header.type == MESSAGE_SIGNAL && !header.interface.s)
        header.interface = SPAN("a.b");
    marshal_begin(&w, &header);
    return bytes_of(&w);
}

/* A signal whose body is one string. */
static inline struct bytes signal_of(uint32_t serial, const char *member, const char *text)
{
    struct marshal w = {0};
    const struct marshal_header header = {.type = MESSAGE_SIGNAL,
                                          .serial = serial,
                                          .path = SPAN("/"),
                                          .interface = SPAN("a.b"),
                                          .member = span_of(member),
                                          .signature = SPAN("s")};
    marshal_begin(&w, &header);
    marshal_string(&w, span_of(text));
    return bytes_of(&w);
}

/* The answer of ListNames and the like. */
static inline struct bytes strings_of(const char *const *texts, size_t n)
{
    struct marshal w = {0};
    struct span spans[32];
    const struct marshal_header header = {
        .type = MESSAGE_METHOD_RETURN, .serial = 1, .reply_serial = 1, .signature = SPAN("as")};
    for (size_t i = 0; i < n; i++)
        spans[i] = span_of(texts[i]);
    marshal_begin(&w, &header);
    marshal_string_array(&w, spans, n);
    return bytes_of(&w);
}

/* True if they are one message. */
static inline bool parse_bytes(struct message *m, const struct bytes *bytes)
{
    uint32_t size;
    return bytes->data && message_frame(bytes->data, bytes->n, MESSAGE_MAX_SIZE, &size) == MESSAGE_OK &&
           size == bytes->n && message_parse(m, bytes->data, size) == MESSAGE_OK;
}

#endif
