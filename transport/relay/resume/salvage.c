/* SPDX-License-Identifier: MIT */
#include "resume/salvage.h"

#include "base/clock.h"
#include "resume/resume_internal.h"
#include "route/input.h"
#include "send/judge.h"
#include "send/listeners.h"
#include "send/output_internal.h"
#include "send/say.h"
#include "state/group_ops.h"
#include "state/held.h"
#include "state/inbox.h"
#include "state/log.h"
#include "state/monitor_rules.h"

#include <stdlib.h>
#include <sys/socket.h>

/* Shortens a queue by what was written to its socket. */
static void complete_write(struct write_note *writing)
{
    struct peer *peer = atomic_load(&writing->peer);
    if (!peer || peer_is_gone(peer))
        return;
    output_written(peer, writing->list, writing->first, writing->offset + writing->call.moved);
}

/* False: it is forgotten, or about to be. */
static bool is_in_table(const struct bus *bus, const struct peer *peer)
{
    return bus_peer(bus, peer->id) == peer;
}

/* Copies a message to one piece. NULL: no memory. */
static uint8_t *joined(const struct outgoing *out)
{
    uint8_t *bytes = malloc(outgoing_size(out));
    if (bytes) {
        memcpy(bytes, out->head, out->head_size);
        if (out->rest_size > 0)
            memcpy(bytes + out->head_size, out->rest, out->rest_size);
    }
    return bytes;
}

/* True if an answer to the call is on its way to the peer. */
static bool is_answered(const struct peer *peer, uint32_t serial)
{
    const struct delivery *lists[2] = {peer->output.queue.first, peer->output.pending.first};
    for (int i = 0; i < 2; i++) {
        for (const struct delivery *at = lists[i]; at; at = at->next) {
            struct message m;
            uint8_t *bytes = joined(at->out);
            if (bytes && message_parse(&m, bytes, (uint32_t)outgoing_size(at->out)) == MESSAGE_OK &&
                m.reply_serial == serial)
                return true;
        }
    }
    return false;
}

/* Answers a call that may not have been delivered, or whose reply may not have been. */
static void answer_interrupted(struct bus *bus, struct peer *caller, uint32_t serial)
{
    if (caller->active && reply_awaited(caller) && !is_answered(caller, serial))
        say_error(bus, caller, serial, ERROR_NO_REPLY,
                  "The message bus crashed while it handled the call or its reply");
}

static struct reply *pending_reply(struct peer *caller, const struct peer *callee, uint32_t serial)
{
    LIST_FOR (at, &caller->calls.made) {
        struct reply *reply = CONTAINER_OF(at, struct reply, in_caller);
        if (reply->serial == serial && (!callee || reply->callee == callee))
            return reply;
    }
    return NULL;
}

/* A list that is whole forwards only, as the bus may have ended in the middle of a change, is whole again. */
static void mend(struct list *head)
{
    struct list *last = head;
    LIST_FOR (at, head) {
        at->previous = last;
        last = at;
    }
    head->previous = last;
}

static bool is_owed(const struct peer *callee, const struct reply *reply)
{
    LIST_FOR (at, &callee->calls.owed) {
        if (at == &reply->in_callee)
            return true;
    }
    return false;
}

/* NULL: no memory. */
static struct reply *new_reply(const struct bus *bus, const struct group_call *call)
{
    struct reply *reply = calloc(1, sizeof(*reply));
    if (!reply)
        return NULL;
    int64_t since = clock_now() - call->age;
    reply->caller = call->caller;
    reply->callee = call->callee;
    reply->serial = call->serial;
    reply->since = bus->limits.reply_timeout > 0 ? (since > 0 ? since : 1) : 0;
    list_append(&call->caller->calls.made, &reply->in_caller);
    return reply;
}

/* A call that the kernel's group had recorded is the relay's, to be answered by the callee as before. */
static bool keep_call(struct bus *bus, const struct group_call *call)
{
    struct peer *caller = call->caller, *callee = call->callee;
    if (!caller || !is_in_table(bus, caller))
        return true;
    if (!callee || !is_in_table(bus, callee)) {
        answer_interrupted(bus, caller, call->serial);
        return true;
    }
    if (call->doubtful ? is_answered(caller, call->serial)
                       : replies_find(&bus->replies, caller, callee, call->serial) != NULL)
        return true;
    /* the bus may have recorded it in part */
    struct reply *reply = call->doubtful ? pending_reply(caller, callee, call->serial) : NULL;
    if (!reply && !(reply = new_reply(bus, call)))
        return false;
    if (!call->doubtful || !is_owed(callee, reply))
        list_append(&callee->calls.owed, &reply->in_callee);
    return true;
}

/*
 * What the kernel knows comes first: a call or a reply in whose middle the bus ended may be one whose pending
 * reply is recorded there. False: no memory.
 */
static bool complete_group(struct bus *bus)
{
    if (!bus->group_ops)
        return true;
    for (struct table_node *node = NULL; (node = table_walk(&bus->peers, node));) {
        struct peer *peer = CONTAINER_OF(node, struct peer, node);
        mend(&peer->calls.made);
        mend(&peer->calls.owed);
    }
    bool done = bus->group_ops->salvage(bus, keep_call);
    bus->group_ops = NULL; /* it has ended */
    return done;
}

/* True if the control plane has the call, and gets it once more. */
static bool is_kept(const struct peer *peer, uint32_t serial)
{
    if (peer->calls.held && peer->calls.held->m.serial == serial)
        return true;
    LIST_FOR (at, &peer->calls.parked) {
        if (CONTAINER_OF(at, struct parked, in_sender)->held->m.serial == serial)
            return true;
    }
    return false;
}

/* Takes the descriptors of a message from those of its sender, unless that was done. execve(2) closes them.
 */
static void drop_fds(struct peer_input *in, uint32_t n_before, uint32_t n)
{
    if (in->n_fds != n_before || n > in->n_fds)
        return;
    in->n_fds -= n;
    memmove(in->fds, in->fds + n, in->n_fds * sizeof(*in->fds));
}

/* The message that was being routed. */
static void settle_doubtful(struct bus *bus, struct peer *sender, const uint8_t *bytes, size_t size)
{
    struct message m;
    if (message_parse(&m, bytes, (uint32_t)size) != MESSAGE_OK)
        return;
    if (m.n_fds > 0)
        drop_fds(&sender->input, bus->under_way.reading.n_fds, m.n_fds);
    sender->input.begun = false;
    if (!sender->active)
        return;
    if (m.type == MESSAGE_METHOD_CALL) {
        if (m.flags & MESSAGE_NO_REPLY_EXPECTED || is_kept(sender, m.serial))
            return;
        struct reply *reply = pending_reply(sender, NULL, m.serial);
        if (reply)
            list_unlink(&reply->in_callee);
        answer_interrupted(bus, sender, m.serial);
        return;
    }
    struct peer *caller = m.reply_serial && m.destination.s ? bus_find(bus, m.destination) : NULL;
    struct reply *reply = caller ? pending_reply(caller, sender, m.reply_serial) : NULL;
    if (!reply)
        return;
    list_unlink(&reply->in_callee);
    answer_interrupted(bus, caller, m.reply_serial);
}

/* Puts what was read and not routed into the tail. */
static void complete_read(struct bus *bus, struct read_note *reading)
{
    struct peer *peer = atomic_load(&reading->peer);
    if (!peer || peer_is_gone(peer))
        return;
    size_t size = reading->have + reading->call.moved;
    if (!reading->claimed && reading->call.moved > 0 && input_received(peer, reading) < 0) {
        peer->life = PEER_CLOSING;
        return;
    }
    if (reading->doubtful < reading->routed && reading->routed <= size)
        settle_doubtful(bus, peer, reading->data + reading->doubtful, reading->routed - reading->doubtful);
    if (reading->routed > size ||
        inbox_set(peer, reading->data + reading->routed, size - reading->routed) < 0)
        peer->life = PEER_CLOSING;
    peer->input.waiting = size > reading->routed;
    peer->input.readable = true;
}

/* Queues what was not written in this wake-up. False: no memory. */
static bool keep_pending(struct peer *peer)
{
    struct peer_output *out = &peer->output;
    const struct delivery *at = out->pending.first;
    if (at && !out->queue.first)
        out->progress = clock_now();
    if (at && at->out->kept && out->queue.last && out->queue.last->out == at->out->kept)
        at = at->next; /* it was being moved there */
    for (; at; at = at->next) {
        struct delivery *delivery = malloc(sizeof(*delivery));
        if (!delivery || !(delivery->out = outgoing_keep(at->out)))
            return false;
        delivery_append(&out->queue, delivery);
    }
    return true;
}

/* The list may be in the middle of a change. */
static void count_queue(struct delivery_list *queue)
{
    queue->count = 0;
    queue->last = NULL;
    for (struct delivery *at = queue->first; at; at = at->next) {
        queue->count++;
        queue->last = at;
    }
}

/* The control plane has a message of it; the flag is set, and taken back, a moment later. */
static bool is_stopped(const struct peer *peer)
{
    bool stopped = peer->calls.held != NULL;
    LIST_FOR (at, &peer->calls.parked)
        stopped |= CONTAINER_OF(at, struct parked, in_sender)->stops;
    return stopped;
}

/* What remains of a connection that is lost, or that is to be. */
static void shut(struct peer *peer)
{
    shutdown(peer->fd, SHUT_RDWR);
    peer->output.queue = peer->output.pending = (struct delivery_list){0};
    peer->output.queue_offset = 0;
    inbox_clear(peer);
    peer->input.n_fds = 0; /* closed by execve(2) */
    peer->input.begun = false;
    peer->input.waiting = false;
    peer->calls.held = NULL;
    peer->calls.stopped = false;
    peer->calls.about = NULL;
    if (peer->monitor && !peer->monitor->list)
        peer->monitor->list = match_list_new(peer);
}

/* Calls of connections that have been forgotten, and those made to them. */
static void settle_forgotten(struct bus *bus)
{
    for (struct table_node *node = NULL; (node = table_walk(&bus->peers, node));) {
        struct peer *peer = CONTAINER_OF(node, struct peer, node);
        LIST_FOR (at, &peer->calls.made) {
            const struct reply *reply = CONTAINER_OF(at, struct reply, in_caller);
            if (!is_in_table(bus, reply->callee))
                answer_interrupted(bus, peer, reply->serial);
        }
        LIST_FOR_SAFE (at, after, &peer->calls.owed) {
            if (!is_in_table(bus, CONTAINER_OF(at, struct reply, in_callee)->caller))
                list_unlink(at);
        }
    }
}

/* Notes the crash. Returns the connection that has caused two of them; CRASH_NO_PEER: none has. */
static uint64_t note_crash(struct bus *bus, int64_t now)
{
    struct crashes *crashes = &bus->crashes;
    struct peer *reading = atomic_load(&bus->under_way.reading.peer);
    struct peer *writing = atomic_load(&bus->under_way.writing.peer);
    const struct peer *at_work = writing ? writing : reading ? reading : bus->turn;
    struct crash crash = {now, CRASH_NO_PEER, (uint32_t)bus->crash_note.signal};
    uint64_t culprit = CRASH_NO_PEER;
    uint32_t n = 0;
    if (crash.signal && bus->crash_note.in_data_plane && at_work)
        crash.peer = at_work->id;
    for (uint32_t i = crashes->n == CRASHES_MAX; i < crashes->n; i++) {
        const struct crash before = crashes->all[i];
        if (now - before.when >= CRASHES_TIME)
            continue;
        if (crash.peer != CRASH_NO_PEER && before.peer == crash.peer && now - before.when < CRASH_PEER_TIME)
            culprit = crash.peer;
        crashes->all[n++] = before;
    }
    crashes->all[n++] = crash;
    crashes->n = n;
    return culprit;
}

static bool has_crashed_too_often(const struct bus *bus)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < bus->crashes.n; i++)
        n += bus->crashes.all[i].signal > 0;
    return n >= CRASHES_TOO_MANY;
}

static void empty_table(struct table *table)
{
    struct table_node **buckets = calloc(table->size, sizeof(struct table_node *));
    if (buckets)
        table->buckets = buckets;
    table->count = 0;
}

/* Leaves the bus as it would start; its doors and numbers stay. */
static void forget_connections(struct bus *bus)
{
    empty_table(&bus->peers);
    empty_table(&bus->registry.names);
    empty_table(&bus->registry.handed);
    empty_table(&bus->parking.ids);
    empty_table(&bus->replies.table);
    list_init(&bus->incompletes.all);
    bus->parking.n_starting = 0;
}

/* Makes the tables say what has happened. False: no memory. */
static bool complete_tables(struct bus *bus, uint64_t culprit)
{
    complete_write(&bus->under_way.writing);
    bool done = complete_group(bus);
    settle_forgotten(bus);
    complete_read(bus, &bus->under_way.reading);
    for (struct table_node *node = NULL; (node = table_walk(&bus->peers, node));) {
        struct peer *peer = CONTAINER_OF(node, struct peer, node);
        count_queue(&peer->output.queue);
        peer->calls.stopped = is_stopped(peer);
        if (peer->life != PEER_CONNECTED || peer->id == culprit)
            shut(peer);
        else if (list_linked(&peer->in_observers))
            listeners_say_lost(bus, peer); /* a change may have been made and not told */
        done &= keep_pending(peer);
    }
    return done;
}

int salvage(struct bus *bus, int fd, const uint8_t *sections, size_t size, struct dump_result *result)
{
    uint64_t culprit = note_crash(bus, clock_now());
    bus->n_log = LOG_LINES_MAX; /* nothing is reported any more */
    if (has_crashed_too_often(bus)) {
        forget_connections(bus);
    } else if (!complete_tables(bus, culprit)) {
        snprintf(result->why, sizeof(result->why), "not enough memory");
        return -ENOMEM;
    }
    return dump_tables(bus, fd, sections, size, true, result);
}
