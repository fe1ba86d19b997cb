/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_BATCH_H
#define OMNIBUS_BATCH_H

#include "state/outgoing.h"

#include <stdbool.h>

#define BATCH_INPUT_SIZE (1024u * 1024) /* size of the one receive buffer */
#define BATCH_STAMPED_SIZE (256u * 1024)
#define BATCH_SMALL 2048u /* messages up to this size are copied, so that neighbours share an iovec */
#define BATCH_DELIVERIES 65536u

struct batch_chunk;

/* The memory of one wake-up: received bytes, outgoing messages and deliveries. Valid until the flush. */
struct batch {
    uint8_t *input;
    size_t input_used;
    uint8_t *stamped;
    size_t stamped_used;
    struct batch_chunk *chunks; /* the first one is never freed */
    struct batch_chunk *current;
    struct outgoing *outgoings;
    uint32_t n_cells;
};

int batch_init(struct batch *batch);
void batch_free(struct batch *batch);
struct outgoing *batch_outgoing(struct batch *batch);     /* zeroed and listed; NULL: no memory */
struct delivery *batch_delivery(struct batch *batch);     /* NULL: no memory */
uint8_t *batch_stamped(struct batch *batch, size_t size); /* NULL: full until the flush */
bool batch_full(const struct batch *batch);               /* a flush is due before the next message */
size_t batch_cells_memory(const struct batch *batch,
                          size_t *used); /* bytes of deliveries and outgoing messages */
void batch_reset(struct batch *batch);   /* frees all but the input */

#endif
