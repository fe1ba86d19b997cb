/* SPDX-License-Identifier: MIT */
#include "state/prepared.h"

#include "base/table.h"

#include <stdlib.h>

void prepared_init(struct prepared *prepared)
{
    list_init(&prepared->all);
    prepared->n = 0;
}

void prepared_free(struct prepared *prepared)
{
    LIST_FOR_SAFE (at, after, &prepared->all) {
        list_unlink(at);
        free(CONTAINER_OF(at, struct prepared_reply, in_all));
    }
}

static const uint8_t *copy_bytes(char **to, const void *bytes, size_t size)
{
    const void *copy = size ? memcpy(*to, bytes, size) : *to;
    *to += size;
    return copy;
}

static struct span copy_text(char **to, struct span text)
{
    return (struct span){text.s ? (const char *)copy_bytes(to, text.s, text.n) : NULL, text.n};
}

void prepared_add(struct prepared *prepared, const struct message *call, struct span signature,
                  const uint8_t *body, size_t size)
{
    size_t texts =
        (size_t)call->path.n + call->interface.n + call->member.n + call->signature.n + signature.n;
    if (prepared->n == PREPARED_MAX || prepared_find(prepared, call))
        return;
    struct prepared_reply *reply = malloc(sizeof(*reply) + texts + call->body_size + size);
    if (!reply)
        return;
    char *to = reply->data;
    reply->path = copy_text(&to, call->path);
    reply->interface = copy_text(&to, call->interface);
    reply->member = copy_text(&to, call->member);
    reply->arguments = copy_text(&to, call->signature);
    reply->signature = copy_text(&to, signature);
    reply->big_endian = call->big_endian;
    reply->argument = copy_bytes(&to, call->data + call->body_offset, call->body_size);
    reply->argument_size = call->body_size;
    reply->body = copy_bytes(&to, body, size);
    reply->size = size;
    list_append(&prepared->all, &reply->in_all);
    prepared->n++;
}

const struct prepared_reply *prepared_find(const struct prepared *prepared, const struct message *call)
{
    LIST_FOR (at, &prepared->all) {
        const struct prepared_reply *reply = CONTAINER_OF(at, struct prepared_reply, in_all);
        if (reply->argument_size == call->body_size && span_equal(reply->member, call->member) &&
            span_equal(reply->path, call->path) && !reply->interface.s == !call->interface.s &&
            span_equal(reply->interface, call->interface) && span_equal(reply->arguments, call->signature) &&
            reply->big_endian == call->big_endian &&
            !memcmp(reply->argument, call->data + call->body_offset, call->body_size))
            return reply;
    }
    return NULL;
}
