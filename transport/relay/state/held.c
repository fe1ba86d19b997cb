/* SPDX-License-Identifier: MIT */
#include "state/held.h"

#include <string.h>

static struct span moved(struct span span, const struct message *from, const uint8_t *to)
{
    if (span.s)
        span.s = (const char *)to + ((const uint8_t *)span.s - from->data);
    return span;
}

struct held *held_new(const struct message *m, struct fds *fds, struct account *payer, uint64_t beside)
{
    struct held *held = malloc(sizeof(*held) + m->size);
    if (!held)
        return NULL;
    memcpy(held->data, m->data, m->size);
    held->m = *m;
    held->m.data = held->data;
    struct span *const spans[] = {&held->m.path,       &held->m.interface,   &held->m.member,
                                  &held->m.error_name, &held->m.destination, &held->m.sender,
                                  &held->m.signature};
    for (size_t i = 0; i < sizeof(spans) / sizeof(*spans); i++)
        *spans[i] = moved(*spans[i], m, held->data);
    held->fds = fds_ref(fds);
    held->token = (struct token){0};
    uint64_t cost = memory_cost(sizeof(*held) + m->size) + fds_cost(fds) + beside;
    token_charge(&held->token, payer, cost, fds ? fds->n : 0);
    return held;
}

void held_free(struct held *held)
{
    if (!held)
        return;
    fds_unref(held->fds);
    token_release(&held->token);
    free(held);
}
