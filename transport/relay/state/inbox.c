/* SPDX-License-Identifier: MIT */
#include "state/inbox.h"

#include <errno.h>
#include <unistd.h>

void inbox_clear(struct peer *peer)
{
    buffer_unref(peer->input.tail);
    peer->input.tail = NULL;
    peer->input.tail_size = peer->input.tail_start = 0;
}

int inbox_set(struct peer *peer, const uint8_t *bytes, size_t size)
{
    struct buffer *tail = NULL;
    if (size > 0) {
        tail = buffer_grow(NULL, size);
        if (!tail)
            return -ENOMEM;
        memcpy(tail->data, bytes, size);
    }
    inbox_clear(peer);
    peer->input.tail = tail;
    peer->input.tail_size = size;
    return 0;
}

int inbox_reserve(struct bus *bus, struct peer *peer, size_t capacity, size_t claimed)
{
    if (capacity <= peer->input.tail->capacity)
        return 0;
    struct buffer *tail = pool_take(&bus->pool, claimed);
    if (tail) {
        memcpy(tail->data, peer->input.tail->data, peer->input.tail_size);
        buffer_unref(peer->input.tail);
    } else {
        tail = buffer_grow(peer->input.tail, capacity);
        if (!tail)
            return -ENOMEM;
        pool_adopt(&bus->pool, tail);
    }
    peer->input.tail = tail;
    return 0;
}

int inbox_add_fds(struct peer *peer, const int *fds, uint32_t n)
{
    int *all = realloc(peer->input.fds, ((size_t)peer->input.n_fds + n) * sizeof(*fds));
    if (!all) {
        for (uint32_t i = 0; i < n; i++)
            close(fds[i]);
        return -ENOMEM;
    }
    memcpy(all + peer->input.n_fds, fds, n * sizeof(*fds));
    peer->input.fds = all;
    peer->input.n_fds += n;
    return 0;
}

void inbox_turn(struct bus *bus, struct peer *peer)
{
    if (!peer_is_gone(peer) && !list_linked(&peer->input.in_ready))
        list_append(&bus->ready, &peer->input.in_ready);
}

void inbox_resume(struct bus *bus, struct peer *peer)
{
    if (!peer->calls.stopped && !peer->input.paused)
        inbox_turn(bus, peer);
}

int inbox_begin(struct peer *peer, const uint8_t *bytes, size_t size, const int *fds, uint32_t n_fds)
{
    if (n_fds > 0 && inbox_add_fds(peer, fds, n_fds) < 0)
        return -ENOMEM;
    peer->input.waiting = size > 0 || n_fds > 0;
    return inbox_set(peer, bytes, size);
}

void inbox_drop(struct peer *peer)
{
    inbox_clear(peer);
    for (uint32_t i = 0; i < peer->input.n_fds; i++)
        close(peer->input.fds[i]);
    peer->input.n_fds = 0;
}
