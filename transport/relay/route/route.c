/* SPDX-License-Identifier: MIT */
#include "route/route.h"

#include "accept/hello.h"
#include "base/clock.h"
#include "route/driver.h"
#include "send/deliver.h"
#include "send/mediate.h"
#include "send/monitor.h"
#include "send/output.h"
#include "send/say.h"
#include "send/transit.h"
#include "state/group_ops.h"
#include "state/report.h"

#include <errno.h>

/*
 * Records a call. 0: the group has recorded it; -ENOENT: the relay has to; -EEXIST or -EDQUOT: the call may
 * not be made.
 */
static int note_call(struct transit *t, struct peer *callee)
{
    struct bus *bus = t->bus;
    struct peer *caller = t->sender;
    if (replies_find(&bus->replies, caller, callee, t->m->serial))
        return -EEXIST;
    uint32_t direct = bus->group_ops ? bus->group_ops->calls(bus, caller) : 0;
    if (caller->calls.n_made + direct >= bus->limits.max_replies_per_connection)
        return -EDQUOT;
    return bus->group_ops ? bus->group_ops->note_call(bus, caller, callee, t->m->serial) : -ENOENT;
}

/* Records a pending reply, so that one reply may pass. */
static bool expect_reply(struct transit *t, struct peer *callee, struct denial *denial)
{
    struct bus *bus = t->bus;
    struct peer *caller = t->sender;
    if (t->m->type != MESSAGE_METHOD_CALL || t->m->flags & MESSAGE_NO_REPLY_EXPECTED)
        return true;
    int noted = note_call(t, callee);
    if (noted == -EEXIST) {
        deny(denial, ERROR_ACCESS_DENIED,
             "Message has the same reply serial as a currently-outstanding existing method call");
        return false;
    }
    if (noted == -EDQUOT) {
        deny(denial, ERROR_LIMITS_EXCEEDED,
             "The maximum number of pending replies per connection has been reached");
        return false;
    }
    if (noted == 0)
        return true;
    int64_t now = bus->limits.reply_timeout > 0 ? clock_now() : 0;
    struct reply *reply = replies_add(&bus->replies, caller, callee, t->m->serial, now);
    if (reply) {
        if (bus->noted == 0)
            bus->noted = clock_coarse();
        reply->noted = bus->noted;
        return true;
    }
    deny(denial, ERROR_NO_MEMORY, "Not enough memory");
    return false;
}

/* The pending reply that this message answers, perhaps one of a direct call. */
static struct reply *call_of(const struct transit *t, struct peer *caller)
{
    struct bus *bus = t->bus;
    const struct replies *replies = &bus->replies;
    if (!reply_awaited(caller))
        return NULL;
    struct reply *reply = replies_find(replies, caller, t->sender, t->m->reply_serial);
    if (!reply && bus->group_ops && bus->group_ops->take_call(bus, caller, t->sender, t->m->reply_serial))
        reply = replies_find(replies, caller, t->sender, t->m->reply_serial);
    return reply;
}

/* It may answer a call that was delivered before this bus knew of calls. */
static bool pardoned(const struct transit *t, const struct peer *caller)
{
    const struct amnesty *amnesty = &t->bus->amnesty;
    const struct relay_credentials *who = &t->sender->credentials;
    return amnesty->until != 0 && t->m->reply_serial != 0 && t->sender->id < amnesty->below &&
           caller->id < amnesty->below && (who->privileged || who->uid == caller->credentials.uid) &&
           clock_now() < amnesty->until;
}

static bool unicast(struct transit *t, struct peer *to, struct denial *denial)
{
    struct bus *bus = t->bus;
    struct reply *reply = t->m->reply_serial ? call_of(t, to) : NULL;
    struct policy_case c = {
        .m = t->m, .sender = t->sender, .recipient = to, .requested_reply = reply || pardoned(t, to)};
    if (!judge(bus, &c, denial)) {
        bus->totals.denied++;
        return false;
    }
    if (!deliver_fits(bus, &c, t->fds, reply != NULL, denial) || !expect_reply(t, to, denial))
        return false;
    if (reply) {
        replies_remove(&bus->replies, reply);
        t->payer = to->account; /* the caller has to read its replies, so it is charged for them */
    }
    if (!transit_deliver(t, to)) {
        deny(denial, ERROR_NO_MEMORY, "Not enough memory");
        return false;
    }
    GROUP_CALL(bus, learn, t, to, c.requested_reply);
    deliver_overheard(t, to);
    return true;
}

static void answer_denial(struct bus *bus, struct peer *sender, const struct message *m,
                          const struct denial *denial)
{
    if (!peer_is_gone(sender))
        say_error(bus, sender, m->serial, denial->name, denial->text);
}

bool route_unicast(struct transit *t, struct peer *to)
{
    struct denial denial;
    if (unicast(t, to, &denial))
        return true;
    answer_denial(t->bus, t->sender, t->m, &denial);
    return false;
}

bool route_hand_up_name(struct bus *bus, struct peer *sender, const struct message *m)
{
    struct message_args args;
    struct message_arg argument = {0};
    message_args_begin(&args, m);
    if (m->type != MESSAGE_METHOD_CALL || !message_args_next(&args, &argument) ||
        !name_is_well_known(argument.text))
        return true;
    sender->calls.about = registry_hand_up(&bus->registry, argument.text);
    return sender->calls.about;
}

void route_held_again(struct bus *bus, struct peer *sender)
{
    struct relay_event *view = &sender->reports.call.view;
    view->kind = RELAY_EVENT_CALL;
    view->peer = sender->id;
    view->active = sender->active;
    event_describe(&sender->reports.call, &sender->calls.held->m);
    report_of(bus, sender, &sender->reports.call);
}

void route_up(struct bus *bus, struct peer *sender, const struct message *m, struct fds *fds)
{
    sender->calls.held = held_new(m, fds, sender->account, 0);
    if (!sender->calls.held || !route_hand_up_name(bus, sender, m)) {
        peer_end_call(sender);
        say_error(bus, sender, m->serial, ERROR_NO_MEMORY, "Not enough memory");
        return;
    }
    sender->calls.stopped = true;
    route_held_again(bus, sender);
}

/* Root has to see into a bus that takes no more connections; the control plane knows by which members. */
static bool asks_before_hello(const struct transit *t)
{
    const struct policy_case c = {.m = t->m, .sender = t->sender};
    struct denial denial;
    return t->sender->credentials.privileged && t->m->type == MESSAGE_METHOD_CALL && t->m->interface.s &&
           judge(t->bus, &c, &denial);
}

/* A connection without a label is closed; a module may deny it to speak to the bus. */
static bool refuses_hello(struct transit *t)
{
    const struct policy_case c = {.m = t->m, .sender = t->sender};
    struct denial denial;
    if (!mediate_knows(t->bus, t->sender)) {
        bus_lose(t->bus, t->sender, RELAY_GONE_INVALID);
        return true;
    }
    if (mediate(t->bus, &c, &denial))
        return false;
    t->bus->totals.denied++;
    say_error(t->bus, t->sender, t->m->serial, denial.name, denial.text);
    return true;
}

static void route_inactive(struct transit *t)
{
    if (bus_is_hello(t->m)) {
        if (t->bus->mediation && refuses_hello(t))
            return;
        if (!hello_answer(t->bus, t->sender, t->m))
            route_up(t->bus, t->sender, t->m, t->fds);
    } else if (!span_equal(t->m->destination, BUS_NAME)) {
        bus_lose(t->bus, t->sender, RELAY_GONE_INVALID);
    } else if (asks_before_hello(t)) {
        route_up(t->bus, t->sender, t->m, t->fds);
    } else {
        say_error(t->bus, t->sender, t->m->serial, ERROR_ACCESS_DENIED,
                  "Client tried to send a message other than Hello without being registered");
    }
}

/* True if it is the reply to the pending call of the driver to the sender. */
static bool answers_driver(const struct transit *t)
{
    const struct message *m = t->m;
    return (m->type == MESSAGE_METHOD_RETURN || m->type == MESSAGE_ERROR) &&
           m->reply_serial == t->sender->calls.asked;
}

static void route_to_driver(struct transit *t)
{
    struct denial denial;
    struct policy_case c = {.m = t->m, .sender = t->sender, .requested_reply = answers_driver(t)};
    if (!judge(t->bus, &c, &denial)) {
        t->bus->totals.denied++;
        monitor_late(t->bus, t->sender, t->m, t->fds);
        answer_denial(t->bus, t->sender, t->m, &denial);
        return;
    }
    t->sender->calls.failed = 0;
    t->bus->work += BUS_WORK_DRIVER;
    if (t->m->type != MESSAGE_METHOD_CALL)
        deliver_overheard(t, NULL);
    if (c.requested_reply) {
        t->sender->calls.asked = 0;
        route_up(t->bus, t->sender, t->m, t->fds);
        return;
    }
    if (t->m->type != MESSAGE_METHOD_CALL && t->m->type != MESSAGE_SIGNAL)
        return;
    if (!driver_answer(t->bus, t->sender, t->m))
        route_up(t->bus, t->sender, t->m, t->fds);
    else if (t->sender->calls.failed != t->m->serial)
        deliver_overheard(t, NULL);
}

void route_answered(struct bus *bus, struct peer *sender)
{
    const struct held *call = sender->calls.held;
    struct transit t = {.bus = bus, .sender = sender, .m = &call->m, .fds = call->fds};
    monitor_late(bus, sender, &call->m, call->fds);
    if (call->m.type == MESSAGE_METHOD_CALL && call->m.destination.s && sender->active &&
        sender->calls.failed != call->m.serial)
        deliver_overheard(&t, NULL);
    if (call->m.size > BATCH_SMALL / 2)
        output_flush(bus); /* queued deliveries may refer to the message, which is freed next */
}

static void route_without_destination(struct transit *t)
{
    if (t->m->type == MESSAGE_METHOD_CALL)
        route_up(t->bus, t->sender, t->m, t->fds);
    if (t->m->type != MESSAGE_SIGNAL)
        return;
    GROUP_CALL(t->bus, learn_broadcast, t, NULL);
    deliver_spread(t, NULL, false);
}

/*
 * Refuses a message of an unknown type, whatever its destination, so that no later code has to expect one.
 * One without destination is ignored, as a reply without destination is.
 */
static void refuse_type(struct transit *t, bool absent)
{
    struct denial denial;
    t->bus->totals.denied++;
    if (!t->m->destination.s)
        return;
    if (absent && t->m->flags & MESSAGE_NO_AUTO_START)
        deny(&denial, ERROR_NAME_HAS_NO_OWNER, "Name \"%s\" does not exist", t->m->destination.s);
    else
        deny(&denial, ERROR_ACCESS_DENIED, "Message bus will not accept messages of unknown type\n");
    answer_denial(t->bus, t->sender, t->m, &denial);
}

void route_message(struct bus *bus, struct peer *sender, const struct message *m, struct fds *fds)
{
    struct transit t = {.bus = bus, .sender = sender, .m = m, .fds = fds};
    bool to_peer = m->destination.s && sender->active && !span_equal(m->destination, BUS_NAME);
    struct peer *to = to_peer ? bus_find(bus, m->destination) : NULL;
    bool reachable = to && !peer_is_gone(to) && to->active;
    bool known = m->type <= MESSAGE_SIGNAL;
    bool parks = known && to_peer && (!reachable || parking_has(&bus->parking, m->destination));
    if (monitored(bus) && !monitor_message(&t, reachable ? to : NULL, parks))
        return;
    if (!known && (sender->active || span_equal(m->destination, BUS_NAME)))
        refuse_type(&t, to_peer && !reachable);
    else if (!sender->active)
        route_inactive(&t);
    else if (!m->destination.s)
        route_without_destination(&t);
    else if (!to_peer)
        route_to_driver(&t);
    else if (parks)
        route_park(&t);
    else
        route_unicast(&t, to);
}
