/* SPDX-License-Identifier: MIT */
#include "route.h"

#include "clock.h"
#include "driver.h"
#include "judge.h"
#include "output.h"
#include "quota.h"
#include "say.h"
#include "transit.h"

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
};

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
                            .eavesdropping = t->m->destination.s != NULL};
    if (!judge(bus, &c, NULL)) {
        bus->totals.denied++;
        return;
    }
    if (!can_take(bus, &c, t->fds, false, NULL))
        return;
    if (!transit_deliver(t, peer))
        bus_log(bus, 4, "no memory to send a message to %s", peer->unique_text);
}

/* To all whose rules match; only eavesdroppers if it is addressed to somebody. */
static void spread(struct transit *t, struct peer *addressed, bool unicast)
{
    const struct span bus_name = BUS_NAME;
    struct bus *bus = t->bus;
    struct spread context = {.t = t, .addressed = addressed};
    struct match_subject subject = {.m = t->m, .eavesdropping = unicast};
    if (t->sender)
        subject.sender_names = registry_names(t->sender, &subject.n_sender_names);
    else
        subject.sender_names = &bus_name, subject.n_sender_names = 1;
    if (unicast && addressed)
        subject.recipient_names = registry_names(addressed, &subject.n_recipient_names);
    else if (unicast)
        subject.recipient_names = &bus_name, subject.n_recipient_names = 1;
    bus->mark++;
    bus->totals.broadcasts++;
    match_index_find(bus->matches, &subject, spread_to, &context);
}

static void overhear(struct transit *t, struct peer *addressed)
{
    if (match_index_eavesdroppers(t->bus->matches) > 0)
        spread(t, addressed, true);
}

/* The call is written down, so that one reply to it may pass. */
static bool expect_reply(struct transit *t, struct peer *callee, struct denial *denial)
{
    struct bus *bus = t->bus;
    struct peer *caller = t->sender;
    if (t->m->type != MESSAGE_METHOD_CALL || t->m->flags & MESSAGE_NO_REPLY_EXPECTED)
        return true;
    if (replies_find(&bus->replies, caller, callee, t->m->serial)) {
        deny(denial, ERROR_ACCESS_DENIED,
             "Message has the same reply serial as a currently-outstanding existing method call");
        return false;
    }
    if (caller->n_calls >= bus->limits.max_replies_per_connection) {
        deny(denial, ERROR_LIMITS_EXCEEDED,
             "The maximum number of pending replies per connection has been reached");
        return false;
    }
    int64_t now = bus->limits.reply_timeout >= 0 ? clock_now() : 0;
    if (replies_add(&bus->replies, caller, callee, t->m->serial, now))
        return true;
    deny(denial, ERROR_NO_MEMORY, "Not enough memory");
    return false;
}

static bool unicast(struct transit *t, struct peer *to, struct denial *denial)
{
    struct bus *bus = t->bus;
    struct reply *reply =
        t->m->reply_serial ? replies_find(&bus->replies, to, t->sender, t->m->reply_serial) : NULL;
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
    overhear(t, to);
    return true;
}

static void answer_denial(struct bus *bus, struct peer *sender, const struct message *m,
                          const struct denial *denial)
{
    if (!sender->gone)
        say_error(bus, sender, m->serial, denial->name, denial->text);
}

static void park(struct transit *t)
{
    struct bus *bus = t->bus;
    struct held *held = held_new(t->m, t->fds, t->sender->account);
    struct parked *parked = held ? parking_add(&bus->parking, t->sender, held) : NULL;
    if (!parked) {
        say_error(bus, t->sender, t->m->serial, ERROR_NO_MEMORY, "Not enough memory");
        return;
    }
    parked->event.view.kind = RELAY_EVENT_PARKED;
    parked->event.view.peer = t->sender->id;
    parked->event.view.parked = parked->id;
    parked->event.view.active = true;
    event_describe(&parked->event, &held->m);
    events_push(bus->events, &parked->event);
}

void route_parked(struct bus *bus, struct parked *parked)
{
    struct peer *sender = parked->sender;
    struct held *held = parked->held;
    struct peer *to = bus_find(bus, held->m.destination);
    if (!sender) {
        parking_remove(&bus->parking, parked);
        return;
    }
    if (!to || to->gone) {
        events_push(bus->events, &parked->event);
        return;
    }
    struct transit t = {.bus = bus, .sender = sender, .m = &held->m, .fds = held->fds};
    struct denial denial;
    if (!unicast(&t, to, &denial))
        answer_denial(bus, sender, &held->m, &denial);
    if (held->m.size > BATCH_SMALL / 2)
        output_flush(bus); /* a long message is stitched where it stands, and that is freed now */
    parking_remove(&bus->parking, parked);
}

void route_up(struct bus *bus, struct peer *sender, const struct message *m, struct fds *fds)
{
    sender->call = held_new(m, fds, sender->account);
    if (!sender->call) {
        say_error(bus, sender, m->serial, ERROR_NO_MEMORY, "Not enough memory");
        return;
    }
    sender->stopped = true;
    struct relay_event *view = &sender->call_event.view;
    view->kind = RELAY_EVENT_CALL;
    view->peer = sender->id;
    view->active = sender->active;
    event_describe(&sender->call_event, &sender->call->m);
    events_push(bus->events, &sender->call_event);
}

/* Before Hello there is nothing but Hello. */
static bool is_hello(const struct message *m)
{
    return m->type == MESSAGE_METHOD_CALL && span_equal(m->destination, BUS_NAME) &&
           span_equal(m->member, SPAN("Hello")) && (!m->interface.s || span_equal(m->interface, BUS_NAME));
}

static void route_inactive(struct bus *bus, struct peer *sender, const struct message *m, struct fds *fds)
{
    if (is_hello(m)) {
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
        answer_denial(t->bus, t->sender, t->m, &denial);
        return;
    }
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
}

static void route_without_destination(struct transit *t)
{
    if (t->m->type == MESSAGE_SIGNAL)
        spread(t, NULL, false);
    else if (t->m->type == MESSAGE_METHOD_CALL)
        route_up(t->bus, t->sender, t->m, t->fds);
}

void route_message(struct bus *bus, struct peer *sender, const struct message *m, struct fds *fds)
{
    struct transit t = {.bus = bus, .sender = sender, .m = m, .fds = fds};
    if (!sender->active) {
        route_inactive(bus, sender, m, fds);
        return;
    }
    if (!m->destination.s) {
        route_without_destination(&t);
        return;
    }
    if (span_equal(m->destination, BUS_NAME)) {
        route_to_driver(&t);
        return;
    }
    struct peer *to = bus_find(bus, m->destination);
    if (!to || to->gone || !to->active || parking_has(&bus->parking, m->destination)) {
        park(&t);
        return;
    }
    struct denial denial;
    if (!unicast(&t, to, &denial))
        answer_denial(bus, sender, m, &denial);
}

void route_said(struct bus *bus, struct peer *to, const struct message *m, struct fds *fds)
{
    struct transit t = {.bus = bus, .m = m, .fds = fds};
    if (!to) {
        spread(&t, NULL, false);
        return;
    }
    if (to->gone)
        return;
    struct policy_case c = {.m = m, .recipient = to, .requested_reply = m->reply_serial != 0};
    if ((to->active && !judge(bus, &c, NULL)) || !can_take(bus, &c, fds, true, NULL))
        return;
    t.payer = to->account;
    if (!transit_deliver(&t, to))
        bus_log(bus, 4, "no memory to send a message to %s", to->unique_text);
}
