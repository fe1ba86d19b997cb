/* SPDX-License-Identifier: MIT */
#include "route/names_fast.h"

#include "send/listeners.h"
#include "send/mediate.h"
#include "send/monitor.h"
#include "send/say.h"
#include "state/group_ops.h"
#include "state/log.h"
#include "state/report.h"

#include <stdio.h>

/* Return values of RequestName and ReleaseName, by the specification. */
#define NAME_FLAGS_KEPT 5u /* ALLOW_REPLACEMENT and DO_NOT_QUEUE; REPLACE_EXISTING is of the request only */
#define PRIMARY_OWNER 1u
#define ALREADY_OWNER 4u
#define RELEASED 1u
#define NON_EXISTENT 2u
#define NOT_OWNER 3u

/*
 * Monitors, if any, see a change before it is made; here it is made first, as it may fail for lack of memory.
 */
static bool decides_here(const struct bus *bus, const struct peer *sender, struct span name)
{
    return !registry_handed(&bus->registry, name) && report_has_room(sender) && !monitored(bus);
}

/* Answers a request for a name that the peer may not have, in the order and the words of the reference. */
static bool refuses_request(struct bus *bus, struct peer *peer, uint32_t serial, struct span name)
{
    struct policy_party side;
    struct denial denial;
    if (!name_is_bus_name(name)) {
        say_error_about(bus, peer, serial, ERROR_INVALID_ARGS, "Requested bus name \"%s\" is not valid",
                        name.s);
    } else if (name.s[0] == ':') {
        say_error_about(bus, peer, serial, ERROR_INVALID_ARGS,
                        "Cannot acquire a service starting with ':' such as \"%s\"", name.s);
    } else if (span_equal(name, BUS_NAME)) {
        /* the missing space is the reference's, as programs compare the text */
        say_error_about(bus, peer, serial, ERROR_INVALID_ARGS,
                        "Connection \"%s\" is not allowed to own the service \"%s\"because it is reserved "
                        "for D-Bus' use only",
                        peer->unique_text, name.s);
    } else if (bus->mediation && !mediate_own(bus, peer, name, &denial)) {
        say_error(bus, peer, serial, denial.name, denial.text);
    } else if (!peer_party(peer, bus->policy, &side)) {
        say_error(bus, peer, serial, ERROR_NO_MEMORY, "Not enough memory");
    } else if (!policy_can_own(side.identity, name)) {
        say_error_about(bus, peer, serial, ERROR_ACCESS_DENIED,
                        "Connection \"%s\" is not allowed to own the service \"%s\" due to security policies "
                        "in the configuration file",
                        peer->unique_text, name.s);
    } else if (peer->names.n_claims >= bus->limits.max_names_per_connection) {
        char why[256];
        snprintf(why, sizeof(why),
                 "Connection \"%s\" is not allowed to own more services (increase limits in configuration "
                 "file if required; max_names_per_connection=%u)",
                 peer->unique_text, bus->limits.max_names_per_connection);
        log_line(bus, LOG_WARNING, "%s", why);
        say_error(bus, peer, serial, ERROR_LIMITS_EXCEEDED, why);
    } else {
        return false;
    }
    return true;
}

static bool refuses_release(struct bus *bus, struct peer *peer, uint32_t serial, struct span name)
{
    if (!name_is_bus_name(name))
        say_error_about(bus, peer, serial, ERROR_INVALID_ARGS, "Given bus name \"%s\" is not valid", name.s);
    else if (name.s[0] == ':')
        say_error_about(bus, peer, serial, ERROR_INVALID_ARGS,
                        "Cannot release a service starting with ':' such as \"%s\"", name.s);
    else if (span_equal(name, BUS_NAME))
        say_error_about(bus, peer, serial, ERROR_INVALID_ARGS,
                        "Cannot release the %s service because it is owned by the bus", name.s);
    else
        return false;
    return true;
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

static bool names_fast_result(struct bus *bus, struct peer *sender, const struct message *m, uint32_t result)
{
    marshal_uint32(say_reply(bus, sender, m->serial, SPAN("u"), 0), result);
    say_end(bus, sender);
    return true;
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

/* Gives a name without a queue to the peer. False: no memory. */
static bool give(struct bus *bus, struct peer *peer, struct span name)
{
    if (registry_set_queue(&bus->registry, name, &peer, 1) < 0)
        return false;
    say_owner_changed(bus, name, SPAN(""), peer->unique);
    say_name_acquired(bus, peer, name);
    listeners_name_changed(bus, name);
    GROUP_CALL(bus, name_changed, bus, name, NULL);
    return true;
}

bool names_fast_name(struct bus *bus, struct peer *sender, const struct message *m, struct span name)
{
    if (refuses_request(bus, sender, m->serial, name))
        return true;
    struct name *owned = registry_find(&bus->registry, name);
    if (!decides_here(bus, sender, name) || (owned && name_only_claimant(owned) != sender))
        return false;
    struct event *event = names_fast_event(RELAY_EVENT_NAMED, sender, name);
    if (!event)
        return false;
    if (!owned && !give(bus, sender, name)) {
        free(event);
        return false;
    }
    event->view.flags = (uint8_t)second_argument(m);
    name_set_flags(registry_find(&bus->registry, name), event->view.flags & NAME_FLAGS_KEPT);
    names_fast_result(bus, sender, m, owned ? ALREADY_OWNER : PRIMARY_OWNER);
    report_lazily(bus, sender, event);
    return true;
}

bool names_fast_release(struct bus *bus, struct peer *sender, const struct message *m, struct span name)
{
    if (refuses_release(bus, sender, m->serial, name))
        return true;
    struct name *owned = registry_find(&bus->registry, name);
    const struct peer *claimant = name_only_claimant(owned);
    if (registry_handed(&bus->registry, name) || (owned && !claimant))
        return false;
    if (claimant != sender)
        return names_fast_result(bus, sender, m, owned ? NOT_OWNER : NON_EXISTENT);
    struct event *event =
        decides_here(bus, sender, name) ? names_fast_event(RELAY_EVENT_RELEASED, sender, name) : NULL;
    if (!event)
        return false;
    say_name_lost(bus, sender, name);
    say_owner_changed(bus, name, sender->unique, SPAN(""));
    registry_leave_queue(&bus->registry, owned, sender);
    GROUP_CALL(bus, name_changed, bus, name, sender);
    names_fast_result(bus, sender, m, RELEASED);
    report_lazily(bus, sender, event);
    return true;
}
