/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_OUTGOING_H
#define OMNIBUS_OUTGOING_H

#include "base/account.h"
#include "base/buffer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Descriptors on their way, shared by all who get them; closed with the last reference. */
struct fds {
    uint32_t references;
    uint32_t n;
    int fd[];
};

struct fds *fds_new(const int *fd,
                    uint32_t n);      /* takes the descriptors over; NULL: no memory, they are closed */
struct fds *fds_ref(struct fds *fds); /* NULL is fine in both */
void fds_unref(struct fds *fds);

static inline uint64_t fds_cost(const struct fds *fds)
{
    return fds ? memory_cost(sizeof(*fds) + fds->n * sizeof(*fds->fd)) : 0;
}

/*
 * A message as it goes out, the same bytes for all receivers: a head and the rest. While its wake-up lasts it
 * points into the buffers of the wake-up; what a socket would not take is kept as a copy, made once.
 */
struct outgoing {
    const uint8_t *head;
    const uint8_t *rest;
    uint32_t head_size;
    uint32_t rest_size;
    struct fds *fds;
    struct buffer *buffer; /* that the rest stands in, if it can outlive the wake-up; NULL otherwise */
    uint32_t uid;          /* of the sender; 0xffffffff: the bus */
    struct account *payer; /* who pays for a copy that is kept; NULL: the bus */
    struct outgoing *kept; /* the copy, once it was made */
    struct outgoing *next; /* in the list of the wake-up */
    uint32_t references;   /* of a copy; 0 while it belongs to the wake-up */
    uint64_t cost;         /* of a copy: the memory that it takes, without its deliveries */
    struct token token;    /* of a copy */
};

static inline uint64_t outgoing_size(const struct outgoing *out)
{
    return (uint64_t)out->head_size + out->rest_size;
}

/* A copy to be filled: room for head and rest behind it, one reference. NULL: no memory. */
struct outgoing *outgoing_new(size_t room, uint32_t uid, struct fds *fds);
/* From now on the account pays for the copy. */
void outgoing_charge(struct outgoing *copy, struct account *payer);
struct outgoing *outgoing_keep(struct outgoing *out); /* a reference to the copy; NULL: no memory */
void outgoing_unref(struct outgoing *kept);

/* One message to one receiver. */
struct delivery {
    struct delivery *next;
    struct outgoing *out;
};

/* What one more receiver costs of a copy that waits. */
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

#endif
