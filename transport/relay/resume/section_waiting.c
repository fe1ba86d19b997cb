/* SPDX-License-Identifier: MIT */
#include "resume/resume_internal.h"

#include "resume/in_order.h"
#include "route/route.h"
#include "state/held.h"

#include <stdlib.h>

/*
 * What waits for the control plane: messages for which their senders are stopped, parked messages, and names
 * that are awaited. The messages are as their senders sent them.
 */

static void dump_message(struct dump *d, const struct held *held)
{
    dump_set(d, held->fds);
    state_put_bytes(d->w, held->data, held->m.size);
}

/* Reads a message as one from a client: it is parsed again. NULL: it is none, or there is no memory. */
static struct held *restore_waiting(struct restore *s, struct peer *sender, bool parked)
{
    struct fds *fds;
    struct message m;
    if (!restore_set(s, &fds))
        return NULL;
    struct span bytes = state_get_bytes(&s->r);
    struct held *held = NULL;
    uint32_t size;
    if (message_frame((const uint8_t *)bytes.s, bytes.n, MESSAGE_MAX_SIZE, &size) == MESSAGE_OK &&
        size == bytes.n && message_parse(&m, (const uint8_t *)bytes.s, size) == MESSAGE_OK &&
        (!parked || m.destination.s)) {
        held = held_new(&m, fds, sender->account, parked ? parked_cost(m.destination) : 0);
        s->no_memory |= !held;
    }
    fds_unref(fds);
    return held;
}

void dump_held(struct dump *d)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < d->n_peers; i++)
        n += d->peers[i]->calls.held != NULL;
    state_put32(d->w, n);
    for (uint32_t i = 0; i < d->n_peers; i++) {
        if (!d->peers[i]->calls.held)
            continue;
        state_put64(d->w, d->peers[i]->id);
        dump_message(d, d->peers[i]->calls.held);
    }
}

int restore_held(struct restore *s)
{
    uint32_t n = state_count(&s->r, 16);
    for (uint32_t i = 0; i < n; i++) {
        struct peer *peer = restore_peer(s);
        if (!peer || peer->calls.held || !peer->calls.stopped)
            return -EINVAL;
        peer->calls.held = restore_waiting(s, peer, false);
        if (!peer->calls.held)
            return -EINVAL;
        if (!route_hand_up_name(s->bus, peer, &peer->calls.held->m))
            return -ENOMEM;
    }
    return 0;
}

#define PARKED_SHOWN 1u
#define PARKED_STOPS 2u
#define PARKED_FLAGS 4u

void dump_parked(struct dump *d)
{
    uint32_t n;
    struct parked **all = parked_in_order(d->bus, &n);
    if (!all)
        dump_fail(d, -ENOMEM);
    state_put32(d->w, n);
    for (uint32_t i = 0; i < n; i++) {
        state_put64(d->w, all[i]->id);
        state_put64(d->w, all[i]->sender->id);
        state_put32(d->w, (all[i]->shown ? PARKED_SHOWN : 0) | (all[i]->stops ? PARKED_STOPS : 0));
        state_put32(d->w, all[i]->outcome);
        dump_message(d, all[i]->held);
    }
    free(all);
}

static int restore_one_parked(struct restore *s, uint64_t end)
{
    struct parking *parking = &s->bus->parking;
    uint64_t id = state_get64(&s->r);
    struct peer *sender = restore_peer(s);
    uint32_t flags = state_get_flags(&s->r, PARKED_FLAGS), outcome = state_get32(&s->r);
    /* numbers rise, so none is there twice */
    if (s->r.failed || !sender || !sender->active || id < parking->next || id >= end)
        return -EINVAL;
    struct held *held = restore_waiting(s, sender, true);
    if (!held)
        return -EINVAL;
    parking->next = id;
    struct parked *parked = parking_add(parking, sender, held);
    if (!parked)
        return -ENOMEM;
    parked->shown = flags & PARKED_SHOWN;
    parked->stops = flags & PARKED_STOPS;
    parked->outcome = outcome;
    return 0;
}

int restore_parked(struct restore *s)
{
    struct parking *parking = &s->bus->parking;
    uint64_t end = parking->next;
    uint32_t n = state_count(&s->r, 32);
    int error = 0;
    parking->next = 0;
    for (uint32_t i = 0; error == 0 && i < n; i++)
        error = restore_one_parked(s, end);
    parking->next = end;
    return error;
}

void dump_awaited(struct dump *d)
{
    uint32_t n;
    struct handed **all = awaited_in_order(d->bus, &n);
    if (!all)
        dump_fail(d, -ENOMEM);
    state_put32(d->w, n);
    for (uint32_t i = 0; i < n; i++)
        state_put_bytes(d->w, all[i]->text, all[i]->size);
    free(all);
}

int restore_awaited(struct restore *s)
{
    uint32_t n = state_count(&s->r, sizeof(uint32_t));
    for (uint32_t i = 0; i < n; i++) {
        struct span name = state_get_bytes(&s->r);
        const struct handed *before = registry_handed(&s->bus->registry, name);
        if (!name_is_well_known(name) || (before && before->awaited))
            return -EINVAL;
        struct handed *handed = registry_hand_up(&s->bus->registry, name);
        if (!handed)
            return -ENOMEM;
        handed->awaited = true;
    }
    return 0;
}
