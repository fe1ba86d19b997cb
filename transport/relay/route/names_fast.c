/* SPDX-License-Identifier: MIT */
#include "route/names_fast.h"

#include "send/monitor.h"
#include "send/say.h"
#include "state/group_ops.h"
#include "state/report.h"

/* Return values of RequestName and ReleaseName, by the specification. */
#define PRIMARY_OWNER 1u
#define RELEASED 1u

/*
 * Monitors, if any, see a change before it is made; here it is made first, as it may fail for lack of memory.
 */
static bool decides_here(const struct bus *bus, const struct peer *sender, struct span name)
{
    return !registry_handed(&bus->registry, name) && report_has_room(sender) && !monitored(bus) &&
           name_is_well_known(name) && !span_equal(name, BUS_NAME);
}

static bool may_own(struct bus *bus, struct peer *peer, struct span name)
{
    struct policy_party side;
    return peer->names.n_claims < bus->limits.max_names_per_connection &&
           peer_party(peer, bus->policy, &side) && policy_can_own(side.identity, name);
}

/* NULL: no memory */
static struct event *names_fast_event(enum relay_event_kind kind, const struct peer *peer, struct span name)
{
    struct event *event = calloc(1, sizeof(*event) + name.n + 1);
    if (!event)
        return NULL;
    event->owned = true;
    event->view.kind = kind;
    event->view.peer = peer->id;
    event->view.destination = memcpy(event + 1, name.s, name.n);
    return event;
}

static void finish(struct bus *bus, struct peer *sender, const struct message *m, uint32_t result,
                   struct event *event)
{
    marshal_uint32(say_reply(bus, sender, m->serial, SPAN("u"), 0), result);
    say_end(bus, sender);
    report_lazily(bus, sender, event);
}

static uint32_t second_argument(const struct message *m)
{
    struct message_args args;
    struct message_arg argument = {0};
    message_args_begin(&args, m);
    message_args_next(&args, &argument);
    message_args_next(&args, &argument);
    return argument.number;
}

bool names_fast_name(struct bus *bus, struct peer *sender, const struct message *m, struct span name)
{
    if (!decides_here(bus, sender, name) || registry_find(&bus->registry, name) ||
        !may_own(bus, sender, name))
        return false;
    struct event *event = names_fast_event(RELAY_EVENT_NAMED, sender, name);
    if (!event)
        return false;
    if (registry_set_queue(&bus->registry, name, &sender, 1) < 0) {
        free(event);
        return false;
    }
    event->view.flags = (uint8_t)second_argument(m);
    say_owner_changed(bus, name, SPAN(""), sender->unique);
    say_name_acquired(bus, sender, name);
    GROUP_CALL(bus, name_changed, bus, name, NULL);
    finish(bus, sender, m, PRIMARY_OWNER, event);
    return true;
}

bool names_fast_release(struct bus *bus, struct peer *sender, const struct message *m, struct span name)
{
    struct name *owned = registry_find(&bus->registry, name);
    if (!decides_here(bus, sender, name) || name_only_claimant(owned) != sender)
        return false;
    struct event *event = names_fast_event(RELAY_EVENT_RELEASED, sender, name);
    if (!event)
        return false;
    say_name_lost(bus, sender, name);
    say_owner_changed(bus, name, sender->unique, SPAN(""));
    registry_leave_queue(&bus->registry, owned, sender);
    GROUP_CALL(bus, name_changed, bus, name, sender);
    finish(bus, sender, m, RELEASED, event);
    return true;
}
