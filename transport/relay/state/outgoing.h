/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_OUTGOING_H
#define OMNIBUS_OUTGOING_H

#include "base/account.h"
#include "base/buffer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Descriptors of a message, shared by its receivers; closed with the last reference. */
struct fds {
    uint32_t references;
    uint32_t n;
    int fd[];
};

struct fds *fds_new(const int *fd, uint32_t n); /* takes ownership; NULL: no memory, they are closed */
void fds_free(struct fds *fds);

/* Both accept NULL. */
static inline struct fds *fds_ref(struct fds *fds)
{
    if (fds)
        fds->references++;
    return fds;
}

static inline void fds_unref(struct fds *fds)
{
    if (fds && --fds->references == 0)
        fds_free(fds);
}

static inline uint64_t fds_cost(const struct fds *fds)
{
    return fds ? memory_cost(sizeof(*fds) + fds->n * sizeof(*fds->fd)) : 0;
}

/*
 * A message in its outgoing form, the same bytes for all receivers: a head and the rest. During its wake-up
 * it points into the buffers of the wake-up. If a socket does not take it, one copy is made and kept.
 */
struct outgoing {
    const uint8_t *head;
    const uint8_t *rest;
    uint32_t head_size;
    uint32_t rest_size;
    struct fds *fds;
    struct buffer *buffer; /* holds the rest, if that outlives the wake-up; NULL otherwise */
    uint32_t uid;          /* uid of the sender; 0xffffffff: the bus */
    struct account *payer; /* charged for the copy; NULL: the bus */
    struct outgoing *kept; /* the copy; NULL: none yet */
    struct outgoing *next; /* in the list of the batch */
    uint32_t references;   /* of a copy; 0: it belongs to the batch */
    uint64_t cost;         /* of a copy: its memory, without its deliveries */
    struct token token;    /* of a copy */
};

static inline size_t outgoing_size(const struct outgoing *out)
{
    return (size_t)out->head_size + out->rest_size;
}

/* An empty copy with one reference and room for head and rest. NULL: no memory. */
struct outgoing *outgoing_new(size_t room, uint32_t uid, struct fds *fds);
/* Charges the copy to an account. */
void outgoing_charge(struct outgoing *copy, struct account *payer);
struct outgoing *outgoing_keep(struct outgoing *out); /* returns a reference to the copy; NULL: no memory */
void outgoing_unref(struct outgoing *kept);

/* One message to one receiver. */
struct delivery {
    struct delivery *next;
    struct outgoing *out;
};

/* The cost of one more receiver of a queued copy. */
#define DELIVERY_COST memory_cost(sizeof(struct delivery))

static inline uint64_t outgoing_cost(const struct outgoing *kept)
{
    return kept->cost + DELIVERY_COST;
}

struct delivery_list {
    struct delivery *first, *last;
    uint32_t count;
};

static inline void delivery_append(struct delivery_list *list, struct delivery *delivery)
{
    delivery->next = NULL;
    if (list->last)
        list->last->next = delivery;
    else
        list->first = delivery;
    list->last = delivery;
    list->count++;
}

static inline struct delivery *delivery_take(struct delivery_list *list)
{
    struct delivery *delivery = list->first;
    list->first = delivery->next;
    list->count--;
    if (!list->first)
        list->last = NULL;
    return delivery;
}

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
struct outgoing *batch_outgoing(struct batch *batch); /* zeroed and listed; NULL: no memory */
struct delivery *batch_delivery(struct batch *batch); /* NULL: no memory */
/* NULL: full until the flush. */
static inline uint8_t *batch_stamped(struct batch *batch, size_t size)
{
    if (size > BATCH_STAMPED_SIZE - batch->stamped_used)
        return NULL;
    uint8_t *p = batch->stamped + batch->stamped_used;
    batch->stamped_used += size;
    return p;
}
/* A flush is due before the next message. */
static inline bool batch_full(const struct batch *batch)
{
    return batch->n_cells > BATCH_DELIVERIES || batch->stamped_used > BATCH_STAMPED_SIZE - 2 * BATCH_SMALL;
}
size_t batch_cells_memory(const struct batch *batch,
                          size_t *used); /* bytes of deliveries and outgoing messages */
void batch_reset(struct batch *batch);   /* frees all but the input */

#endif
