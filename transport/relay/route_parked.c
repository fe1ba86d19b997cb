/* SPDX-License-Identifier: MIT */
#include "route.h"

#include "input.h"
#include "judge.h"
#include "monitor.h"
#include "output.h"
#include "say.h"

void route_park(struct transit *t)
{
    struct bus *bus = t->bus;
    struct peer *sender = t->sender;
    struct held *held = held_new(t->m, t->fds, sender->account, parked_cost(t->m->destination));
    struct parked *parked = held ? parking_add(&bus->parking, sender, held) : NULL;
    if (!parked) {
        say_error(bus, sender, t->m->serial, ERROR_NO_MEMORY, "Not enough memory");
        return;
    }
    parked->event.view.kind = RELAY_EVENT_PARKED;
    parked->event.view.peer = sender->id;
    parked->event.view.parked = parked->id;
    parked->event.view.active = true;
    event_describe(&parked->event, &held->m);
    bus_tell(bus, sender, &parked->event);
    /* what it sends next is not to be seen before this */
    parked->stops = sender->stopped = monitored(bus);
}

void route_show(struct bus *bus, struct parked *parked)
{
    struct peer *sender = parked->sender;
    if (parked->shown || !sender)
        return;
    parked->shown = true;
    if (monitored(bus))
        monitor_parked(bus, sender, parked->held);
    if (!parked->stops)
        return;
    sender->stopped = false;
    input_resume(bus, sender);
}

static void end(struct bus *bus, struct parked *parked)
{
    if (parked->held->m.size > BATCH_SMALL / 2)
        output_flush(bus); /* a long message is stitched where it stands, and that is freed now */
    parking_remove(&bus->parking, parked);
}

void route_parked(struct bus *bus, struct parked *parked)
{
    struct held *held = parked->held;
    struct peer *sender = parked->sender, *to = bus_find(bus, held->m.destination);
    bool waits = sender && !sender->gone;
    if (waits && (!to || to->gone)) {
        events_push(bus->events, &parked->event);
        return;
    }
    route_show(bus, parked);
    struct transit t = {.bus = bus, .sender = sender, .m = &held->m, .fds = held->fds};
    if (waits)
        route_unicast(&t, to);
    end(bus, parked);
}

void route_reject(struct bus *bus, struct parked *parked, const char *name, const char *text)
{
    route_show(bus, parked);
    if (parked->sender)
        say_error(bus, parked->sender, parked->held->m.serial, name, text);
    end(bus, parked);
}
