/* SPDX-License-Identifier: MIT */
#include "resume/resume_internal.h"

#include "accept/handshake.h"
#include "accept/incomplete.h"

#include <stdlib.h>

/* Connections that have not authenticated: with the data plane, and with the control plane. */

static uint32_t door_place(const struct bus *bus, const struct door *door)
{
    uint32_t place = 0;
    LIST_FOR (at, &bus->doors) {
        if (CONTAINER_OF(at, struct door, in_doors) == door)
            return place;
        place++;
    }
    return STATE_NONE;
}

void dump_handshakes(struct dump *d)
{
    uint32_t n = 0;
    LIST_FOR (at, &d->bus->incompletes.all)
        n += CONTAINER_OF(at, struct peer, incomplete.in_all)->handshake != NULL;
    state_put32(d->w, n);
    LIST_FOR (at, &d->bus->incompletes.all) {
        const struct peer *peer = CONTAINER_OF(at, struct peer, incomplete.in_all);
        const struct handshake *handshake = peer->handshake;
        if (!handshake)
            continue;
        dump_descriptor(d, handshake->fd);
        state_put32(d->w, door_place(d->bus, handshake->door));
        state_put64(d->w, (uint64_t)peer->incomplete.began);
        state_put8(d->w, handshake->hung_up);
        state_put32(d->w, handshake->user.uid);
        state_put32(d->w, handshake->user.gid);
        state_put32(d->w, handshake->user.pid);
        state_put64(d->w, handshake->said);
        state_put_bytes(d->w, handshake->text, handshake->size);
    }
}

static int restore_handshake(struct restore *s)
{
    struct handshake *handshake = handshake_new(-1);
    if (!handshake)
        return -ENOMEM;
    bool placed = restore_descriptor(s, &handshake->fd);
    uint32_t door = state_get32(&s->r);
    int64_t began = (int64_t)state_get64(&s->r);
    handshake->hung_up = state_get8(&s->r) != 0;
    handshake->user.uid = state_get32(&s->r);
    handshake->user.gid = state_get32(&s->r);
    handshake->user.pid = state_get32(&s->r);
    handshake->said = (size_t)state_get64(&s->r);
    struct span text = state_get_bytes(&s->r);
    if (placed && !s->r.failed && door < s->n_doors) {
        handshake->door = s->doors[door];
        if (handshake_hear_again(handshake, (const uint8_t *)text.s, text.n)) {
            incomplete_add(s->bus, &handshake->peer->incomplete, began);
            return 0;
        }
    }
    handshake_free(s->bus, handshake);
    return -EINVAL;
}

int restore_handshakes(struct restore *s)
{
    uint32_t n = state_count(&s->r, 41);
    int error = 0;
    for (uint32_t i = 0; error == 0 && i < n; i++)
        error = restore_handshake(s);
    return error;
}

#define HANDED_UP_FDS 253u /* the kernel's SCM_MAX_FD */

/* Behind the event are the descriptors received, and then the text. */
static struct event *restore_one_handed_up(struct restore *s)
{
    struct relay_event view = {.kind = RELAY_EVENT_HANDED_UP, .fd = -1};
    view.peer = state_get64(&s->r);
    view.listener = state_get32(&s->r);
    view.began = (int64_t)state_get64(&s->r);
    view.parked = state_get64(&s->r);
    struct span text = state_get_bytes(&s->r);
    uint32_t n = state_count(&s->r, DESCRIPTOR_SIZE);
    if (s->r.failed || n == 0 || n > 1 + HANDED_UP_FDS)
        return NULL;
    size_t fds_size = (n - 1) * sizeof(int);
    struct event *event = restore_array(s, 1, sizeof(*event) + fds_size + text.n);
    if (!event)
        return NULL;
    int *fds = (int *)(void *)(event + 1);
    event->owned = true;
    event->view = view;
    event->view.fds = fds;
    event->view.n_fds = n - 1;
    event->view.body = memcpy((uint8_t *)fds + fds_size, text.s, text.n);
    event->view.body_size = text.n;
    for (uint32_t i = 0; i < n; i++) {
        if (!restore_own_descriptor(s, i == 0 ? &event->view.fd : &fds[i - 1])) {
            free(event);
            return NULL;
        }
    }
    return event;
}

int restore_handed_up(struct restore *s)
{
    uint32_t n = state_count(&s->r, 36 + DESCRIPTOR_SIZE);
    s->handed_up = restore_array(s, n, sizeof(*s->handed_up));
    if (!s->handed_up)
        return -ENOMEM;
    for (; s->n_handed_up < n; s->n_handed_up++) {
        s->handed_up[s->n_handed_up] = restore_one_handed_up(s);
        if (!s->handed_up[s->n_handed_up])
            return -EINVAL;
    }
    return 0;
}

void handed_up_free(struct restore *s)
{
    while (s->n_handed_up > 0)
        free(s->handed_up[--s->n_handed_up]);
    free(s->handed_up);
    s->handed_up = NULL;
}
