/* SPDX-License-Identifier: MIT */
#include "api/loop.h"

#include "accept/door.h"
#include "accept/handshake.h"
#include "accept/incomplete.h"
#include "accept/leave.h"
#include "base/clock.h"
#include "mediation/mediation.h"
#include "resume/resume.h"
#include "route/input.h"
#include "send/judge.h"
#include "send/mediate.h"
#include "send/output.h"
#include "send/say.h"
#include "state/group_ops.h"
#include "state/quota.h"

#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>

#define LOOP_EVENTS 128
#define LOOP_EXPIRED 64 /* calls past reply_timeout answered in a wake-up */

static void peer_event(struct bus *bus, struct peer *peer, uint32_t events)
{
    if (peer->handshake) {
        handshake_ready(bus, peer->handshake, events);
        return;
    }
    if (peer_is_gone(peer))
        return;
    bus->turn = peer;
    if (events & EPOLLOUT)
        output_continue(bus, peer);
    if (!peer_is_gone(peer) && events & ~(uint32_t)EPOLLOUT) {
        if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
            peer->input.hung_up = true;
        input_read(bus, peer);
    }
    bus->turn = NULL;
}

/* Gives each ready peer one turn; peers that become ready meanwhile wait for the next wake-up. */
static void ready_turns(struct bus *bus)
{
    struct list turns;
    list_init(&turns);
    LIST_FOR_SAFE (at, after, &bus->ready) {
        list_unlink(at);
        list_append(&turns, at);
    }
    while (!list_empty(&turns)) {
        struct peer *peer = CONTAINER_OF(turns.next, struct peer, input.in_ready);
        list_unlink(&peer->input.in_ready);
        bus->turn = peer;
        input_continue(bus, peer);
    }
    bus->turn = NULL;
}

static int64_t reply_deadline(const struct bus *bus)
{
    if (bus->limits.reply_timeout <= 0 || list_empty(&bus->replies.by_time))
        return -1;
    const struct reply *oldest = CONTAINER_OF(bus->replies.by_time.next, struct reply, in_time);
    return oldest->since + bus->limits.reply_timeout;
}

static void expire_replies(struct bus *bus)
{
    int64_t deadline = reply_deadline(bus);
    int64_t now = deadline >= 0 ? clock_now() : 0;
    for (int i = 0; i < LOOP_EXPIRED && deadline >= 0 && deadline <= now; i++) {
        struct reply *reply = CONTAINER_OF(bus->replies.by_time.next, struct reply, in_time);
        struct peer *caller = reply->caller;
        uint32_t serial = reply->serial;
        replies_remove(&bus->replies, reply);
        if (reply_awaited(caller))
            say_error(bus, caller, serial, ERROR_NO_REPLY,
                      "Message did not receive a reply (timeout by message bus)");
        deadline = reply_deadline(bus);
    }
    GROUP_CALL(bus, expire_calls, bus);
}

/* The sooner of two times; -1: never. */
static int64_t sooner(int64_t a, int64_t b)
{
    return a < 0 || (b >= 0 && b < a) ? b : a;
}

int loop_wait_time(const struct bus *bus)
{
    if (bus->frozen)
        return bus->commands_wait ? 0 : -1;
    if (bus->commands_wait || !list_empty(&bus->ready) || !list_empty(&bus->leaving) ||
        !list_empty(&bus->unsettled) || bus->sweeping)
        return 0;
    int64_t deadline = reply_deadline(bus);
    int64_t wait = sooner(bus->tick, bus->group_ops ? bus->group_ops->timeout(bus) : -1);
    if (deadline < 0)
        return (int)wait;
    int64_t left = deadline - clock_now();
    left = left < 0 ? 0 : left > 3600000 ? 3600000 : left;
    return (int)sooner(wait, left);
}

/* Handles an event. True: commands have arrived. */
static bool source_event(struct bus *bus, struct source *source, uint32_t events)
{
    switch (source->kind) {
    case SOURCE_COMMANDS:
        return true;
    case SOURCE_GROUP:
        if (events & EPOLLPRI)
            mediate_again(bus);
        GROUP_CALL(bus, spilled, bus);
        break;
    case SOURCE_PEER:
        peer_event(bus, CONTAINER_OF(source, struct peer, source), events);
        break;
    case SOURCE_DOOR:
        door_ready(bus, CONTAINER_OF(source, struct door, source));
        break;
    case SOURCE_MEDIATION:
        mediation_changed(bus->mediation);
        break;
    }
    return false;
}

/* Connections that exceeded auth_timeout come first, as they make room for new ones. */
static int64_t accept_tick(struct bus *bus)
{
    int64_t expiry = list_empty(&bus->incompletes.all) ? -1 : incomplete_tick(bus);
    return doors_settled(bus) ? expiry : sooner(expiry, doors_tick(bus));
}

/*
 * While the bus is frozen epoll is not asked: it keeps the edges of all sockets, so that none is lost when
 * the bus goes on.
 */
static void frozen_once(struct bus *bus, int timeout, loop_commands commands, void *context)
{
    struct pollfd commanded = {.fd = bus->commanded, .events = POLLIN};
    if (timeout != 0)
        poll(&commanded, 1, timeout);
    commands(context);
    freeze_settle(bus);
    events_wake(bus->events);
}

void loop_once(struct bus *bus, int timeout, loop_commands commands, void *context)
{
    if (bus->frozen) {
        frozen_once(bus, timeout, commands, context);
        return;
    }
    struct epoll_event events[LOOP_EVENTS];
    bool commanded = false;
    int n = epoll_wait(bus->epoll, events, LOOP_EVENTS, timeout);
    bus->totals.wakeups++;
    bus->noted = 0;
    for (int i = 0; i < n; i++)
        commanded |= source_event(bus, events[i].data.ptr, events[i].events);
    /* last, as a command may free a peer that another event of this wake-up refers to */
    if (commanded || bus->commands_wait)
        commands(context);
    if (bus->frozen) {
        freeze_settle(bus);
        events_wake(bus->events);
        return;
    }
    ready_turns(bus);
    expire_replies(bus);
    int64_t doors = accept_tick(bus);
    output_flush(bus);
    if ((!list_empty(&bus->leaving) || !list_empty(&bus->unsettled)) && leave_turn(bus))
        output_flush(bus);
    bus->batch.input_used = 0;
    bus->tick = quota_waits(bus) ? quota_tick(bus) : -1;
    if (bus->pool.first)
        bus->tick = (int)sooner(bus->tick, pool_tick(&bus->pool));
    if (!list_empty(&bus->paused))
        input_unpause(bus);
    GROUP_CALL(bus, settle, bus);
    bus->sweeping = match_index_sweep(bus->matches);
    bus->sweeping |= match_index_sweep(bus->monitors.rules);
    bus->tick = (int)sooner(bus->tick, doors);
    events_wake(bus->events);
}

void loop_run(struct bus *bus, loop_commands commands, void *context)
{
    while (!bus->stop)
        loop_once(bus, loop_wait_time(bus), commands, context);
    output_flush(bus);
}
