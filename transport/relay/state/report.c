/* SPDX-License-Identifier: MIT */
#include "state/report.h"

static void report_push(struct bus *bus, struct user *user, struct event *event)
{
    user->n_reports++;
    events_push(bus->events, event);
}

static void charge(struct peer *peer, struct user *user, struct event *event)
{
    user->references++;
    event->user = user;
    event->peer = peer ? peer->id : UINT64_MAX;
    if (peer)
        peer->reports.n++;
}

static void put_off(struct user *user, struct event *event)
{
    event->node.next = NULL;
    if (user->latest)
        user->latest->node.next = &event->node;
    else
        user->waiting = event;
    user->latest = event;
}

static struct event *take_oldest(struct user *user)
{
    struct event *event = user->waiting;
    user->waiting = event_next(event);
    if (!user->waiting)
        user->latest = NULL;
    return event;
}

void report(struct bus *bus, struct peer *peer, struct user *user, struct event *event)
{
    if (!user) {
        events_push(bus->events, event);
        return;
    }
    charge(peer, user, event);
    if (user->n_reports < REPORTS_OF_UID) {
        report_push(bus, user, event);
    } else {
        put_off(user, event);
        events_hurry(bus->events); /* the event may be waiting behind lazy ones */
    }
}

bool report_has_room(const struct peer *peer)
{
    return !peer->user->waiting && peer->user->n_reports < REPORTS_LAZY_OF_UID;
}

void report_arrival(struct bus *bus, struct peer *peer)
{
    if (!peer->admitted || peer->reports.announced)
        return;
    peer->reports.announced = true;
    events_push_lazily(bus->events, &peer->reports.arrival);
}

void report_of(struct bus *bus, struct peer *peer, struct event *event)
{
    report_arrival(bus, peer);
    peer->reports.mentioned = true;
    report(bus, peer, peer->user, event);
}

void report_lazily(struct bus *bus, struct peer *peer, struct event *event)
{
    report_arrival(bus, peer);
    peer->reports.mentioned = true;
    charge(NULL, peer->user, event);
    peer->user->n_reports++;
    events_push_lazily(bus->events, event);
}

void report_end(struct bus *bus, struct peer *peer, struct user *user)
{
    if (peer)
        peer->reports.n--;
    user->n_reports--;
    if (user->waiting && user->n_reports < REPORTS_OF_UID)
        report_push(bus, user, take_oldest(user));
    user_release(bus, user);
}

void report_end_event(struct bus *bus, struct peer *peer, struct event *event)
{
    struct user *user = event->user;
    event->user = NULL;
    if (user)
        report_end(bus, peer, user);
}

void reports_hurry(struct bus *bus, struct user *user)
{
    while (user->waiting)
        report_push(bus, user, take_oldest(user));
}

void reports_free(struct user *user)
{
    while (user->waiting)
        event_drop(take_oldest(user));
}
