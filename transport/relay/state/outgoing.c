/* SPDX-License-Identifier: MIT */
#include "state/outgoing.h"

#include <string.h>
#include <unistd.h>

struct fds *fds_new(const int *fd, uint32_t n)
{
    struct fds *fds = malloc(sizeof(*fds) + n * sizeof(*fd));
    if (!fds) {
        for (uint32_t i = 0; i < n; i++)
            close(fd[i]);
        return NULL;
    }
    fds->references = 1;
    fds->n = n;
    memcpy(fds->fd, fd, n * sizeof(*fd));
    return fds;
}

struct fds *fds_ref(struct fds *fds)
{
    if (fds)
        fds->references++;
    return fds;
}

void fds_unref(struct fds *fds)
{
    if (!fds || --fds->references > 0)
        return;
    for (uint32_t i = 0; i < fds->n; i++)
        close(fds->fd[i]);
    free(fds);
}

struct outgoing *outgoing_new(size_t room, uint32_t uid, struct fds *fds)
{
    struct outgoing *copy = malloc(sizeof(*copy) + room);
    if (!copy)
        return NULL;
    *copy = (struct outgoing){.head = (uint8_t *)(copy + 1),
                              .head_size = (uint32_t)room,
                              .references = 1,
                              .uid = uid,
                              .fds = fds_ref(fds),
                              .cost = memory_cost(sizeof(*copy) + room) + fds_cost(fds)};
    return copy;
}

void outgoing_charge(struct outgoing *copy, struct account *payer)
{
    token_charge(&copy->token, payer, copy->cost, copy->fds ? copy->fds->n : 0);
}

/* A message that fills less than half of its buffer is copied instead of keeping the buffer. */
static bool stays_in_buffer(const struct outgoing *out)
{
    return out->buffer && out->rest_size >= out->buffer->capacity / 2;
}

static struct outgoing *outgoing_copy(const struct outgoing *out)
{
    bool stays = stays_in_buffer(out);
    size_t rest = stays ? 0 : out->rest_size;
    struct outgoing *copy = outgoing_new((size_t)out->head_size + rest, out->uid, out->fds);
    if (!copy)
        return NULL;
    uint8_t *data = (uint8_t *)(copy + 1);
    memcpy(data, out->head, out->head_size);
    if (rest)
        memcpy(data + out->head_size, out->rest, rest);
    if (stays) {
        copy->buffer = buffer_ref(out->buffer);
        copy->rest = out->rest;
        copy->rest_size = out->rest_size;
        copy->cost += buffer_cost(out->buffer);
    }
    if (out->payer)
        outgoing_charge(copy, out->payer);
    return copy;
}

struct outgoing *outgoing_keep(struct outgoing *out)
{
    if (!out->kept && !(out->kept = outgoing_copy(out)))
        return NULL;
    out->kept->references++;
    return out->kept;
}

void outgoing_unref(struct outgoing *kept)
{
    if (!kept || --kept->references > 0)
        return;
    fds_unref(kept->fds);
    buffer_unref(kept->buffer);
    token_release(&kept->token);
    free(kept);
}
