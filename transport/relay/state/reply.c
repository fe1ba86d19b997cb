/* SPDX-License-Identifier: MIT */
#include "state/reply.h"

#include "state/peer.h"

#define SPARE_MAX 256u

int replies_init(struct replies *replies)
{
    list_init(&replies->by_time);
    return table_init(&replies->table);
}

void replies_free(struct replies *replies)
{
    if (!replies->table.buckets)
        return;
    struct table_node *node;
    while ((node = table_any(&replies->table)))
        replies_remove(replies, CONTAINER_OF(node, struct reply, node));
    table_free(&replies->table);
    while (replies->spare) {
        struct reply *reply = CONTAINER_OF(replies->spare, struct reply, node);
        replies->spare = reply->node.next;
        free(reply);
    }
}

bool reply_awaited(const struct peer *caller)
{
    return !peer_is_gone(caller) && !caller->monitor;
}

static struct reply *reply_new(struct replies *replies)
{
    if (!replies->spare)
        return malloc(sizeof(struct reply));
    struct reply *reply = CONTAINER_OF(replies->spare, struct reply, node);
    replies->spare = reply->node.next;
    replies->n_spare--;
    return reply;
}

static struct hash reply_hash(const struct replies *replies, const struct peer *caller,
                              const struct peer *callee, uint32_t serial)
{
    const struct hash_key *key = &replies->table.key;
    return hash_next(key, hash_next(key, hash_number(key, caller->id), callee->id), serial);
}

struct reply *replies_find(const struct replies *replies, const struct peer *caller,
                           const struct peer *callee, uint32_t serial)
{
    struct table_node *node = table_first(&replies->table, reply_hash(replies, caller, callee, serial));
    for (; node; node = table_again(node)) {
        struct reply *reply = CONTAINER_OF(node, struct reply, node);
        if (reply->caller == caller && reply->callee == callee && reply->serial == serial)
            return reply;
    }
    return NULL;
}

struct reply *replies_add(struct replies *replies, struct peer *caller, struct peer *callee, uint32_t serial,
                          int64_t now)
{
    struct reply *reply = reply_new(replies);
    if (!reply)
        return NULL;
    memset(reply, 0, sizeof(*reply));
    reply->caller = caller;
    reply->callee = callee;
    reply->serial = serial;
    reply->since = now;
    caller->calls.n_made++;
    /* first: a standby looks here for what is in the lists already */
    table_insert(&replies->table, &reply->node, reply_hash(replies, caller, callee, serial));
    list_append(&caller->calls.made, &reply->in_caller);
    list_append(&callee->calls.owed, &reply->in_callee);
    if (now > 0)
        list_append(&replies->by_time, &reply->in_time);
    return reply;
}

void replies_remove(struct replies *replies, struct reply *reply)
{
    reply->caller->calls.n_made--;
    list_unlink(&reply->in_caller);
    list_unlink(&reply->in_callee);
    list_unlink(&reply->in_time);
    table_remove(&replies->table, &reply->node);
    if (replies->n_spare == SPARE_MAX) {
        free(reply);
        return;
    }
    reply->node.next = replies->spare;
    replies->spare = &reply->node;
    replies->n_spare++;
}
