/* SPDX-License-Identifier: MIT */
#include "resume/resume_internal.h"

#include "send/output.h"
#include "state/quota.h"
#include "state/users.h"

#include <stdlib.h>

/*
 * Messages that sockets did not take yet, and the queues that they are in. A message is written once, however
 * many wait for it. Its cost is carried over, so that a queue is as full as it was, although the restored
 * message takes less memory than the buffer that it was received in.
 */

#define MESSAGE_LONGEST (MESSAGE_MAX_SIZE + 512u) /* with the header that the bus writes */
#define COST_MAX ((uint64_t)1 << 40)              /* of one message in all its queues; sums cannot overflow */

/* A queue is written with the messages it is the first to refer to noted, and these follow in their section.
 */
void dump_queues(struct dump *d)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < d->n_peers; i++)
        n += d->peers[i]->output.queue.first != NULL;
    state_put32(d->w, n);
    for (uint32_t i = 0; i < d->n_peers; i++) {
        const struct peer_output *out = &d->peers[i]->output;
        if (!out->queue.first)
            continue;
        state_put64(d->w, d->peers[i]->id);
        state_put32(d->w, (out->stalled ? STATE_QUEUE_STALLED : 0) |
                              (out->refusal_told ? STATE_QUEUE_REFUSAL_TOLD : 0));
        state_put64(d->w, (uint64_t)out->progress);
        state_put64(d->w, out->queue_offset);
        state_put32(d->w, out->queue.count);
        for (const struct delivery *at = out->queue.first; at; at = at->next) {
            uint32_t place = STATE_NONE;
            if (!pointer_map_add(&d->messages, at->out, &place))
                dump_fail(d, -ENOMEM);
            state_put32(d->w, place);
        }
    }
}

static void dump_payer(struct dump *d, const struct token *token)
{
    uint32_t place = 0;
    enum state_payer payer = STATE_PAYER_GONE;
    if (!token->account)
        payer = STATE_PAYER_NONE;
    else if (token->account == d->bus->monitors.account)
        payer = STATE_PAYER_MONITORS;
    else if (pointer_map_find(&d->accounts, token->account, &place))
        payer = STATE_PAYER_PEER;
    state_put8(d->w, (uint8_t)payer);
    state_put64(d->w, payer == STATE_PAYER_PEER ? d->peers[place]->id : 0);
    state_put64(d->w, payer == STATE_PAYER_NONE ? 0 : token->bytes);
}

void dump_messages(struct dump *d)
{
    state_put32(d->w, d->messages.n);
    for (uint32_t i = 0; i < d->messages.n; i++) {
        const struct outgoing *out = d->messages.all[i];
        state_put32(d->w, out->uid);
        dump_payer(d, &out->token);
        state_put64(d->w, out->cost);
        dump_set(d, out->fds);
        state_put32(d->w, (uint32_t)outgoing_size(out));
        state_put(d->w, out->head, out->head_size);
        state_put(d->w, out->rest, out->rest_size);
    }
}

/* The account to be charged; NULL with *known false: the record is wrong. */
static struct account *restore_payer(struct restore *s, enum state_payer payer, uint64_t id, bool *known)
{
    const struct peer *peer = payer == STATE_PAYER_PEER ? bus_peer(s->bus, id) : NULL;
    *known = payer < STATE_PAYERS && (payer != STATE_PAYER_PEER || peer);
    if (payer == STATE_PAYER_MONITORS)
        return s->bus->monitors.account;
    if (payer == STATE_PAYER_GONE)
        return s->gone;
    return peer ? peer->account : NULL;
}

static bool is_message(struct span bytes)
{
    uint32_t size;
    return message_frame((const uint8_t *)bytes.s, bytes.n, MESSAGE_LONGEST, &size) == MESSAGE_OK &&
           size == bytes.n;
}

static struct outgoing *restore_message(struct restore *s)
{
    bool known;
    struct fds *fds;
    uint32_t uid = state_get32(&s->r);
    enum state_payer payer = state_get8(&s->r);
    struct account *account = restore_payer(s, payer, state_get64(&s->r), &known);
    uint64_t charge = state_get64(&s->r), cost = state_get64(&s->r);
    if (!restore_set(s, &fds))
        return NULL;
    struct span bytes = state_get_bytes(&s->r);
    struct outgoing *out = NULL;
    if (known && !s->r.failed && charge <= COST_MAX && cost <= COST_MAX && is_message(bytes)) {
        out = outgoing_new(bytes.n, uid, fds);
        s->no_memory |= !out;
    }
    fds_unref(fds);
    if (!out)
        return NULL;
    memcpy(out + 1, bytes.s, bytes.n);
    out->cost = cost;
    if (account)
        token_charge(&out->token, account, charge, out->fds ? out->fds->n : 0);
    return out;
}

#define MESSAGE_SIZE 37u /* at least */

int restore_messages(struct restore *s)
{
    uint32_t n = state_count(&s->r, MESSAGE_SIZE);
    s->messages = restore_array(s, n, sizeof(*s->messages));
    s->gone = account_new();
    if (!s->messages || !s->gone)
        return -ENOMEM;
    for (; s->n_messages < n; s->n_messages++) {
        s->messages[s->n_messages] = restore_message(s);
        if (!s->messages[s->n_messages])
            return -EINVAL;
    }
    return 0;
}

static int restore_delivery(struct restore *s, struct peer *peer)
{
    uint32_t place = state_get32(&s->r);
    if (s->r.failed || place >= s->n_messages)
        return -EINVAL;
    struct delivery *delivery = malloc(sizeof(*delivery));
    if (!delivery)
        return -ENOMEM;
    delivery->out = s->messages[place];
    delivery->out->references++;
    delivery_append(&peer->output.queue, delivery);
    quota_keep(s->bus, peer, delivery->out);
    return 0;
}

static int restore_queue(struct restore *s, struct peer *peer)
{
    struct peer_output *out = &peer->output;
    uint32_t flags = state_get_flags(&s->r, STATE_QUEUE_FLAGS);
    int64_t progress = (int64_t)state_get64(&s->r);
    uint64_t offset = state_get64(&s->r);
    uint32_t n = state_count(&s->r, sizeof(uint32_t));
    int error = n > 0 ? 0 : -EINVAL;
    for (uint32_t i = 0; error == 0 && i < n; i++)
        error = restore_delivery(s, peer);
    if (error < 0)
        return error;
    if (offset >= outgoing_size(out->queue.first->out))
        return -EINVAL;
    out->queue_offset = (size_t)offset;
    out->progress = progress;
    out->stalled = flags & STATE_QUEUE_STALLED;
    out->refusal_told = flags & STATE_QUEUE_REFUSAL_TOLD;
    out->writing = true;
    return 0;
}

int restore_queues(struct restore *s)
{
    uint32_t n = state_count(&s->r, 36);
    for (uint32_t i = 0; i < n; i++) {
        struct peer *peer = restore_peer(s);
        if (!peer || peer->output.queue.first)
            return -EINVAL;
        int error = restore_queue(s, peer);
        if (error < 0)
            return error;
    }
    return 0;
}
