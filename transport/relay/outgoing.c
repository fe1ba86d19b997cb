/* SPDX-License-Identifier: MIT */
#include "outgoing.h"

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

static struct outgoing *outgoing_copy(const struct outgoing *out)
{
    size_t rest = out->buffer ? 0 : out->rest_size; /* what stands in a buffer of its own stays there */
    size_t size = (size_t)out->head_size + rest;
    struct outgoing *copy = malloc(sizeof(*copy) + size);
    if (!copy)
        return NULL;
    uint8_t *data = (uint8_t *)(copy + 1);
    memcpy(data, out->head, out->head_size);
    if (rest)
        memcpy(data + out->head_size, out->rest, rest);
    *copy = (struct outgoing){.head = data, .head_size = (uint32_t)size, .references = 1, .uid = out->uid};
    copy->fds = fds_ref(out->fds);
    if (out->buffer) {
        copy->buffer = buffer_ref(out->buffer);
        copy->rest = out->rest;
        copy->rest_size = out->rest_size;
    }
    if (out->payer)
        token_charge(&copy->token, out->payer, outgoing_size(out), out->fds ? out->fds->n : 0);
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
