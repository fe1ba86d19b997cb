/* SPDX-License-Identifier: MIT */
#include "resume/resume_internal.h"

#include <stdlib.h>

/*
 * Pending replies, by callee, in the order of the calls. A peer that leaves is answered for in that order,
 * and replies time out in the order of their calls.
 */

void dump_replies(struct dump *d)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < d->n_peers; i++) {
        LIST_FOR (at, &d->peers[i]->calls.owed)
            n++;
    }
    state_put32(d->w, n);
    for (uint32_t i = 0; i < d->n_peers; i++) {
        LIST_FOR (at, &d->peers[i]->calls.owed) {
            const struct reply *reply = CONTAINER_OF(at, struct reply, in_callee);
            state_put64(d->w, reply->caller->id);
            state_put64(d->w, reply->callee->id);
            state_put32(d->w, reply->serial);
            state_put64(d->w, (uint64_t)reply->since);
        }
    }
}

struct timed {
    struct reply *reply;
    uint32_t place;
};

static int by_since(const void *a, const void *b)
{
    const struct timed *left = a, *right = b;
    if (left->reply->since != right->reply->since)
        return left->reply->since < right->reply->since ? -1 : 1;
    return left->place < right->place ? -1 : left->place > right->place;
}

/* Orders the list of those that time out. */
static void order_by_time(struct replies *replies, struct timed *timed, uint32_t n)
{
    qsort(timed, n, sizeof(*timed), by_since);
    for (uint32_t i = 0; i < n; i++) {
        list_unlink(&timed[i].reply->in_time);
        list_append(&replies->by_time, &timed[i].reply->in_time);
    }
}

static struct reply *restore_reply(struct restore *s)
{
    struct replies *replies = &s->bus->replies;
    struct peer *caller = restore_peer(s), *callee = restore_peer(s);
    uint32_t serial = state_get32(&s->r);
    int64_t since = (int64_t)state_get64(&s->r);
    if (!caller || !callee || s->r.failed || since < 0 || replies_find(replies, caller, callee, serial))
        return NULL;
    struct reply *reply = replies_add(replies, caller, callee, serial, since);
    s->no_memory |= !reply;
    return reply;
}

#define REPLY_SIZE 28u

int restore_replies(struct restore *s)
{
    uint32_t n = state_count(&s->r, REPLY_SIZE), n_timed = 0;
    struct timed *timed = restore_array(s, n, sizeof(*timed));
    if (!timed)
        return -ENOMEM;
    for (uint32_t i = 0; i < n; i++) {
        struct reply *reply = restore_reply(s);
        if (!reply) {
            free(timed);
            return -EINVAL;
        }
        if (reply->since > 0)
            timed[n_timed++] = (struct timed){reply, i};
    }
    order_by_time(&s->bus->replies, timed, n_timed);
    free(timed);
    return 0;
}
