/* SPDX-License-Identifier: MIT */
#include "group/group_peer.h"
#include "send/output_internal.h"
#include "state/quota.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define WRITING_IOVECS 32768u
#define WRITING_CONTROL UMC_MAX_CONTROL /* room for the descriptors of one entry */
#define WRITING_CONTROLS 16u
#define WRITING_FAILURES 100u /* in a row, after which no memory is to be expected */

/* One UMC_WRITE. All receivers are held before the first of them gets a message. */
struct writing {
    uint32_t n;
    uint32_t n_iov;
    uint32_t n_controls;
    uint32_t failures;
    struct umc_write_entry entries[UMC_MAX_ENTRIES];
    struct peer *peers[UMC_MAX_ENTRIES]; /* by entry */
    size_t bytes[UMC_MAX_ENTRIES];       /* by entry */
    struct iovec iov[WRITING_IOVECS];
    _Alignas(struct cmsghdr) char control[WRITING_CONTROLS][WRITING_CONTROL];
};

_Static_assert(CMSG_SPACE(OUTPUT_FDS * sizeof(int)) <= WRITING_CONTROL, "descriptors of one send");

int writing_new(struct writing **out)
{
    struct writing *writing = malloc(sizeof(*writing)); /* large, but mostly unused */
    *out = writing;
    if (!writing)
        return -ENOMEM;
    writing->failures = 0;
    return 0;
}

static void writing_begin(struct writing *writing)
{
    writing->n = writing->n_iov = writing->n_controls = 0;
}

static bool writing_has_room(const struct writing *writing)
{
    return writing->n < UMC_MAX_ENTRIES && WRITING_IOVECS - writing->n_iov >= OUTPUT_IOVECS &&
           writing->n_controls < WRITING_CONTROLS;
}

static struct umc_write_entry *add_entry(struct writing *writing, struct peer *peer)
{
    struct umc_write_entry *entry = &writing->entries[writing->n];
    *entry = (struct umc_write_entry){.index = peer->group.gp->index};
    writing->peers[writing->n] = peer;
    writing->bytes[writing->n++] = 0;
    return entry;
}

/* Adds an entry for as much as one send takes. Returns the next delivery, for which the receiver is held. */
static const struct delivery *add(struct writing *writing, struct peer *peer, const struct delivery *from,
                                  size_t *offset)
{
    struct gathered g = {
        .iov = writing->iov + writing->n_iov, .room = OUTPUT_IOVECS, .packet = peer->seqpacket};
    struct umc_write_entry *entry = add_entry(writing, peer);
    gather(&g, from, *offset);
    *offset = g.next_offset;
    writing->bytes[writing->n - 1] = g.bytes;
    writing->n_iov += (uint32_t)g.n;
    entry->iov = (uintptr_t)g.iov;
    entry->iov_count = (uint32_t)g.n;
    entry->flags = g.next ? UMC_WRITE_HOLD : 0;
    if (g.fds && g.fds->n > 0) {
        char *control = writing->control[writing->n_controls++];
        entry->control_length = (uint32_t)gather_control(g.fds, control);
        entry->control = (uintptr_t)control;
    }
    return g.next;
}

static void retry_later(struct bus *bus, struct peer *peer)
{
    if (peer->group.gp && !list_linked(&peer->group.gp->in_retry))
        list_append(&bus->group->retry, &peer->group.gp->in_retry);
}

/*
 * Performs the call, which succeeds or fails as a whole. False: nothing was written, the receivers are
 * retried.
 */
static bool perform(struct bus *bus, struct writing *writing)
{
    struct group *group = bus->group;
    int error = writing->n > 0 && !group->failed ? umc_write(group->fd, writing->entries, writing->n) : 0;
    if (error >= 0) {
        writing->failures = 0;
        return !group->failed;
    }
    if ((error != -ENOMEM && error != -EINTR) || ++writing->failures == WRITING_FAILURES) {
        group_fail(bus, "Members of the group can't be written to", error);
        return false;
    }
    for (uint32_t i = 0; i < writing->n; i++)
        retry_later(bus, writing->peers[i]);
    return false;
}

/* Handles the failure of one entry. True: the remaining messages for this receiver have to wait. */
static bool refused(struct bus *bus, struct peer *peer, int error)
{
    if (error == ENOENT) { /* the client left the group by closing its socket, which epoll reports too */
        group_leave(bus, peer);
        return true;
    }
    if (error == EAGAIN)
        return true;
    if (error == EBUSY || output_refused(error) == REFUSED_LATER) {
        retry_later(bus, peer);
        return true;
    }
    if (output_refused(error) == REFUSED_PEER)
        bus_lose(bus, peer, RELAY_GONE_CLOSED);
    else
        retry_later(bus, peer);
    return output_refused(error) == REFUSED_PEER;
}

/*
 * Settles the pending messages of an entry. Further entries for a receiver that is held already add nothing.
 */
static void settle_pending(struct bus *bus, struct peer *peer, const struct umc_write_entry *entry,
                           size_t bytes)
{
    if (peer_is_gone(peer) || !peer->group.gp || peer->group.gp->held)
        return;
    if (entry->result < 0) {
        peer->group.gp->held = true;
        if (!refused(bus, peer, (int)-entry->result) && peer->output.pending.first)
            delivery_take(&peer->output.pending);
        return;
    }
    size_t sent = (size_t)entry->result;
    output_count(bus, peer, sent);
    peer->output.queue_offset = output_take_sent(&peer->output.pending, peer->output.queue_offset + sent);
    if (sent < bytes)
        peer->group.gp->held = true;
}

/* A receiver with a queue takes no message directly. */
static bool is_ready(const struct peer *peer)
{
    return peer->output.pending.first && !peer_is_gone(peer) && peer->group.gp && !peer->group.gp->held &&
           !peer->output.queue.first;
}

/* Writes to all receivers with one call. A receiver whose messages do not fit is held until the next call. */
static bool flush_round(struct bus *bus, struct list *peers)
{
    struct writing *writing = bus->group->writing;
    writing_begin(writing);
    LIST_FOR (at, peers) {
        struct peer *peer = CONTAINER_OF(at, struct peer, output.in_touched);
        const struct delivery *next = is_ready(peer) ? peer->output.pending.first : NULL;
        if (!next || writing->n == UMC_MAX_ENTRIES)
            continue;
        if (!writing_has_room(writing))
            add_entry(writing, peer)->flags = UMC_WRITE_HOLD;
        size_t offset = peer->output.queue_offset;
        while (next && writing_has_room(writing))
            next = add(writing, peer, next, &offset);
    }
    if (writing->n == 0 || !perform(bus, writing))
        return false;
    for (uint32_t i = 0; i < writing->n; i++)
        settle_pending(bus, writing->peers[i], &writing->entries[i], writing->bytes[i]);
    return true;
}

bool writing_hold(struct bus *bus, const struct list *peers)
{
    struct writing *writing = bus->group->writing;
    writing_begin(writing);
    LIST_FOR (at, peers) {
        struct peer *peer = CONTAINER_OF(at, struct peer, output.in_touched);
        if (!is_ready(peer))
            continue;
        if (writing->n == UMC_MAX_ENTRIES)
            return false;
        add_entry(writing, peer)->flags = UMC_WRITE_HOLD;
    }
    return perform(bus, writing);
}

void group_flush(struct bus *bus, struct list *peers)
{
    while (!bus->group->failed && flush_round(bus, peers))
        continue;
    LIST_FOR_SAFE (at, after, peers) {
        struct peer *peer = CONTAINER_OF(at, struct peer, output.in_touched);
        if (peer_is_gone(peer))
            continue;
        if (!peer->group.gp)
            output_flush_peer(bus, peer);
        else if (peer->output.pending.first)
            output_keep_pending(bus, peer);
        if (peer->group.gp && peer->output.queue.first)
            peer->group.gp->held = true;
        peer->output.pending_bytes = peer->output.pending_fds = 0;
    }
}

/* Ends the hold of a group peer whose queue is empty. */
static void end_hold(struct bus *bus, struct peer *peer)
{
    struct writing *writing = bus->group->writing;
    writing_begin(writing);
    add_entry(writing, peer);
    if (!perform(bus, writing))
        return;
    int64_t result = writing->entries[0].result;
    if (result < 0 && result != -ENOENT)
        retry_later(bus, peer);
    else
        peer->group.gp->held = false;
}

/* Writes one send's worth of the queue. False: the socket takes no more now. */
static bool continue_once(struct bus *bus, struct peer *peer)
{
    struct writing *writing = bus->group->writing;
    writing_begin(writing);
    size_t offset = peer->output.queue_offset;
    const struct delivery *next = add(writing, peer, peer->output.queue.first, &offset);
    if (!perform(bus, writing))
        return false;
    int64_t result = writing->entries[0].result;
    if (result < 0) {
        if (refused(bus, peer, (int)-result) || peer_is_gone(peer))
            return false;
        output_queue_take(peer);
        return true;
    }
    output_count(bus, peer, (size_t)result);
    quota_progress(peer);
    output_queue_take_sent(bus, peer, (size_t)result);
    if ((size_t)result < writing->bytes[0])
        return false;
    peer->group.gp->held = next != NULL;
    return true;
}

void group_writable(struct bus *bus, struct peer *peer)
{
    while (peer->output.queue.first && !peer_is_gone(peer) && peer->group.gp) {
        if (!continue_once(bus, peer))
            break;
    }
    if (peer_is_gone(peer))
        return;
    if (!peer->group.gp) { /* it left the group meanwhile */
        output_continue(bus, peer);
        return;
    }
    if (peer->output.queue.first)
        return;
    if (peer->group.gp->held)
        end_hold(bus, peer);
    output_want_writable(bus, peer, false);
}

/* Copies a spilled message: one whose delivery the group had begun, so that other receivers have it. */
static struct outgoing *spilled_new(const struct bus *bus, const struct umc_spill *spill,
                                    const uint8_t *bytes)
{
    size_t left = spill->length - spill->written;
    const struct group_peer *sender =
        spill->sender < bus->group->max_members ? bus->group->peers[spill->sender] : NULL;
    struct outgoing *kept = outgoing_new(left, sender ? sender->peer->credentials.uid : UINT32_MAX, NULL);
    if (kept)
        memcpy(kept + 1, bytes + spill->written, left);
    return kept;
}

/* Queues a message before all others for the receiver. */
static void put_first(struct bus *bus, struct peer *peer, struct outgoing *kept)
{
    struct delivery *delivery = malloc(sizeof(*delivery));
    if (!delivery) {
        outgoing_unref(kept);
        bus_lose(bus, peer, RELAY_GONE_MEMORY);
        return;
    }
    *delivery = (struct delivery){peer->output.queue.first, kept};
    peer->output.queue.first = delivery;
    peer->output.queue.last = peer->output.queue.last ? peer->output.queue.last : delivery;
    peer->output.queue.count++;
    peer->group.gp->held = true;
    quota_keep(bus, peer, kept);
    retry_later(bus, peer);
}

void group_spilled(struct bus *bus)
{
    static _Alignas(struct umc_spill)
        uint8_t bytes[sizeof(struct umc_spill) + UMC_MAX_MESSAGE + UMC_MAX_STAMP];
    struct group *group = bus->group;
    while (!group->failed) {
        struct umc_spill spill;
        ssize_t n = umc_read(group->fd, bytes, sizeof(bytes));
        if (n < (ssize_t)sizeof(spill))
            return;
        memcpy(&spill, bytes, sizeof(spill));
        struct group_peer *gp = spill.receiver < group->max_members ? group->peers[spill.receiver] : NULL;
        if (!gp || spill.length > (size_t)n - sizeof(spill) || spill.written >= spill.length)
            continue;
        struct outgoing *kept = spilled_new(bus, &spill, bytes + sizeof(spill));
        if (kept)
            put_first(bus, gp->peer, kept);
        else
            bus_lose(bus, gp->peer, RELAY_GONE_MEMORY);
    }
}
