/* SPDX-License-Identifier: MIT */
#include "route/route.h"

#include "accept/hello.h"
#include "base/clock.h"
#include "group/direct.h"
#include "route/driver.h"
#include "send/judge.h"
#include "send/monitor.h"
#include "send/output.h"
#include "send/say.h"
#include "send/subject.h"
#include "send/transit.h"
#include "state/log.h"
#include "state/quota.h"
#include "state/report.h"

#include <errno.h>

/* Everything that can keep a message from somebody but his own rules. */
static bool can_take(struct bus *bus, const struct policy_case *c, const struct fds *fds, bool owed,
                     struct denial *denial)
{
    struct peer *peer = c->recipient;
    if (fds && !peer->fd_passing) {
        deny(denial, ERROR_NOT_SUPPORTED,
             "Tried to send message with Unix file descriptorsto a client that doesn't support that.");
        return false;
    }
    if (!owed && !quota_has_room(bus, c->sender, peer)) {
        quota_refused(bus, peer);
        complain(denial, ERROR_LIMITS_EXCEEDED, "Rejected: destination has a full message queue", c, 0);
        return false;
    }
    return true;
}

struct spread {
    struct transit *t;
    struct peer *addressed; /* NULL: a broadcast, or the bus itself */
    struct policy_class class;
    struct policy_alike alike;
};

/* Who does not get what his rules match is not told, nor is the sender: only monitors are. */
static bool may_have(struct transit *t, const struct policy_case *c)
{
    struct bus *bus = t->bus;
    struct denial denial, *told = monitored(bus) ? &denial : NULL;
    bool allowed = judge(bus, c, told);
    if (!allowed)
        bus->totals.denied++;
    else if (can_take(bus, c, t->fds, false, told))
        return true;
    if (!told)
        return false;
    if (allowed && t->fds && !c->recipient->fd_passing)
        deny(told, ERROR_NOT_SUPPORTED,
             "broadcast cannot be delivered to %s (%s) because it does not support receiving Unix fds",
             c->recipient->unique_text, c->recipient->loginfo);
    monitor_denial(bus, t->sender, t->sender, t->m, told);
    return false;
}

static void spread_to(void *context, void *owner)
{
    struct spread *spread = context;
    struct transit *t = spread->t;
    struct bus *bus = t->bus;
    struct peer *peer = owner;
    if (peer->mark == bus->mark || peer->gone || peer == spread->addressed)
        return;
    peer->mark = bus->mark;
    if (spread->class.bits == 0)
        policy_classify(bus->policy, t->m, &spread->class);
    struct policy_case c = {.m = t->m,
                            .sender = t->sender,
                            .recipient = peer,
                            .class = spread->class,
                            .alike = &spread->alike,
                            .eavesdropping = t->m->destination.s != NULL};
    if (!may_have(t, &c))
        return;
    bus->work += BUS_WORK_DELIVERY;
    if (!transit_deliver(t, peer))
        log_memory(bus, "to send a message to", peer->unique_text);
    else if (!t->m->destination.s)
        direct_learn_broadcast(t, peer);
}

/* To all whose rules match; only eavesdroppers if it is addressed to somebody. */
static void spread(struct transit *t, struct peer *addressed, bool unicast)
{
    const struct span bus_name = BUS_NAME;
    struct bus *bus = t->bus;
    struct spread context = {.t = t, .addressed = addressed};
    struct match_subject subject = {.m = t->m, .eavesdropping = unicast};
    if (t->sender)
        subject_from(&subject, bus, t->sender);
    else
        subject.sender_names = &bus_name, subject.n_sender_names = 1;
    if (unicast && addressed)
        subject_to(&subject, bus, addressed);
    else if (unicast)
        subject.recipient_names = &bus_name, subject.n_recipient_names = 1;
    bus->mark++;
    bus->totals.broadcasts++;
    bus->work += match_index_find(bus->matches, &subject, spread_to, &context);
}

static void overhear(struct transit *t, struct peer *addressed)
{
    if (match_index_eavesdroppers(t->bus->matches) > 0)
        spread(t, addressed, true);
}

/* Who notes the call: 0, the group; -ENOENT, the relay; -EEXIST or -EDQUOT if it may not be made. */
static int note_call(struct transit *t, struct peer *callee)
{
    struct bus *bus = t->bus;
    struct peer *caller = t->sender;
    if (replies_find(&bus->replies, caller, callee, t->m->serial))
        return -EEXIST;
    if (caller->n_calls + direct_calls(bus, caller) >= bus->limits.max_replies_per_connection)
        return -EDQUOT;
    return direct_note_call(bus, caller, callee, t->m->serial);
}

/* The call is written down, so that one reply to it may pass. */
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
    if (replies_add(&bus->replies, caller, callee, t->m->serial, now))
        return true;
    deny(denial, ERROR_NO_MEMORY, "Not enough memory");
    return false;
}

/* The call that this answers, also one that did not come this way. */
static struct reply *call_of(const struct transit *t, struct peer *caller)
{
    const struct replies *replies = &t->bus->replies;
    if (!reply_awaited(caller))
        return NULL;
    struct reply *reply = replies_find(replies, caller, t->sender, t->m->reply_serial);
    if (!reply && direct_take_call(t->bus, caller, t->sender, t->m->reply_serial))
        reply = replies_find(replies, caller, t->sender, t->m->reply_serial);
    return reply;
}

static bool unicast(struct transit *t, struct peer *to, struct denial *denial)
{
    struct bus *bus = t->bus;
    struct reply *reply = t->m->reply_serial ? call_of(t, to) : NULL;
    struct policy_case c = {
        .m = t->m, .sender = t->sender, .recipient = to, .requested_reply = reply != NULL};
    if (!judge(bus, &c, denial)) {
        bus->totals.denied++;
        return false;
    }
    if (!can_take(bus, &c, t->fds, reply != NULL, denial) || !expect_reply(t, to, denial))
        return false;
    if (reply) {
        replies_remove(&bus->replies, reply);
        t->payer = to->account; /* who asked has to read, and is the one to suffer if he doesn't */
    }
    if (!transit_deliver(t, to)) {
        deny(denial, ERROR_NO_MEMORY, "Not enough memory");
        return false;
    }
    direct_learn(t, to, c.requested_reply);
    overhear(t, to);
    return true;
}

static void answer_denial(struct bus *bus, struct peer *sender, const struct message *m,
                          const struct denial *denial)
{
    if (!sender->gone)
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

void route_up(struct bus *bus, struct peer *sender, const struct message *m, struct fds *fds)
{
    sender->call = held_new(m, fds, sender->account, 0);
    if (!sender->call) {
        peer_end_call(sender);
        say_error(bus, sender, m->serial, ERROR_NO_MEMORY, "Not enough memory");
        return;
    }
    sender->stopped = true;
    bus->calls_up++;
    struct relay_event *view = &sender->call_event.view;
    view->kind = RELAY_EVENT_CALL;
    view->peer = sender->id;
    view->active = sender->active;
    event_describe(&sender->call_event, &sender->call->m);
    report_of(bus, sender, &sender->call_event);
}

/* Before Hello there is nothing but Hello. */
bool route_is_hello(const struct message *m)
{
    return m->type == MESSAGE_METHOD_CALL && span_equal(m->destination, BUS_NAME) &&
           span_equal(m->member, SPAN("Hello")) && (!m->interface.s || span_equal(m->interface, BUS_NAME));
}

static void route_inactive(struct bus *bus, struct peer *sender, const struct message *m, struct fds *fds)
{
    if (route_is_hello(m)) {
        if (!hello_answer(bus, sender, m))
            route_up(bus, sender, m, fds);
        return;
    }
    if (span_equal(m->destination, BUS_NAME))
        say_error(bus, sender, m->serial, ERROR_ACCESS_DENIED,
                  "Client tried to send a message other than Hello without being registered");
    else
        bus_lose(bus, sender, RELAY_GONE_INVALID);
}

/* Is it the reply to the call of the driver that the sender has yet to answer? */
static bool answers_driver(const struct transit *t)
{
    const struct message *m = t->m;
    return (m->type == MESSAGE_METHOD_RETURN || m->type == MESSAGE_ERROR) &&
           m->reply_serial == t->sender->asked;
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
    t->sender->failed = 0;
    t->bus->work += BUS_WORK_DRIVER;
    if (t->m->type != MESSAGE_METHOD_CALL)
        overhear(t, NULL);
    if (c.requested_reply) {
        t->sender->asked = 0;
        route_up(t->bus, t->sender, t->m, t->fds);
        return;
    }
    if (t->m->type != MESSAGE_METHOD_CALL && t->m->type != MESSAGE_SIGNAL)
        return;
    if (!driver_answer(t->bus, t->sender, t->m))
        route_up(t->bus, t->sender, t->m, t->fds);
    else if (t->sender->failed != t->m->serial)
        overhear(t, NULL);
}

void route_answered(struct bus *bus, struct peer *sender)
{
    const struct held *call = sender->call;
    struct transit t = {.bus = bus, .sender = sender, .m = &call->m, .fds = call->fds};
    monitor_late(bus, sender, &call->m, call->fds);
    if (call->m.type == MESSAGE_METHOD_CALL && call->m.destination.s && sender->active &&
        sender->failed != call->m.serial)
        overhear(&t, NULL);
    if (call->m.size > BATCH_SMALL / 2)
        output_flush(bus); /* it may have gone out, stitched where it stands, and is freed now */
}

static void route_without_destination(struct transit *t)
{
    if (t->m->type == MESSAGE_METHOD_CALL)
        route_up(t->bus, t->sender, t->m, t->fds);
    if (t->m->type != MESSAGE_SIGNAL)
        return;
    direct_learn_broadcast(t, NULL);
    spread(t, NULL, false);
}

/* A type that the specification doesn't know is refused whatever the message is addressed to, so that nothing
 * behind this has to expect one. What has no destination is ignored, as are replies that have none. */
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
    bool reachable = to && !to->gone && to->active;
    bool known = m->type <= MESSAGE_SIGNAL;
    bool parks = known && to_peer && (!reachable || parking_has(&bus->parking, m->destination));
    if (monitored(bus) && !monitor_message(&t, reachable ? to : NULL, parks))
        return;
    if (!known && (sender->active || span_equal(m->destination, BUS_NAME)))
        refuse_type(&t, to_peer && !reachable);
    else if (!sender->active)
        route_inactive(bus, sender, m, fds);
    else if (!m->destination.s)
        route_without_destination(&t);
    else if (!to_peer)
        route_to_driver(&t);
    else if (parks)
        route_park(&t);
    else
        route_unicast(&t, to);
}

void route_said(struct bus *bus, struct peer *to, const struct message *m, struct fds *fds)
{
    struct transit t = {.bus = bus, .m = m, .fds = fds};
    if (!to) {
        spread(&t, NULL, false);
        return;
    }
    struct denial denial, *told = monitored(bus) ? &denial : NULL;
    if (to->gone && !told)
        return;
    struct policy_case c = {.m = m, .recipient = to, .requested_reply = m->reply_serial != 0};
    if (to->active && !judge(bus, &c, told)) {
        if (told)
            monitor_denial(bus, NULL, to, m, told);
        return;
    }
    if (to->gone || !can_take(bus, &c, fds, true, NULL))
        return;
    t.payer = to->account;
    if (!transit_deliver(&t, to))
        log_memory(bus, "to send a message to", to->unique_text);
}
