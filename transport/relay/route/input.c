/* SPDX-License-Identifier: MIT */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* recvmmsg */
#endif
/*
 * The input of a connection: one recvmsg, then its complete messages are routed.
 *
 * - Messages received earlier are parsed before more is read. parse() leaves waiting set as long as the tail
 *   may begin with a complete message, and input_read() does not touch the socket then. So whenever it does,
 *   the tail is the beginning of one message, and what is copied in front of a read is bounded by
 *   INPUT_COPIED_TAIL.
 * - A turn is bounded in bytes by one read and in time by INPUT_TURN_TIME; the rest waits in bus.ready.
 * - A flush may lose any peer, including this one, so it comes before may_go_on() and before the tail is
 *   used.
 * - Descriptors belong to the messages that begin in the bytes of the recvmsg that returned them. A message
 *   that began in an earlier read claims exactly the descriptors that came with its beginning; descriptors
 *   that no message can claim any more end the connection. The kernel ends a read after the bytes that
 *   descriptors came with, unless the buffer was full before: then messages that begin in the next read may
 *   claim them too (fds_open). Thus a client that sends descriptors with their message is never affected,
 *   however it joins its messages.
 */
#include "route/input.h"

#include "base/clock.h"
#include "route/route.h"
#include "send/mediate.h"
#include "send/output.h"
#include "state/group_ops.h"
#include "state/inbox.h"
#include "state/log.h"
#include "state/quota.h"
#include "state/report.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define INPUT_COPIED_TAIL                                                                                    \
    (64u * 1024)                /* a longer tail grows in place instead of being copied at every read */
#define INPUT_TURN_WORK 64u     /* units of bus.work between readings of the clock */
#define INPUT_TURN_MESSAGES 32u /* messages between readings of the clock */

_Static_assert(sizeof(struct noted_call) == sizeof(struct mmsghdr) &&
                   offsetof(struct noted_call, moved) == offsetof(struct mmsghdr, msg_len),
               "the kernel stores the length where it is noted");
_Static_assert(INPUT_COPIED_TAIL + INBOX_READ_SIZE <= BATCH_INPUT_SIZE, "a read fits behind a tail");
_Static_assert(INBOX_READ_SHORT <= INBOX_READ_SIZE, "INBOX_READ_SIZE is the largest read");

/* What a peer has used of its turn. */
struct turn {
    int64_t end; /* microseconds; 0: the clock was not read yet */
    uint32_t messages;
};

static int input_take_control(struct peer *peer, struct msghdr *header)
{
    if (header->msg_controllen == 0)
        return 0;
    for (struct cmsghdr *cmsg = CMSG_FIRSTHDR(header); cmsg; cmsg = CMSG_NXTHDR(header, cmsg)) {
        if (cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_RIGHTS)
            continue;
        int fds[UNDER_WAY_FDS];
        uint32_t n = (uint32_t)((cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        memcpy(fds, CMSG_DATA(cmsg), n * sizeof(int));
        if (!peer->credentials.fd_passing) {
            for (uint32_t i = 0; i < n; i++)
                close(fds[i]);
        } else if (inbox_add_fds(peer, fds, n) < 0) {
            return -ENOMEM;
        }
    }
    return header->msg_flags & MSG_CTRUNC ? -EMSGSIZE : 0;
}

int input_received(struct peer *peer, struct read_note *reading)
{
    struct msghdr *header = &reading->call.header;
    size_t n = reading->call.moved, size = reading->iov.iov_len;
    peer->input.n_fds = reading->had_fds; /* they were taken in part if a standby does it again */
    peer->input.begun = reading->have > 0 && !reading->fds_open;
    peer->input.n_fds_begun = reading->had_fds;
    peer->input.fds_open = n == size && n > 0 && (header->msg_controllen > 0 || reading->fds_open);
    int error = input_take_control(peer, header);
    reading->claimed = true;
    return error;
}

/*
 * One recvmmsg, behind the input that the peer has at data. Returns the number of bytes; 0: nothing
 * available, or the peer was lost.
 */
static size_t input_receive(struct bus *bus, struct peer *peer, uint8_t *data, size_t have, size_t size)
{
    struct read_note *reading = &bus->under_way.reading;
    struct msghdr *header = &reading->call.header;
    read_note_begin(reading, peer, data, have);
    reading->had_fds = peer->input.n_fds;
    reading->fds_open = peer->input.fds_open;
    reading->iov = (struct iovec){data + have, size};
    *header = (struct msghdr){.msg_iov = &reading->iov,
                              .msg_iovlen = 1,
                              .msg_control = reading->control,
                              .msg_controllen = sizeof(reading->control)};
    reading->claimed = false;
    int received =
        recvmmsg(peer->fd, (struct mmsghdr *)&reading->call, 1, MSG_DONTWAIT | MSG_CMSG_CLOEXEC, NULL);
    bus->totals.receives++;
    peer->input.readable = false;
    if (received < 0) {
        read_note_end(reading);
        if (errno == EAGAIN)
            peer->input.fds_open = false;
        peer->input.begun = have > 0 && !peer->input.fds_open;
        peer->input.n_fds_begun = peer->input.n_fds;
        if (errno == EINTR || errno == ENOMEM)
            peer->input.readable = true;
        else if (errno != EAGAIN)
            bus_lose(bus, peer, RELAY_GONE_CLOSED);
        return 0;
    }
    size_t n = reading->call.moved;
    int error = input_received(peer, reading);
    if (n == 0) {
        bus_lose(bus, peer, RELAY_GONE_CLOSED);
        return 0;
    }
    /*
     * the kernel ends a read at descriptors, so only a short read without any means that the socket is empty
     */
    peer->input.readable = n == size || header->msg_controllen > 0 || peer->input.hung_up || peer->seqpacket;
    if (error < 0) {
        bus_lose(bus, peer, error == -ENOMEM ? RELAY_GONE_MEMORY : RELAY_GONE_FDS);
        return 0;
    }
    if (header->msg_flags & MSG_TRUNC) {
        log_line(bus, LOG_INFO, "%s (%s) sent a packet of more than %zu bytes", peer->unique_text,
                 peer->credentials.loginfo, size);
        bus_lose(bus, peer, RELAY_GONE_INVALID);
        return 0;
    }
    GROUP_CALL(bus, dirty, bus, peer);
    if (bus->mediation)
        mediate_look(bus);
    peer->statistics.bytes_in += n;
    bus->totals.bytes_in += n;
    return n;
}

/* Takes the descriptors of the next message; *fds stays NULL if it has none. */
static bool claim_fds(struct bus *bus, struct peer *peer, const struct message *m, struct fds **fds)
{
    uint32_t least = peer->input.begun ? peer->input.n_fds_begun : 0;
    uint32_t most = peer->input.begun ? peer->input.n_fds_begun : peer->input.n_fds;
    peer->input.begun = false;
    if (m->n_fds == 0 && least == 0)
        return true;
    if (m->n_fds < least || m->n_fds > most || m->n_fds > bus->limits.max_message_unix_fds) {
        log_line(bus, LOG_WARNING, "%s claims %u file descriptors and sent %u", peer->unique_text, m->n_fds,
                 most);
        bus_lose(bus, peer, RELAY_GONE_FDS);
        return false;
    }
    *fds = fds_new(peer->input.fds, m->n_fds);
    peer->input.n_fds -= m->n_fds;
    memmove(peer->input.fds, peer->input.fds + m->n_fds, peer->input.n_fds * sizeof(*peer->input.fds));
    if (!*fds)
        bus_lose(bus, peer, RELAY_GONE_MEMORY);
    return *fds != NULL;
}

static void lose_invalid(struct bus *bus, struct peer *peer, enum message_error error)
{
    log_line(bus, LOG_INFO, "%s (%s) sent an invalid message: %s", peer->unique_text,
             peer->credentials.loginfo, message_error_text(error));
    bus_lose(bus, peer, RELAY_GONE_INVALID);
}

static bool has_to_wait(const struct bus *bus, const struct peer *peer)
{
    return quota_exceeded(bus, peer) || report_exceeded(peer);
}

static bool may_go_on(struct bus *bus, struct peer *peer)
{
    if (!peer->input.paused && has_to_wait(bus, peer)) {
        peer->input.paused = true;
        list_append(&bus->paused, &peer->input.in_paused);
    }
    return peer->life == PEER_CONNECTED && !peer->calls.stopped && !peer->input.paused;
}

/*
 * True if the turn is over, asked before each message. The first one is always routed. The clock is read
 * after INPUT_TURN_MESSAGES messages, or sooner after much work: looking for matching rules, delivering
 * copies, replies of the driver.
 */
static bool turn_over(struct bus *bus, struct turn *turn)
{
    if (turn->messages++ == 0) {
        bus->work = 0;
        return false;
    }
    if (bus->work < INPUT_TURN_WORK && turn->messages % INPUT_TURN_MESSAGES > 0)
        return false;
    bus->work = 0;
    int64_t now = clock_microseconds();
    if (turn->end == 0)
        turn->end = now + INPUT_TURN_TIME;
    return now >= turn->end;
}

/* Routes the complete messages at data. Returns the number of bytes used, and sets waiting. */
static size_t parse(struct bus *bus, struct peer *peer, const uint8_t *data, size_t size)
{
    struct read_note *reading = &bus->under_way.reading;
    struct turn turn = {0};
    size_t at = 0;
    peer->input.waiting = false;
    for (;;) {
        uint32_t n;
        enum message_error error = message_frame(data + at, size - at, bus->limits.max_message_size, &n);
        if (error == MESSAGE_INCOMPLETE || (error == MESSAGE_OK && n > size - at))
            break;
        if (batch_full(&bus->batch))
            output_flush(bus);
        if (!may_go_on(bus, peer) || turn_over(bus, &turn)) {
            peer->input.waiting = true;
            break;
        }
        struct message m;
        if (error == MESSAGE_OK)
            error = message_parse(&m, data + at, n);
        if (error != MESSAGE_OK) {
            lose_invalid(bus, peer, error);
            break;
        }
        struct fds *fds = NULL;
        reading->n_fds = peer->input.n_fds;
        reading->routed = at + n;
        if (!claim_fds(bus, peer, &m, &fds))
            break;
        peer->input.big_endian = m.big_endian;
        peer->statistics.messages_in++;
        bus->totals.messages_in++;
        route_message(bus, peer, &m, fds);
        fds_unref(fds);
        at += n;
        reading->doubtful = at;
    }
    return at;
}

/*
 * Checks for unclaimable descriptors: once no complete message waits, only the incomplete one can claim any.
 */
static void check_fds(struct bus *bus, struct peer *peer)
{
    if (peer->input.n_fds > 0 || list_linked(&peer->input.in_fd_waits))
        quota_fds_wait(bus, peer);
    if (peer_is_gone(peer) || peer->input.waiting || peer->input.n_fds == 0)
        return;
    uint64_t most =
        peer->input.fds_open ? bus->limits.max_incoming_unix_fds : bus->limits.max_message_unix_fds;
    uint32_t unclaimed = peer->input.fds_open ? 0 : peer->input.n_fds;
    if (unclaimed && peer->input.tail_size > peer->input.tail_start)
        unclaimed -= peer->input.begun ? peer->input.n_fds_begun : peer->input.n_fds;
    if (unclaimed == 0 && peer->input.n_fds <= most)
        return;
    log_line(bus, LOG_WARNING, "%s sent %u file descriptors that belong to no message", peer->unique_text,
             unclaimed > 0 ? unclaimed : peer->input.n_fds);
    bus_lose(bus, peer, RELAY_GONE_FDS);
}

/* Parses the tail, of which a long outgoing message may keep the buffer. */
static void parse_tail(struct bus *bus, struct peer *peer)
{
    struct buffer *tail = buffer_ref(peer->input.tail);
    const uint8_t *data = tail->data + peer->input.tail_start;
    size_t size = peer->input.tail_size - peer->input.tail_start;
    read_note_begin(&bus->under_way.reading, peer, data, size);
    bus->parsed = tail;
    peer->input.tail_start += parse(bus, peer, data, size);
    bus->parsed = NULL;
    if (!peer_is_gone(peer) && peer->input.tail_start == peer->input.tail_size)
        inbox_clear(peer);
    read_note_end(&bus->under_way.reading);
    buffer_unref(tail);
}

static void read_into_tail(struct bus *bus, struct peer *peer, uint32_t claimed)
{
    size_t have = peer->input.tail_size - peer->input.tail_start;
    if ((peer->input.tail_start > 0 || peer->input.tail->references > 1) &&
        inbox_set(peer, peer->input.tail->data + peer->input.tail_start, have) < 0) {
        bus_lose(bus, peer, RELAY_GONE_MEMORY);
        return;
    }
    size_t wanted = claimed;
    if (peer->seqpacket && wanted < have + INBOX_READ_SIZE)
        wanted = have + INBOX_READ_SIZE; /* a packet is read as a whole, and may bring the next message too */
    size_t capacity = have + (have < INBOX_READ_SIZE ? INBOX_READ_SIZE : have);
    size_t most =
        (wanted + 0xffff) & ~(size_t)0xffff; /* rounded, so that the buffer serves similar messages too */
    if (inbox_reserve(bus, peer, capacity < most ? capacity : most, wanted) < 0) {
        bus_lose(bus, peer, RELAY_GONE_MEMORY);
        return;
    }
    size_t room = (peer->input.tail->capacity < wanted ? peer->input.tail->capacity : wanted) - have;
    peer->input.tail_size += input_receive(bus, peer, peer->input.tail->data, have, room);
    if (!peer_is_gone(peer) && peer->input.tail_size >= claimed) {
        peer->input.read_size = INBOX_READ_HEAD;
        parse_tail(bus, peer);
    }
}

static void read_into_batch(struct bus *bus, struct peer *peer)
{
    struct batch *batch = &bus->batch;
    size_t have = peer->input.tail_size - peer->input.tail_start;
    size_t room =
        peer->seqpacket || peer->input.read_size > INBOX_READ_SIZE ? INBOX_READ_SIZE : peer->input.read_size;
    uint64_t before = peer->statistics.messages_in;
    if (have > INPUT_COPIED_TAIL) {
        /* cannot happen: long_message() or parse_tail() takes a longer tail; it is copied below */
        bus_lose(bus, peer, RELAY_GONE_MEMORY);
        return;
    }
    if (BATCH_INPUT_SIZE - batch->input_used < have + room) {
        output_flush(bus);
        batch->input_used = 0;
        if (peer_is_gone(peer))
            return;
    }
    uint8_t *data = batch->input + batch->input_used;
    if (have)
        memcpy(data, peer->input.tail->data + peer->input.tail_start, have);
    size_t n = input_receive(bus, peer, data, have, room);
    if (n == 0)
        return;
    size_t size = have + n;
    batch->input_used += (size + 63) & ~(size_t)63;
    if (batch->input_used > BATCH_INPUT_SIZE)
        batch->input_used = BATCH_INPUT_SIZE;
    size_t used = parse(bus, peer, data, size);
    /* judged by the messages routed; nothing is known of those that wait */
    size_t came = peer->input.waiting ? used : n;
    bool lengthy = came / BATCH_SMALL > peer->statistics.messages_in - before;
    peer->input.read_size = lengthy ? INBOX_READ_SIZE : INBOX_READ_SHORT;
    if (!peer_is_gone(peer) && (peer->input.tail || used < size) &&
        inbox_set(peer, data + used, size - used) < 0)
        bus_lose(bus, peer, RELAY_GONE_MEMORY);
}

/* The size of the long message that begins in the tail; 0: there is none. */
static uint32_t long_message(const struct bus *bus, const struct peer *peer)
{
    size_t have = peer->input.tail_size - peer->input.tail_start;
    uint32_t claimed = 0;
    if (have < MESSAGE_FIXED_SIZE)
        return 0;
    const uint8_t *at = peer->input.tail->data + peer->input.tail_start;
    if (message_frame(at, have, bus->limits.max_message_size, &claimed) != MESSAGE_OK || claimed <= have)
        return 0;
    return have > INPUT_COPIED_TAIL || claimed > INBOX_READ_SIZE ? claimed : 0;
}

void input_read(struct bus *bus, struct peer *peer)
{
    peer->input.readable = true;
    if (peer->input.waiting || !may_go_on(bus, peer))
        return;
    uint32_t claimed = long_message(bus, peer);
    if (claimed)
        read_into_tail(bus, peer, claimed);
    else
        read_into_batch(bus, peer);
    read_note_end(&bus->under_way.reading);
    check_fds(bus, peer);
    if (peer->input.readable || peer->input.waiting)
        inbox_turn(bus, peer);
}

void input_continue(struct bus *bus, struct peer *peer)
{
    if (!peer->input.waiting) {
        if (peer->input.readable && !peer_is_gone(peer))
            input_read(bus, peer);
        return;
    }
    if (peer->input.tail)
        parse_tail(bus, peer);
    else
        peer->input.waiting = false;
    check_fds(bus, peer);
    if (peer->input.readable || peer->input.waiting)
        inbox_resume(bus, peer);
}

void input_unpause(struct bus *bus)
{
    LIST_FOR_SAFE (at, after, &bus->paused) {
        struct peer *peer = CONTAINER_OF(at, struct peer, input.in_paused);
        if (has_to_wait(bus, peer))
            continue;
        peer->input.paused = false;
        list_unlink(at);
        inbox_resume(bus, peer);
    }
}
