/* SPDX-License-Identifier: MIT */
#include "base/clock.h"
#include "group/group_peer.h"
#include "state/quota.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/*
 * Messages that the group spilled: those whose delivery it had begun, so that other receivers have them. A
 * receiver has one at most, which comes before all that the bus has for it, as it is held from then on.
 */

/* One that is read, until it is in its receiver's queue. */
struct spilled {
    _Atomic bool noted;
    struct delivery *delivery; /* of it in the queue, or about to be there; NULL: not yet */
    struct umc_spill head;     /* length 0: none was read; the kernel stores it within read(2) */
    uint8_t message[UMC_MAX_MESSAGE + UMC_MAX_STAMP];
};

_Static_assert(offsetof(struct spilled, message) == offsetof(struct spilled, head) + sizeof(struct umc_spill),
               "read(2) stores both");

int spilled_new(struct spilled **out)
{
    *out = calloc(1, sizeof(**out)); /* large, but mostly unused */
    return *out ? 0 : -ENOMEM;
}

/* False: there is none. */
static bool spilled_read(const struct group *group)
{
    struct spilled *s = group->spilled;
    s->head = (struct umc_spill){0};
    s->delivery = NULL;
    atomic_store_explicit(&s->noted, true, memory_order_release);
    ssize_t n = umc_read(group->fd, &s->head, sizeof(s->head) + sizeof(s->message));
    if (n >= (ssize_t)sizeof(s->head) && s->head.length <= (size_t)n - sizeof(s->head))
        return true;
    s->head.length = 0;
    return n >= (ssize_t)sizeof(s->head);
}

static void spilled_end(struct spilled *s)
{
    atomic_store_explicit(&s->noted, false, memory_order_release);
}

/* NULL: it has left, or nothing was read. Only whole messages go directly. */
static struct peer *receiver_of(const struct group *group)
{
    const struct spilled *s = group->spilled;
    const struct group_peer *gp =
        s->head.receiver < group->max_members ? group->peers[s->head.receiver] : NULL;
    uint32_t size;
    bool whole = s->head.length <= sizeof(s->message) && s->head.written < s->head.length &&
                 message_frame(s->message, s->head.length, sizeof(s->message), &size) == MESSAGE_OK &&
                 size == s->head.length;
    return gp && whole ? gp->peer : NULL;
}

static struct outgoing *spilled_copy(const struct group *group)
{
    const struct spilled *s = group->spilled;
    const struct group_peer *sender =
        s->head.sender < group->max_members ? group->peers[s->head.sender] : NULL;
    uint32_t uid = sender && sender->peer ? sender->peer->credentials.uid : UINT32_MAX;
    struct outgoing *kept = outgoing_new(s->head.length, uid, NULL);
    if (kept)
        memcpy(kept + 1, s->message, s->head.length);
    return kept;
}

/* Queues it before all else for the receiver, where the kernel has stopped. NULL: no memory. */
static struct outgoing *put_first(const struct group *group, struct peer *peer)
{
    struct spilled *s = group->spilled;
    struct delivery_list *queue = &peer->output.queue;
    struct delivery *delivery = malloc(sizeof(*delivery));
    struct outgoing *kept = delivery ? spilled_copy(group) : NULL;
    if (!kept) {
        free(delivery);
        return NULL;
    }
    *delivery = (struct delivery){queue->first, kept};
    s->delivery = delivery;
    atomic_signal_fence(memory_order_seq_cst); /* for the compiler: a process ends between instructions */
    queue->first = delivery;
    peer->output.queue_offset = s->head.written;
    queue->last = queue->last ? queue->last : delivery;
    queue->count++;
    return kept;
}

void group_spilled(struct bus *bus)
{
    const struct group *group = bus->group;
    while (!group->failed && spilled_read(group)) {
        struct peer *peer = receiver_of(group);
        struct outgoing *kept = peer ? put_first(group, peer) : NULL;
        if (kept) {
            peer->group.gp->held = true;
            quota_keep(bus, peer, kept);
            group_peer_retry(bus->group, peer);
        }
        spilled_end(group->spilled);
        if (peer && !kept)
            bus_lose(bus, peer, RELAY_GONE_MEMORY);
    }
    spilled_end(group->spilled);
}

static bool is_queued(const struct peer *peer, const struct delivery *delivery)
{
    const struct delivery *at = peer->output.queue.first;
    while (at && at != delivery)
        at = at->next;
    return at != NULL;
}

static bool salvage_one(const struct group *group)
{
    const struct spilled *s = group->spilled;
    struct peer *peer = receiver_of(group);
    if (!peer || peer_is_gone(peer))
        return true;
    if (s->delivery && is_queued(peer, s->delivery)) {
        peer->output.queue_offset = s->head.written;
        return true;
    }
    if (!peer->output.queue.first)
        peer->output.progress = clock_now();
    return put_first(group, peer) != NULL;
}

bool spilled_salvage(struct bus *bus)
{
    const struct group *group = bus->group;
    bool done = !atomic_load(&group->spilled->noted) || salvage_one(group);
    while (done && spilled_read(group))
        done = salvage_one(group);
    spilled_end(group->spilled);
    return done;
}
