/* SPDX-License-Identifier: MIT */
#include "resume/resume.h"

#include "accept/leave.h"
#include "send/output.h"
#include "state/report.h"

/*
 * Nothing is read any more, so no client can cause another report: the limits on reports, which keep one uid
 * from delaying others, have lost their purpose, and the control plane needs to see all of them.
 */
static void report_all(struct bus *bus)
{
    struct table_node *node = NULL;
    while ((node = table_walk(&bus->users, node)))
        reports_hurry(bus, CONTAINER_OF(node, struct user, node));
}

void freeze(struct bus *bus, struct event *event)
{
    bus->frozen = true;
    if (bus->freezing)
        events_push(bus->events, bus->freezing);
    bus->freezing = event;
}

void freeze_end(struct bus *bus)
{
    bus->frozen = false;
    bus->tick =
        0; /* all times are looked at: some have passed, and a restored bus has not looked at any yet */
}

/* Rules that can match nothing any more would never be removed after a restore. */
static void sweep_all(struct bus *bus)
{
    while (match_index_sweep(bus->matches) || match_index_sweep(bus->monitors.rules))
        continue;
}

void freeze_settle(struct bus *bus)
{
    output_flush(bus);
    while (!list_empty(&bus->leaving) || !list_empty(&bus->unsettled)) {
        leave_turn(bus);
        output_flush(bus);
    }
    sweep_all(bus);
    report_all(bus);
    bus->batch.input_used = 0;
    if (bus->freezing)
        events_push(bus->events, bus->freezing);
    bus->freezing = NULL;
    events_hurry(bus->events);
}
