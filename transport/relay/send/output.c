/* SPDX-License-Identifier: MIT */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* sendmmsg */
#endif
#include "send/output_internal.h"

#include "state/group_ops.h"
#include "state/quota.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>

static void touch(struct bus *bus, struct peer *peer)
{
    if (!list_linked(&peer->output.in_touched))
        list_append(&bus->touched, &peer->output.in_touched);
}

void output_add(struct bus *bus, struct peer *peer, struct outgoing *out)
{
    struct delivery *delivery = batch_delivery(&bus->batch);
    if (!delivery) {
        output_close(bus, peer, RELAY_GONE_MEMORY);
        return;
    }
    delivery->out = out;
    delivery_append(&peer->output.pending, delivery);
    peer->output.pending_bytes += outgoing_size(out);
    peer->output.pending_fds += out->fds ? out->fds->n : 0;
    peer->statistics.messages_out++;
    bus->totals.messages_out++;
    touch(bus, peer);
}

void output_close(struct bus *bus, struct peer *peer, enum relay_gone reason)
{
    if (peer->life == PEER_CONNECTED) {
        peer->closing_reason = reason;
        peer->life = PEER_CLOSING;
    }
    touch(bus, peer);
}

/* Adds bytes, joining neighbours in memory into one iovec. */
static void gather_bytes(struct gathered *g, const uint8_t *bytes, size_t size)
{
    if (size == 0)
        return;
    g->bytes += size;
    if (g->n > 0) {
        struct iovec *last = &g->iov[g->n - 1];
        if ((const uint8_t *)last->iov_base + last->iov_len == bytes) {
            last->iov_len += size;
            return;
        }
    }
    g->iov[g->n++] = (struct iovec){(void *)bytes, size};
}

/* Cuts a long message to the size of a packet. */
static void cut(struct gathered *g, size_t size)
{
    while (g->bytes - g->iov[g->n - 1].iov_len >= size)
        g->bytes -= g->iov[--g->n].iov_len;
    g->iov[g->n - 1].iov_len -= g->bytes - size;
    g->bytes = size;
}

void gather(struct gathered *g, const struct delivery *delivery, size_t offset)
{
    size_t begin = offset;
    g->n = 0;
    g->bytes = 0;
    g->fds = offset == 0 ? delivery->out->fds : NULL;
    const struct delivery *first = delivery;
    for (; delivery && g->n + 2 <= g->room && g->bytes < OUTPUT_BYTES; delivery = delivery->next) {
        const struct outgoing *out = delivery->out;
        if (delivery != first && (out->fds || g->packet))
            break;
        size_t skip = offset < out->head_size ? offset : out->head_size;
        gather_bytes(g, out->head + skip, out->head_size - skip);
        if (out->rest_size > offset - skip)
            gather_bytes(g, out->rest + (offset - skip), out->rest_size - (offset - skip));
        offset = 0;
    }
    g->next = delivery;
    g->next_offset = 0;
    if (g->packet && g->bytes > OUTPUT_PACKET) {
        cut(g, OUTPUT_PACKET);
        g->next = first;
        g->next_offset = begin + OUTPUT_PACKET;
    }
}

size_t gather_control(const struct fds *fds, void *control)
{
    size_t size = fds->n * sizeof(int);
    struct msghdr header = {.msg_control = control, .msg_controllen = CMSG_SPACE(size)};
    memset(control, 0, CMSG_SPACE(size));
    struct cmsghdr *cmsg = CMSG_FIRSTHDR(&header);
    cmsg->cmsg_level = SOL_SOCKET;
    cmsg->cmsg_type = SCM_RIGHTS;
    cmsg->cmsg_len = CMSG_LEN(size);
    memcpy(CMSG_DATA(cmsg), fds->fd, size);
    return CMSG_SPACE(size);
}

/*
 * Sends what was gathered from the list, which begins with offset bytes sent. After a success the note of it
 * is in force, until the list is shortened.
 */
static ssize_t send_gathered(struct bus *bus, struct peer *peer, struct delivery_list *list,
                             struct gathered *g)
{
    struct write_note *writing = &bus->under_way.writing;
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(OUTPUT_FDS * sizeof(int))];
    } control;
    writing->call.header = (struct msghdr){.msg_iov = g->iov, .msg_iovlen = g->n};
    if (g->fds && g->fds->n > 0) {
        writing->call.header.msg_control = &control;
        writing->call.header.msg_controllen = gather_control(g->fds, &control);
    }
    write_note_begin(writing, peer, list, list->first, peer->output.queue_offset);
    if (sendmmsg(peer->fd, (struct mmsghdr *)&writing->call, 1, MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
        return (ssize_t)writing->call.moved;
    write_note_end(writing);
    return -1;
}

/* Asks for EPOLLOUT. The kernel reports at once if the socket is writable already, so no edge is missed. */
static void ask_writable(struct bus *bus, struct peer *peer, bool want)
{
    if (peer_is_gone(peer))
        return;
    struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET | (want ? EPOLLOUT : 0),
                                .data.ptr = &peer->source};
    if (epoll_ctl(bus->epoll, EPOLL_CTL_MOD, peer->fd, &event) == 0)
        peer->output.writing = want;
    else
        bus_lose(bus, peer, RELAY_GONE_MEMORY);
}

void output_want_writable(struct bus *bus, struct peer *peer, bool want)
{
    if (peer->output.writing != want)
        ask_writable(bus, peer, want);
}

enum refused output_refused(int error)
{
    switch (error) {
    case EAGAIN:
    case EINTR:
    case ENOBUFS:
    case ENOMEM:
        return REFUSED_LATER;
    case ETOOMANYREFS: /* too many descriptors are in flight: the message is dropped, not the receiver */
    case EBADF:
        return REFUSED_MESSAGE;
    default:
        return REFUSED_PEER;
    }
}

/*
 * Moves the first pending message to the queue. A process that ends in between leaves it in both, and never
 * in none: the queue's offset may be that of this message.
 */
static void keep(struct bus *bus, struct peer *peer)
{
    struct delivery *delivery = malloc(sizeof(*delivery));
    struct outgoing *kept = delivery ? outgoing_keep(peer->output.pending.first->out) : NULL;
    if (!kept) {
        free(delivery);
        bus_lose(bus, peer, RELAY_GONE_MEMORY);
        return;
    }
    delivery->out = kept;
    delivery_append(&peer->output.queue, delivery);
    delivery_take(&peer->output.pending);
    token_add(&kept->token, DELIVERY_COST);
    quota_keep(bus, peer, kept);
}

/*
 * Enlarges the socket buffer of a receiver of long messages, which then takes fewer turns. The kernel has a
 * limit.
 */
static void widen(struct peer *peer)
{
    int size = OUTPUT_WIDE;
    peer->output.wide = true;
    setsockopt(peer->fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
}

void output_keep_pending(struct bus *bus, struct peer *peer)
{
    while (peer->output.pending.first && !peer_is_gone(peer))
        keep(bus, peer);
    peer->output.pending_bytes = peer->output.pending_fds = 0;
    if (peer->output.queued_bytes > OUTPUT_WIDE && !peer->output.wide)
        widen(peer);
    output_want_writable(bus, peer, true);
}

size_t output_take_sent(struct delivery_list *list, size_t sent)
{
    while (list->first && sent >= outgoing_size(list->first->out)) {
        sent -= outgoing_size(list->first->out);
        delivery_take(list);
    }
    return sent;
}

void output_written(struct peer *peer, struct delivery_list *list, struct delivery *first, size_t sent)
{
    while (first && sent >= outgoing_size(first->out)) {
        sent -= outgoing_size(first->out);
        first = first->next;
    }
    list->first = first;
    peer->output.queue_offset = first ? sent : 0;
}

void output_count(struct bus *bus, struct peer *peer, size_t sent)
{
    peer->statistics.bytes_out += sent;
    bus->totals.bytes_out += sent;
    bus->totals.sends++;
}

void output_flush_peer(struct bus *bus, struct peer *peer)
{
    struct iovec iov[OUTPUT_IOVECS];
    struct gathered g = {.iov = iov, .room = OUTPUT_IOVECS, .packet = peer->seqpacket};
    while (peer->output.pending.first && !peer->output.queue.first && !peer_is_gone(peer)) {
        gather(&g, peer->output.pending.first, peer->output.queue_offset);
        ssize_t n = send_gathered(bus, peer, &peer->output.pending, &g);
        if (n < 0) {
            enum refused answer = output_refused(errno);
            if (answer == REFUSED_LATER)
                break;
            if (answer == REFUSED_PEER)
                bus_lose(bus, peer, RELAY_GONE_CLOSED);
            else
                delivery_take(&peer->output.pending);
            continue;
        }
        output_count(bus, peer, (size_t)n);
        peer->output.queue_offset =
            output_take_sent(&peer->output.pending, peer->output.queue_offset + (size_t)n);
        write_note_end(&bus->under_way.writing);
        if ((size_t)n < g.bytes)
            break;
    }
    if (peer->output.pending.first && !peer_is_gone(peer))
        output_keep_pending(bus, peer);
    peer->output.pending_bytes = peer->output.pending_fds = 0;
}

static void flushed(struct bus *bus, struct peer *peer)
{
    peer->output.pending = (struct delivery_list){0};
    list_unlink(&peer->output.in_touched);
    if (peer->life == PEER_CLOSING)
        bus_lose(bus, peer, peer->closing_reason);
}

/* Members of the group are written to together: none may react to a message before the others have it. */
void output_flush(struct bus *bus)
{
    struct list members;
    list_init(&members);
    LIST_FOR_SAFE (at, after, &bus->touched) {
        struct peer *peer = CONTAINER_OF(at, struct peer, output.in_touched);
        if (peer->group.gp) {
            list_unlink(at);
            list_append(&members, at);
            continue;
        }
        output_flush_peer(bus, peer);
        flushed(bus, peer);
    }
    if (!list_empty(&members))
        bus->group_ops->flush(bus, &members);
    LIST_FOR_SAFE (at, after, &members)
        flushed(bus, CONTAINER_OF(at, struct peer, output.in_touched));
    batch_reset(&bus->batch);
}

static void taken(struct peer *peer, struct delivery *delivery)
{
    quota_take(peer, delivery->out);
    token_subtract(&delivery->out->token, DELIVERY_COST);
    outgoing_unref(delivery->out);
    free(delivery);
}

void output_queue_take(struct peer *peer)
{
    taken(peer, delivery_take(&peer->output.queue));
}

/* What was sent is freed after the note of the call has ended, as that refers to it. */
void output_queue_take_sent(struct bus *bus, struct peer *peer, size_t sent)
{
    struct delivery *at = peer->output.queue.first;
    peer->output.queue_offset = output_take_sent(&peer->output.queue, peer->output.queue_offset + sent);
    write_note_end(&bus->under_way.writing);
    while (at != peer->output.queue.first) {
        struct delivery *next = at->next;
        taken(peer, at);
        at = next;
    }
}

void output_continue(struct bus *bus, struct peer *peer)
{
    if (peer->group.gp) {
        bus->group_ops->writable(bus, peer);
        return;
    }
    struct iovec iov[OUTPUT_IOVECS];
    struct gathered g = {.iov = iov, .room = OUTPUT_IOVECS, .packet = peer->seqpacket};
    while (peer->output.queue.first && !peer_is_gone(peer)) {
        gather(&g, peer->output.queue.first, peer->output.queue_offset);
        ssize_t n = send_gathered(bus, peer, &peer->output.queue, &g);
        if (n < 0) {
            enum refused answer = output_refused(errno);
            if (answer == REFUSED_LATER) {
                if (errno != EAGAIN)
                    ask_writable(bus, peer, true);
                return;
            }
            if (answer == REFUSED_PEER) {
                bus_lose(bus, peer, RELAY_GONE_CLOSED);
                return;
            }
            output_queue_take(peer);
            continue;
        }
        output_count(bus, peer, (size_t)n);
        quota_progress(peer);
        output_queue_take_sent(bus, peer, (size_t)n);
        if ((size_t)n < g.bytes)
            return;
    }
    output_want_writable(bus, peer, false);
}

void output_drop(struct peer *peer)
{
    while (peer->output.queue.first)
        output_queue_take(peer);
    peer->output.pending = (struct delivery_list){0};
    peer->output.pending_bytes = peer->output.pending_fds = 0;
    peer->output.queue_offset = 0;
}
