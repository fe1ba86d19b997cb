/* SPDX-License-Identifier: MIT */
#include "send/monitor.h"

#include "base/clock.h"
#include "send/output.h"
#include "send/say.h"
#include "send/transit.h"
#include "state/group_ops.h"
#include "state/log.h"
#include "state/quota.h"

#include <errno.h>

void monitor_watch(struct bus *bus, struct peer *peer)
{
    peer->monitor->watching = true;
    bus->monitors.count++;
    GROUP_CALL(bus, watched, bus);
    GROUP_CALL(bus, monitor, bus, peer);
    match_index_depart(bus->matches, peer->matches);
    peer->matches = NULL;
    list_unlink(&peer->in_observers);
    match_index_forget(bus->matches, peer->unique);
}

struct capture {
    struct transit transit;
    struct peer *addressed;
    struct transit stamp; /* for tracers; its m is NULL until the first one gets it */
    struct message stamp_message;
};

/* Writes the time of the capture, once for all tracers. False: no memory. */
static bool tracer_stamp(struct capture *capture)
{
    struct bus *bus = capture->transit.bus;
    struct marshal *w = &bus->monitors.stamp;
    struct marshal_header header = {.type = MESSAGE_SIGNAL,
                                    .flags = MESSAGE_NO_REPLY_EXPECTED,
                                    .serial = say_serial(bus),
                                    .path = SPAN("/org/freedesktop/DBus"),
                                    .interface = SPAN("org.omnibus.Inspect1"),
                                    .member = SPAN("Stamp"),
                                    .sender = BUS_NAME,
                                    .signature = SPAN("t")};
    marshal_begin(w, &header);
    marshal_uint64(w, (uint64_t)clock_microseconds());
    if (!marshal_end(w) || message_parse(&capture->stamp_message, w->data, (uint32_t)w->size) != MESSAGE_OK)
        return false;
    capture->stamp =
        (struct transit){.bus = bus, .m = &capture->stamp_message, .payer = bus->monitors.account};
    return true;
}

/* Delivers the stamp of the message, unless the monitor gets none. False: no memory. */
static bool tracer_deliver(struct capture *capture, struct peer *peer)
{
    if (!peer->monitor->stamped)
        return true;
    return (capture->stamp.m || tracer_stamp(capture)) && transit_deliver(&capture->stamp, peer);
}

static void capture_for(void *context, void *owner)
{
    struct capture *capture = context;
    struct transit *t = &capture->transit;
    struct bus *bus = t->bus;
    struct peer *peer = owner;
    if (peer_is_gone(peer) || peer == capture->addressed || peer->monitor->mark == bus->monitors.mark)
        return;
    peer->monitor->mark = bus->monitors.mark;
    if (t->fds && !peer->credentials.fd_passing)
        return;
    if (quota_has_room(bus, NULL, peer) && tracer_deliver(capture, peer) && transit_deliver(t, peer))
        return;
    quota_refused(bus, peer);
    bus->totals.missed++;
}

static void capture(struct bus *bus, struct peer *sender, struct peer *addressed, const struct message *m,
                    struct fds *fds)
{
    const struct span bus_name = BUS_NAME;
    struct capture capture = {
        .transit = {.bus = bus, .sender = sender, .m = m, .fds = fds, .payer = bus->monitors.account},
        .addressed = addressed};
    struct match_subject subject = {.m = m, .eavesdropping = true};
    if (!sender)
        subject.sender_names = &bus_name, subject.n_sender_names = 1;
    else if (sender->active)
        transit_subject_from(&subject, bus, sender);
    if (addressed)
        transit_subject_to(&subject, bus, addressed);
    bus->monitors.mark++;
    bus->work += match_index_find(bus->monitors.rules, &subject, capture_for, &capture);
}

static const char *monitor_or_unset(const char *text)
{
    return text ? text : "(unset)";
}

/*
 * A monitor that sends has mistaken an observed message for its own. It is disconnected with an explanation.
 */
static void monitor_refuse(struct bus *bus, struct peer *monitor, const struct message *m)
{
    log_line(bus, LOG_WARNING,
             "Monitoring connection %s (%s) is not allowed to send messages; closing it. Please fix the "
             "monitor to not do that. (message type=\"%s\" interface=\"%s\" member=\"%s\" error name=\"%s\" "
             "destination=\"%s\")",
             monitor->unique_text, monitor->credentials.loginfo, message_type_name(m->type),
             monitor_or_unset(m->interface.s), monitor_or_unset(m->member.s),
             monitor_or_unset(m->error_name.s), m->destination.s ? m->destination.s : BUS_NAME.s);
    output_close(bus, monitor, RELAY_GONE_DISCONNECTED);
}

/*
 * Monitors see Hello once its sender has a unique name, and other calls of the bus after the messages that
 * they cause.
 */
static bool is_late(const struct peer *sender, const struct message *m)
{
    if (!sender->active)
        return bus_is_hello(m);
    if (!span_equal(m->destination, BUS_NAME))
        return false;
    return (m->type == MESSAGE_METHOD_CALL && span_equal(m->member, SPAN("ReloadConfig"))) ||
           (m->type == MESSAGE_SIGNAL && span_equal(m->member, SPAN("ActivationFailure")));
}

bool monitor_message(const struct transit *t, struct peer *addressed, bool parks)
{
    const struct message *m = t->m;
    if (t->sender->monitor) {
        monitor_refuse(t->bus, t->sender, m);
        return false;
    }
    /*
     * a message without destination is between the connection and the bus as its other end, as is the answer
     */
    t->sender->calls.unseen = is_late(t->sender, m);
    if (!parks && !t->sender->calls.unseen && (m->destination.s || m->type == MESSAGE_SIGNAL))
        capture(t->bus, t->sender, addressed, m, t->fds);
    return true;
}

void monitor_parked(struct bus *bus, struct peer *sender, const struct message *m, struct fds *fds)
{
    capture(bus, sender, NULL, m, fds);
}

void monitor_late(struct bus *bus, struct peer *sender, const struct message *m, struct fds *fds)
{
    if (sender->calls.unseen && monitored(bus))
        capture(bus, sender, NULL, m, fds);
    sender->calls.unseen = false;
}

/* True if it answers a message without destination, which monitors did not see either. */
static bool answers_unseen(const struct peer *to, const struct message *m)
{
    return to && to->calls.held && !to->calls.held->m.destination.s &&
           m->reply_serial == to->calls.held->m.serial;
}

void monitor_said(struct bus *bus, struct peer *to, const struct message *m, struct fds *fds)
{
    if (!answers_unseen(to, m))
        capture(bus, NULL, to, m, fds);
}

void monitor_denial(struct bus *bus, struct peer *sender, struct peer *addressed, const struct message *m,
                    const struct denial *denial)
{
    struct marshal *w = &bus->monitors.marshal;
    struct marshal_header header = {.type = MESSAGE_ERROR,
                                    .flags = MESSAGE_NO_REPLY_EXPECTED,
                                    .serial = say_serial(bus),
                                    .reply_serial = m->serial,
                                    .error_name = span_of(denial->name),
                                    .sender = BUS_NAME,
                                    .destination = sender ? sender->unique : BUS_NAME,
                                    .signature = SPAN("s")};
    struct message error;
    marshal_begin(w, &header);
    marshal_string(w, span_of(denial->text));
    if (marshal_end(w) && message_parse(&error, w->data, (uint32_t)w->size) == MESSAGE_OK)
        capture(bus, NULL, addressed, &error, NULL);
}
