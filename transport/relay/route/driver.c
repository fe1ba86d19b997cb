/* SPDX-License-Identifier: MIT */
#include "route/driver.h"

#include "route/activate.h"
#include "route/credentials.h"
#include "route/names_fast.h"
#include "send/judge.h"
#include "send/listeners.h"
#include "send/mediate.h"
#include "send/say.h"
#include "state/group_ops.h"
#include "state/log.h"

#include <errno.h>
#include <stdio.h>

#define NO_UID 0xffffffffu

typedef bool (*driver_method)(struct bus *bus, struct peer *sender, const struct message *m,
                              struct span argument);

struct peer *driver_owner(const struct bus *bus, struct span name, bool *found)
{
    if (span_equal(name, BUS_NAME)) {
        *found = true;
        return NULL;
    }
    struct peer *owner = bus_find(bus, name);
    *found = owner && owner->active;
    return *found ? owner : NULL;
}

static bool get_name_owner(struct bus *bus, struct peer *sender, const struct message *m, struct span name)
{
    bool found;
    struct peer *owner = driver_owner(bus, name, &found);
    if (!found) {
        say_error_about(bus, sender, m->serial, ERROR_NAME_HAS_NO_OWNER,
                        "Could not get owner of name '%s': no such name", name.s);
        return true;
    }
    marshal_string(say_reply(bus, sender, m->serial, SPAN("s"), 0), owner ? owner->unique : BUS_NAME);
    say_end(bus, sender);
    return true;
}

static bool name_has_owner(struct bus *bus, struct peer *sender, const struct message *m, struct span name)
{
    bool found;
    driver_owner(bus, name, &found);
    marshal_boolean(say_reply(bus, sender, m->serial, SPAN("b"), 0), found);
    say_end(bus, sender);
    return true;
}

static void put_names(struct bus *bus, struct marshal *w)
{
    size_t array = marshal_array_begin(w, 4);
    marshal_string(w, BUS_NAME);
    struct table_node *node = NULL;
    while ((node = table_walk(&bus->registry.names, node)))
        marshal_string(w, name_span(CONTAINER_OF(node, struct name, node)));
    while ((node = table_walk(&bus->peers, node))) {
        const struct peer *peer = CONTAINER_OF(node, struct peer, node);
        if (peer->active && !peer->monitor)
            marshal_string(w, peer->unique);
    }
    marshal_array_end(w, array, 4);
}

static bool list_names(struct bus *bus, struct peer *sender, const struct message *m, struct span none)
{
    (void)none;
    put_names(bus, say_reply(bus, sender, m->serial, SPAN("as"), 0));
    say_end(bus, sender);
    return true;
}

static bool get_id(struct bus *bus, struct peer *sender, const struct message *m, struct span none)
{
    (void)none;
    marshal_string(say_reply(bus, sender, m->serial, SPAN("s"), 0), span_of(bus->guid));
    say_end(bus, sender);
    return true;
}

/* Replies without arguments, unless the caller expects no reply. */
static void acknowledge(struct bus *bus, struct peer *sender, const struct message *m)
{
    if (m->flags & MESSAGE_NO_REPLY_EXPECTED)
        return;
    say_reply(bus, sender, m->serial, (struct span){0}, 0);
    say_end(bus, sender);
}

static bool ping(struct bus *bus, struct peer *sender, const struct message *m, struct span none)
{
    (void)none;
    acknowledge(bus, sender, m);
    return true;
}

/* The rule of AddMatch or RemoveMatch. NULL: an error was sent. */
static struct match_rule *driver_rule_of(struct bus *bus, struct peer *sender, const struct message *m,
                                         struct span text)
{
    struct match_rule *rule;
    char why[MATCH_MAX_RULE_TEXT + 256];
    int error = match_rule_parse(text, &rule, why, sizeof(why));
    if (error == 0)
        return rule;
    if (error == -ENOMEM)
        say_error(bus, sender, m->serial, ERROR_NO_MEMORY, "Not enough memory");
    else
        say_error(bus, sender, m->serial, error == -E2BIG ? ERROR_LIMITS_EXCEEDED : ERROR_MATCH_RULE_INVALID,
                  why);
    return NULL;
}

/* Uses the wording of the control plane, which refuses its own methods likewise. */
static void refuse_unprivileged(struct bus *bus, struct peer *sender, const struct message *m)
{
    char why[1024], what[32] = "with unknown uid";
    if (sender->credentials.instance)
        snprintf(what, sizeof(what), "in container");
    else if (sender->credentials.uid != NO_UID)
        snprintf(what, sizeof(what), "with uid %u", sender->credentials.uid);
    snprintf(why, sizeof(why), "rejected attempt to call %s by connection %s (%s) %s", m->member.s,
             sender->unique_text, sender->credentials.loginfo, what);
    log_line(bus, LOG_NOTICE, "%s", why);
    say_error(bus, sender, m->serial, ERROR_ACCESS_DENIED, why);
}

static bool add_match(struct bus *bus, struct peer *sender, const struct message *m, struct span text)
{
    if (match_list_count(sender->matches) >= bus->limits.max_match_rules_per_connection) {
        say_error_about(bus, sender, m->serial, ERROR_LIMITS_EXCEEDED,
                        "Connection \"%s\" is not allowed to add more match rules (increase limits in "
                        "configuration file if required; max_match_rules_per_connection=%u)",
                        sender->unique_text, bus->limits.max_match_rules_per_connection);
        return true;
    }
    struct match_rule *rule = driver_rule_of(bus, sender, m, text);
    if (!rule)
        return true;
    if (match_rule_eavesdrops(rule) && !sender->credentials.privileged) {
        match_rule_free(rule);
        refuse_unprivileged(bus, sender, m);
        return true;
    }
    struct denial denial;
    if (bus->mediation && match_rule_eavesdrops(rule) && !mediate_eavesdrop(bus, sender, &denial)) {
        match_rule_free(rule);
        say_error(bus, sender, m->serial, denial.name, denial.text);
        return true;
    }
    if (!sender->matches)
        sender->matches = match_list_new(sender);
    struct match_rule *added = sender->matches ? match_index_add(bus->matches, sender->matches, rule) : NULL;
    if (!added) {
        match_rule_free(rule);
        say_error(bus, sender, m->serial, ERROR_NO_MEMORY, "Not enough memory");
        return true;
    }
    bus_count_matches(bus, sender);
    acknowledge(bus, sender, m);
    listeners_rule_changed(bus, sender, added);
    GROUP_CALL(bus, rule_added, bus, sender, added);
    return true;
}

static bool remove_match(struct bus *bus, struct peer *sender, const struct message *m, struct span text)
{
    struct match_rule *rule = driver_rule_of(bus, sender, m, text);
    if (!rule)
        return true;
    bool removed = match_index_remove(bus->matches, sender->matches, rule);
    if (removed) {
        listeners_rule_changed(bus, sender, rule);
        GROUP_CALL(bus, rule_removed, bus, sender, rule);
        acknowledge(bus, sender, m);
    } else {
        say_error(bus, sender, m->serial, ERROR_MATCH_RULE_NOT_FOUND,
                  "The given match rule wasn't found and can't be removed");
    }
    match_rule_free(rule);
    return true;
}

/* The control plane has the rest of the answer, also for those without the privilege. */
static bool refuses_monitor(struct bus *bus, struct peer *sender, const struct message *m, struct span none)
{
    struct denial denial;
    (void)none;
    if (!bus->mediation || !sender->credentials.privileged || !span_equal(m->path, BUS_PATH) ||
        mediate_eavesdrop(bus, sender, &denial))
        return false;
    say_error(bus, sender, m->serial, denial.name, denial.text);
    return true;
}

/*
 * Root and the bus's own user may, and others if a rule of the policy says so: one that names the interface,
 * since many a policy allows all calls of the bus.
 */
static bool may_by_interface(struct bus *bus, struct peer *sender, const struct message *m)
{
    const struct policy_case c = {.m = m, .sender = sender};
    return sender->credentials.privileged || (!sender->credentials.instance && judge_is_named(bus, &c));
}

static bool watch_listeners(struct bus *bus, struct peer *sender, const struct message *m, struct span none)
{
    (void)none;
    if (!span_equal(m->path, BUS_PATH))
        return false; /* the control plane refuses it */
    if (!may_by_interface(bus, sender, m))
        refuse_unprivileged(bus, sender, m);
    else if (listeners_watch(bus, sender))
        acknowledge(bus, sender, m);
    else
        say_error(bus, sender, m->serial, ERROR_LIMITS_EXCEEDED,
                  "There are too many connections that watch, or too much is unread");
    return true;
}

static bool unwatch_listeners(struct bus *bus, struct peer *sender, const struct message *m, struct span none)
{
    (void)none;
    if (!span_equal(m->path, BUS_PATH))
        return false;
    list_unlink(&sender->in_observers);
    acknowledge(bus, sender, m);
    return true;
}

/* The control plane has the rest of the answer, but does not judge. */
static bool refuses_metadata(struct bus *bus, struct peer *sender, const struct message *m, struct span none)
{
    (void)none;
    if (!span_equal(m->path, BUS_PATH) || may_by_interface(bus, sender, m))
        return false;
    refuse_unprivileged(bus, sender, m);
    return true;
}

static const struct {
    struct span member, interface, signature;
    driver_method method;
} methods[] = {
    {{"AddMatch", 8}, {"org.freedesktop.DBus", 20}, {"s", 1}, add_match},
    {{"RemoveMatch", 11}, {"org.freedesktop.DBus", 20}, {"s", 1}, remove_match},
    {{"GetNameOwner", 12}, {"org.freedesktop.DBus", 20}, {"s", 1}, get_name_owner},
    {{"NameHasOwner", 12}, {"org.freedesktop.DBus", 20}, {"s", 1}, name_has_owner},
    {{"RequestName", 11}, {"org.freedesktop.DBus", 20}, {"su", 2}, names_fast_name},
    {{"ReleaseName", 11}, {"org.freedesktop.DBus", 20}, {"s", 1}, names_fast_release},
    {{"StartServiceByName", 18}, {"org.freedesktop.DBus", 20}, {"su", 2}, activate_start},
    {{"ListActivatableNames", 20}, {"org.freedesktop.DBus", 20}, {"", 0}, activate_list},
    {{"ListNames", 9}, {"org.freedesktop.DBus", 20}, {"", 0}, list_names},
    {{"GetId", 5}, {"org.freedesktop.DBus", 20}, {"", 0}, get_id},
    {{"GetConnectionUnixUser", 21}, {"org.freedesktop.DBus", 20}, {"s", 1}, credentials_user},
    {{"GetConnectionUnixProcessID", 26}, {"org.freedesktop.DBus", 20}, {"s", 1}, credentials_process},
    {{"GetConnectionCredentials", 24}, {"org.freedesktop.DBus", 20}, {"s", 1}, credentials_all},
    {{"BecomeMonitor", 13}, {"org.freedesktop.DBus.Monitoring", 31}, {"asu", 3}, refuses_monitor},
    {{"Trace", 5}, {"org.omnibus.Inspect1", 20}, {"as", 2}, refuses_monitor},
    {{"Watch", 5}, {"org.omnibus.Listeners1", 22}, {"", 0}, watch_listeners},
    {{"Unwatch", 7}, {"org.omnibus.Listeners1", 22}, {"", 0}, unwatch_listeners},
    {{"SetMetadata", 11}, {"org.omnibus.Metadata1", 21}, {"a{sv}", 5}, refuses_metadata},
    {{"Ping", 4}, {"org.freedesktop.DBus.Peer", 25}, {"", 0}, ping},
};

static bool answer_prepared(struct bus *bus, struct peer *sender, const struct message *m)
{
    const struct prepared_reply *reply = prepared_find(&bus->prepared, m);
    if (!reply)
        return false;
    marshal_raw(say_reply(bus, sender, m->serial, reply->signature, 0), reply->body, reply->size);
    say_end(bus, sender);
    return true;
}

bool driver_answer(struct bus *bus, struct peer *sender, const struct message *m)
{
    if (m->type != MESSAGE_METHOD_CALL)
        return false;
    for (size_t i = 0; i < sizeof(methods) / sizeof(*methods); i++) {
        if (!span_equal(m->member, methods[i].member))
            continue;
        if (m->interface.s && !span_equal(m->interface, methods[i].interface))
            return false;
        if (!span_equal(m->signature, methods[i].signature))
            return false;
        struct message_args args;
        struct message_arg argument = {0};
        message_args_begin(&args, m);
        message_args_next(&args, &argument);
        return methods[i].method(bus, sender, m, argument.text);
    }
    return answer_prepared(bus, sender, m);
}
