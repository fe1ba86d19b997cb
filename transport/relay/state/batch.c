/* SPDX-License-Identifier: MIT */
#include "state/batch.h"

#include <errno.h>
#include <string.h>

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

uint8_t *batch_stamped(struct batch *batch, size_t size)
{
    if (size > BATCH_STAMPED_SIZE - batch->stamped_used)
        return NULL;
    uint8_t *p = batch->stamped + batch->stamped_used;
    batch->stamped_used += size;
    return p;
}

bool batch_full(const struct batch *batch)
{
    return batch->n_cells > BATCH_DELIVERIES || batch->stamped_used > BATCH_STAMPED_SIZE - 2 * BATCH_SMALL;
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
