/* SPDX-License-Identifier: MIT */
#include "group/writing.h"
#include "group/group_peer.h"
#include "send/output_internal.h"
#include "state/quota.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define WRITING_FAILURES 100u /* in a row, after which no memory is to be expected */

_Static_assert(CMSG_SPACE(OUTPUT_FDS * sizeof(int)) <= WRITING_CONTROL, "descriptors of one send");

int writing_new(struct writing **out)
{
    struct writing *writing = malloc(sizeof(*writing)); /* large, but mostly unused */
    *out = writing;
    if (!writing)
        return -ENOMEM;
    writing->failures = 0;
    atomic_init(&writing->noted, 0);
    return 0;
}

/* The lists say all that the latest call has done. */
static void writing_end(struct writing *writing)
{
    atomic_store_explicit(&writing->noted, 0, memory_order_release);
}

static void writing_begin(struct writing *writing)
{
    writing->n = writing->n_iov = writing->n_controls = writing->n_releases = 0;
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
    writing->parts[writing->n++] = (struct part){.peer = peer};
    return entry;
}

/* Adds an entry for as much as one send takes. Returns the next delivery, for which the receiver is held. */
static struct delivery *add(struct writing *writing, struct peer *peer, struct delivery_list *list,
                            struct delivery *from, size_t *offset)
{
    struct gathered g = {
        .iov = writing->iov + writing->n_iov, .room = OUTPUT_IOVECS, .packet = peer->seqpacket};
    struct umc_write_entry *entry = add_entry(writing, peer);
    gather(&g, from, *offset);
    writing->parts[writing->n - 1] = (struct part){peer, list, from, *offset, g.bytes};
    *offset = g.next_offset;
    writing->n_iov += (uint32_t)g.n;
    entry->iov = (uintptr_t)g.iov;
    entry->iov_count = (uint32_t)g.n;
    entry->flags = g.next ? UMC_WRITE_HOLD : 0;
    if (g.fds && g.fds->n > 0) {
        char *control = writing->control[writing->n_controls++];
        entry->control_length = (uint32_t)gather_control(g.fds, control);
        entry->control = (uintptr_t)control;
    }
    return (struct delivery *)g.next;
}

/* The group peers of the call are released later. */
static void release_later(struct bus *bus, const struct writing *writing)
{
    for (uint32_t i = 0; i < writing->n_releases && !bus->group->failed; i++)
        group_dirty(bus, bus->group->peers[writing->releases[i].index]->peer);
}

/*
 * Performs the call, which succeeds or fails as a whole. True: the results are there, and writing_end is due
 * when the lists say them. False: nothing was written, the receivers are retried.
 */
static bool perform(struct bus *bus, struct writing *writing)
{
    struct group *group = bus->group;
    if (group->failed)
        return false;
    atomic_store_explicit(&writing->noted, writing->n, memory_order_release);
    int error = 0;
    if (writing->n > 0 || writing->n_releases > 0)
        error = umc_write(group->fd, writing->entries, writing->n, writing->releases, writing->n_releases);
    if (error >= 0) {
        writing->failures = 0;
        group_released(bus, writing->releases, writing->n_releases);
        return true;
    }
    writing_end(writing);
    if ((error != -ENOMEM && error != -EINTR) || ++writing->failures == WRITING_FAILURES) {
        group_fail(bus, "Members of the group can't be written to", error);
        return false;
    }
    for (uint32_t i = 0; i < writing->n; i++)
        group_peer_retry(bus->group, writing->parts[i].peer);
    release_later(bus, writing);
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
        group_peer_retry(bus->group, peer);
        return true;
    }
    if (output_refused(error) == REFUSED_PEER)
        bus_lose(bus, peer, RELAY_GONE_CLOSED);
    else
        group_peer_retry(bus->group, peer);
    return output_refused(error) == REFUSED_PEER;
}

/*
 * Settles what was written of an entry, also if the group has failed meanwhile. Further entries for a
 * receiver that is held already add nothing.
 */
static void settle_pending(struct bus *bus, const struct part *part, int64_t result)
{
    struct peer *peer = part->peer;
    if (peer_is_gone(peer))
        return;
    if (result >= 0) {
        size_t sent = (size_t)result;
        output_count(bus, peer, sent);
        peer->output.queue_offset = output_take_sent(&peer->output.pending, peer->output.queue_offset + sent);
        if (sent < part->bytes && peer->group.gp)
            peer->group.gp->held = true;
        return;
    }
    if (!peer->group.gp || peer->group.gp->held)
        return;
    peer->group.gp->held = true;
    if (!refused(bus, peer, (int)-result) && peer->output.pending.first)
        delivery_take(&peer->output.pending);
}

/* A receiver with a queue takes no message directly. */
static bool is_ready(const struct peer *peer)
{
    return peer->output.pending.first && !peer_is_gone(peer) && peer->group.gp && !peer->group.gp->held &&
           !peer->output.queue.first;
}

/* Adds entries for all receivers, as far as there is room. False: some have none. */
static bool add_pending(struct writing *writing, struct list *peers)
{
    bool all = true;
    LIST_FOR (at, peers) {
        struct peer *peer = CONTAINER_OF(at, struct peer, output.in_touched);
        struct delivery *next = is_ready(peer) ? peer->output.pending.first : NULL;
        all = all && !(next && writing->n == UMC_MAX_ENTRIES);
        if (!next || writing->n == UMC_MAX_ENTRIES)
            continue;
        if (!writing_has_room(writing))
            add_entry(writing, peer)->flags = UMC_WRITE_HOLD;
        size_t offset = peer->output.queue_offset;
        while (next && writing_has_room(writing))
            next = add(writing, peer, &peer->output.pending, next, &offset);
    }
    return all;
}

/*
 * Writes to all receivers with one call. A receiver whose messages do not fit is held until the next call.
 * With the first, group peers are released: each finds the receivers held, as none was written to yet.
 */
static bool flush_round(struct bus *bus, struct list *peers, bool first)
{
    struct writing *writing = bus->group->writing;
    writing_begin(writing);
    if (add_pending(writing, peers) && first)
        writing->n_releases = group_collect_drained(bus->group, writing->releases, WRITING_RELEASES);
    if ((writing->n == 0 && writing->n_releases == 0) || !perform(bus, writing))
        return false;
    for (uint32_t i = 0; i < writing->n; i++)
        settle_pending(bus, &writing->parts[i], writing->entries[i].result);
    writing_end(writing);
    return true;
}

/* Holds the receivers with pending messages by entries. False: there are too many. */
static bool add_holds(struct writing *writing, const struct list *peers)
{
    LIST_FOR (at, peers) {
        struct peer *peer = CONTAINER_OF(at, struct peer, output.in_touched);
        if (!is_ready(peer))
            continue;
        if (writing->n == UMC_MAX_ENTRIES)
            return false;
        add_entry(writing, peer)->flags = UMC_WRITE_HOLD;
    }
    return true;
}

bool writing_hold(struct bus *bus, const struct list *peers)
{
    struct writing *writing = bus->group->writing;
    writing_begin(writing);
    bool held = add_holds(writing, peers) && perform(bus, writing);
    writing_end(writing);
    return held;
}

void writing_release(struct bus *bus, const struct list *peers)
{
    struct writing *writing = bus->group->writing;
    writing_begin(writing);
    writing->n_releases = group_collect_drained(bus->group, writing->releases, WRITING_RELEASES);
    if (writing->n_releases == 0)
        return;
    if (add_holds(writing, peers))
        perform(bus, writing);
    else
        release_later(bus, writing);
    writing_end(writing);
}

void group_flush(struct bus *bus, struct list *peers)
{
    bool first = true;
    while (!bus->group->failed && flush_round(bus, peers, first))
        first = false;
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
    writing_end(writing);
    int64_t result = writing->entries[0].result;
    if (result < 0 && result != -ENOENT)
        group_peer_retry(bus->group, peer);
    else
        peer->group.gp->held = false;
}

/* Writes one send's worth of the queue. False: the socket takes no more now. */
static bool continue_once(struct bus *bus, struct peer *peer)
{
    struct writing *writing = bus->group->writing;
    writing_begin(writing);
    size_t offset = peer->output.queue_offset;
    struct delivery_list *queue = &peer->output.queue;
    const struct delivery *next = add(writing, peer, queue, queue->first, &offset);
    if (!perform(bus, writing))
        return false;
    int64_t result = writing->entries[0].result;
    if (result < 0) {
        writing_end(writing);
        if (refused(bus, peer, (int)-result) || peer_is_gone(peer))
            return false;
        output_queue_take(peer);
        return true;
    }
    write_note_begin(&bus->under_way.writing, peer, queue, queue->first, peer->output.queue_offset);
    bus->under_way.writing.call.moved = (unsigned int)result; /* output_queue_take_sent ends this note */
    writing_end(writing);
    output_count(bus, peer, (size_t)result);
    quota_progress(peer);
    output_queue_take_sent(bus, peer, (size_t)result);
    if ((size_t)result < writing->parts[0].bytes)
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
