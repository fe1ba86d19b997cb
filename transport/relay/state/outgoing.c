/* SPDX-License-Identifier: MIT */
#include "state/outgoing.h"

#include <errno.h>
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

void fds_free(struct fds *fds)
{
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

#define CHUNK_SIZE 32768u

struct batch_chunk {
    struct batch_chunk *next;
    size_t used;
    max_align_t data[CHUNK_SIZE / sizeof(max_align_t)];
};

static struct batch_chunk *chunk_new(void)
{
    struct batch_chunk *chunk = malloc(sizeof(*chunk));
    if (chunk) {
        chunk->next = NULL;
        chunk->used = 0;
    }
    return chunk;
}

int batch_init(struct batch *batch)
{
    memset(batch, 0, sizeof(*batch));
    batch->input = malloc(BATCH_INPUT_SIZE);
    batch->stamped = malloc(BATCH_STAMPED_SIZE);
    batch->chunks = batch->current = chunk_new();
    if (batch->input && batch->stamped && batch->chunks)
        return 0;
    batch_free(batch);
    return -ENOMEM;
}

void batch_free(struct batch *batch)
{
    batch_reset(batch);
    free(batch->input);
    free(batch->stamped);
    free(batch->chunks);
    memset(batch, 0, sizeof(*batch));
}

static void *cell(struct batch *batch, size_t size)
{
    size = (size + 15) & ~(size_t)15;
    if (batch->current->used + size > CHUNK_SIZE) {
        struct batch_chunk *chunk = chunk_new();
        if (!chunk)
            return NULL;
        batch->current->next = chunk;
        batch->current = chunk;
    }
    void *p = (uint8_t *)batch->current->data + batch->current->used;
    batch->current->used += size;
    batch->n_cells++;
    return p;
}

struct outgoing *batch_outgoing(struct batch *batch)
{
    struct outgoing *out = cell(batch, sizeof(*out));
    if (!out)
        return NULL;
    memset(out, 0, sizeof(*out));
    out->next = batch->outgoings;
    batch->outgoings = out;
    return out;
}

struct delivery *batch_delivery(struct batch *batch)
{
    return cell(batch, sizeof(struct delivery));
}

size_t batch_cells_memory(const struct batch *batch, size_t *used)
{
    size_t size = 0;
    *used = 0;
    for (const struct batch_chunk *chunk = batch->chunks; chunk; chunk = chunk->next) {
        size += sizeof(*chunk);
        *used += chunk->used;
    }
    return size;
}

void batch_reset(struct batch *batch)
{
    for (struct outgoing *out = batch->outgoings; out; out = out->next) {
        fds_unref(out->fds);
        outgoing_unref(out->kept);
        buffer_unref(out->buffer);
        account_unref(out->payer);
    }
    batch->outgoings = NULL;
    batch->stamped_used = 0;
    batch->n_cells = 0;
    if (!batch->chunks)
        return;
    while (batch->chunks->next) {
        struct batch_chunk *chunk = batch->chunks->next;
        batch->chunks->next = chunk->next;
        free(chunk);
    }
    batch->chunks->used = 0;
    batch->current = batch->chunks;
}
