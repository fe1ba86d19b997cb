/* SPDX-License-Identifier: MIT */
#include "route/route.h"

#include "route/activate.h"
#include "send/judge.h"
#include "send/monitor.h"
#include "send/output.h"
#include "send/say.h"
#include "state/inbox.h"
#include "state/report.h"

/* The recipient is judged by the only name that is known of it. */
static struct policy_case case_of(const struct parked *parked)
{
    return (struct policy_case){.m = &parked->held->m, .sender = parked->sender};
}

/* Returns enum policy_outcome, by which the message is judged at this moment. */
static uint32_t tell(struct bus *bus, struct parked *parked, bool current, bool again)
{
    const struct policy_case c = case_of(parked);
    struct relay_event *view = &parked->event.view;
    uint32_t outcome = judge_outcome(bus, &c);
    view->denied = !(outcome & POLICY_ALLOWED);
    view->kind = RELAY_EVENT_PARKED;
    view->peer = parked->sender->id;
    view->parked = parked->id;
    view->active = true;
    view->current = current;
    view->again = again;
    event_describe(&parked->event, &parked->held->m);
    report_of(bus, parked->sender, &parked->event);
    return outcome;
}

/* Its outcome is as it was: what was logged once is not logged again. */
void route_parked_again(struct bus *bus, struct parked *parked)
{
    tell(bus, parked, false, false);
}

/* Ends the report, as the control plane has decided. */
static void decided(struct bus *bus, struct parked *parked)
{
    report_end_event(bus, parked->sender, &parked->event);
}

void route_park(struct transit *t)
{
    struct bus *bus = t->bus;
    struct peer *sender = t->sender;
    bool current;
    if (activate_refuses(t, &current))
        return;
    struct held *held = held_new(t->m, t->fds, sender->account, parked_cost(t->m->destination));
    struct parked *parked = held ? parking_add(&bus->parking, sender, held) : NULL;
    if (!parked) {
        say_error(bus, sender, t->m->serial, ERROR_NO_MEMORY, "Not enough memory");
        return;
    }
    parked->outcome = tell(bus, parked, current, false);
    /*
     * Later messages of the sender must not overtake this one: neither for monitors, nor for an owner that
     * the name has by now (others' messages are parked for it), which can also be addressed by its unique
     * name.
     */
    const struct peer *owner = bus_find(bus, t->m->destination);
    parked->stops = sender->calls.stopped = monitored(bus) || (owner && !peer_is_gone(owner));
}

/* Shows the message to monitors, after the messages of the control plane about it. */
static void show(struct bus *bus, struct parked *parked)
{
    struct peer *sender = parked->sender;
    if (parked->shown || !sender)
        return;
    parked->shown = true;
    if (monitored(bus))
        monitor_parked(bus, sender, &parked->held->m, parked->held->fds);
    if (!parked->stops)
        return;
    sender->calls.stopped = false;
    inbox_resume(bus, sender);
}

void route_begun(struct bus *bus, struct parked *parked)
{
    const struct policy_case c = case_of(parked);
    decided(bus, parked);
    if (parked->sender && parked->outcome & POLICY_LOGGED)
        judge(bus, &c, NULL);
    parked->outcome = 0; /* logged once */
    show(bus, parked);
}

static void end(struct bus *bus, struct parked *parked)
{
    if (parked->held->m.size > BATCH_SMALL / 2)
        output_flush(bus); /* queued deliveries refer to a long message in place, which is freed next */
    parking_remove(&bus->parking, parked);
}

void route_reject(struct bus *bus, struct parked *parked, const char *name, const char *text)
{
    decided(bus, parked);
    show(bus, parked);
    if (parked->sender)
        say_error(bus, parked->sender, parked->held->m.serial, name, text);
    end(bus, parked);
}

/* Decides about a message whose name has no owner. */
static void ask_again(struct bus *bus, struct parked *parked)
{
    struct denial denial;
    const struct policy_case c = case_of(parked);
    if (judge_outcome(bus, &c) & POLICY_ALLOWED || judge(bus, &c, &denial)) {
        parked->outcome = tell(bus, parked, false, true);
        return;
    }
    bus->totals.denied++;
    route_reject(bus, parked, denial.name, denial.text);
}

void route_parked(struct bus *bus, struct parked *parked)
{
    struct held *held = parked->held;
    struct peer *sender = parked->sender, *to = bus_find(bus, held->m.destination);
    bool waits = sender && !peer_is_gone(sender);
    decided(bus, parked);
    if (waits && (!to || peer_is_gone(to))) {
        ask_again(bus, parked);
        return;
    }
    show(bus, parked);
    struct transit t = {.bus = bus, .sender = sender, .m = &held->m, .fds = held->fds};
    if (waits)
        route_unicast(&t, to);
    end(bus, parked);
}
