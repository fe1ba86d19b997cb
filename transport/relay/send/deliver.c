/* SPDX-License-Identifier: MIT */
#include "send/deliver.h"

#include "send/judge.h"
#include "send/monitor.h"
#include "send/transit.h"
#include "state/group_ops.h"
#include "state/log.h"
#include "state/quota.h"

bool deliver_fits(struct bus *bus, const struct policy_case *c, const struct fds *fds, bool owed,
                  struct denial *denial)
{
    struct peer *peer = c->recipient;
    if (fds && !peer->credentials.fd_passing) {
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
    struct peer *addressed; /* NULL: a broadcast, or a message of the bus */
    struct policy_class class;
    struct policy_alike alike;
};

/*
 * Judges a subscriber. A skipped subscriber is not notified, nor is the sender; only monitors see the denial.
 */
static bool may_have(struct transit *t, const struct policy_case *c)
{
    struct bus *bus = t->bus;
    struct denial denial, *told = monitored(bus) ? &denial : NULL;
    bool allowed = judge(bus, c, told);
    if (!allowed)
        bus->totals.denied++;
    else if (deliver_fits(bus, c, t->fds, false, told))
        return true;
    if (!told)
        return false;
    if (allowed && t->fds && !c->recipient->credentials.fd_passing)
        deny(told, ERROR_NOT_SUPPORTED,
             "broadcast cannot be delivered to %s (%s) because it does not support receiving Unix fds",
             c->recipient->unique_text, c->recipient->credentials.loginfo);
    monitor_denial(bus, t->sender, t->sender, t->m, told);
    return false;
}

static void spread_to(void *context, void *owner)
{
    struct spread *spread = context;
    struct transit *t = spread->t;
    struct bus *bus = t->bus;
    struct peer *peer = owner;
    if (peer->mark == bus->mark || peer_is_gone(peer) || peer == spread->addressed)
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
        GROUP_CALL(bus, learn_broadcast, t, peer);
}

void deliver_spread(struct transit *t, struct peer *addressed, bool unicast)
{
    const struct span bus_name = BUS_NAME;
    struct bus *bus = t->bus;
    struct spread context = {.t = t, .addressed = addressed};
    struct match_subject subject = {.m = t->m, .eavesdropping = unicast};
    if (t->sender)
        transit_subject_from(&subject, bus, t->sender);
    else
        subject.sender_names = &bus_name, subject.n_sender_names = 1;
    if (unicast && addressed)
        transit_subject_to(&subject, bus, addressed);
    else if (unicast)
        subject.recipient_names = &bus_name, subject.n_recipient_names = 1;
    bus->mark++;
    bus->totals.broadcasts++;
    bus->work += match_index_find(bus->matches, &subject, spread_to, &context);
}

void deliver_said(struct bus *bus, struct peer *to, const struct message *m, struct fds *fds)
{
    struct transit t = {.bus = bus, .m = m, .fds = fds};
    if (!to) {
        deliver_spread(&t, NULL, false);
        return;
    }
    struct denial denial, *told = monitored(bus) ? &denial : NULL;
    if (peer_is_gone(to) && !told)
        return;
    struct policy_case c = {.m = m, .recipient = to, .requested_reply = m->reply_serial != 0};
    if (to->active && !judge(bus, &c, told)) {
        if (told)
            monitor_denial(bus, NULL, to, m, told);
        return;
    }
    if (peer_is_gone(to) || !deliver_fits(bus, &c, fds, true, NULL))
        return;
    t.payer = to->account;
    if (!transit_deliver(&t, to))
        log_memory(bus, "to send a message to", to->unique_text);
}
