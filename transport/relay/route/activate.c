/* SPDX-License-Identifier: MIT */
#include "route/activate.h"

#include "send/judge.h"
#include "send/monitor.h"
#include "send/say.h"

#define ALREADY_RUNNING 2u /* StartServiceByName, by the specification */

enum start_verdict { STARTABLE, EXCEEDED, UNKNOWN };

/* The name of the service manager, which the control plane may wait for although it has no file. */
static bool is_manager(struct span name)
{
    return span_equal(name, SPAN("org.freedesktop.systemd1"));
}

/* In the order of the reference: bus_activation_activate_service. */
static enum start_verdict verdict_on(struct bus *bus, struct span name, bool *current)
{
    *current = false;
    if (bus->parking.n_starting >= bus->limits.max_pending_service_starts)
        return EXCEEDED;
    if (name.n > 0 && name.s[0] == ':')
        return UNKNOWN;
    *current = !is_manager(name) && catalog_is_current(bus->catalog);
    return *current && !catalog_has(bus->catalog, name) ? UNKNOWN : STARTABLE;
}

static void activate_answer(struct bus *bus, struct peer *to, uint32_t serial, struct span name,
                            enum start_verdict verdict)
{
    if (verdict == UNKNOWN)
        say_error_about(bus, to, serial, ERROR_SERVICE_UNKNOWN,
                        "The name %s was not provided by any .service files", name.s);
    else
        say_error_about(bus, to, serial, ERROR_LIMITS_EXCEEDED,
                        "The maximum number of pending activations has been reached, activation of %s failed "
                        "(max_pending_service_starts=%u)",
                        name.s, bus->limits.max_pending_service_starts);
}

bool activate_start(struct bus *bus, struct peer *sender, const struct message *m, struct span name)
{
    bool *current = &sender->reports.call.view.current;
    *current = false;
    if (is_manager(name))
        return false;
    enum start_verdict verdict = verdict_on(bus, name, current);
    if (verdict != STARTABLE) {
        activate_answer(bus, sender, m->serial, name, verdict);
        return true;
    }
    const struct peer *owner = bus_find(bus, name);
    bool owned = span_equal(name, BUS_NAME) || (owner && !peer_is_gone(owner));
    if (!*current || !owned)
        return false;
    marshal_uint32(say_reply(bus, sender, m->serial, SPAN("u"), 0), ALREADY_RUNNING);
    say_end(bus, sender);
    return true;
}

bool activate_list(struct bus *bus, struct peer *sender, const struct message *m, struct span none)
{
    (void)none;
    sender->reports.call.view.current = catalog_is_current(bus->catalog);
    if (!sender->reports.call.view.current)
        return false;
    marshal_raw(say_reply(bus, sender, m->serial, SPAN("as"), 0), bus->catalog->list, bus->catalog->size);
    say_end(bus, sender);
    return true;
}

/* Monitors see the message before its error. */
static void activate_show(struct transit *t)
{
    if (monitored(t->bus))
        monitor_parked(t->bus, t->sender, t->m, t->fds);
}

/* The policy, as if the service had no other name; the message is judged again when it is delivered. */
static bool denies_start(struct transit *t)
{
    struct denial denial;
    const struct policy_case c = {.m = t->m, .sender = t->sender};
    if (judge_outcome(t->bus, &c) & POLICY_ALLOWED || judge(t->bus, &c, &denial))
        return false;
    t->bus->totals.denied++;
    activate_show(t);
    say_error(t->bus, t->sender, t->m->serial, denial.name, denial.text);
    return true;
}

bool activate_refuses(struct transit *t, bool *current)
{
    struct bus *bus = t->bus;
    struct span name = t->m->destination;
    *current = false;
    /* it is about to lose its owner, or earlier messages wait for the owner that it has by now */
    if (bus_find(bus, name))
        return false;
    if (t->m->flags & MESSAGE_NO_AUTO_START) {
        activate_show(t);
        say_error_about(bus, t->sender, t->m->serial, ERROR_NAME_HAS_NO_OWNER, "Name \"%s\" does not exist",
                        name.s);
        return true;
    }
    enum start_verdict verdict = verdict_on(bus, name, current);
    if (verdict == STARTABLE)
        return *current && denies_start(t);
    activate_show(t);
    activate_answer(bus, t->sender, t->m->serial, name, verdict);
    return true;
}
