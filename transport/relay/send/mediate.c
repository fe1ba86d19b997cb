/* SPDX-License-Identifier: MIT */
#include "send/mediate.h"

#include "mediation/apparmor.h"
#include "mediation/question.h"
#include "mediation/selinux.h"
#include "state/group_ops.h"
#include "state/log.h"

#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>

#define APPARMOR_PREVENTS                                                                                    \
    "An AppArmor policy prevents this sender from sending this message to this recipient"
#define SELINUX_PREVENTS "An SELinux policy prevents this sender from sending this message to this recipient"

static void mediate_log(void *context, int severity, const char *text)
{
    size_t size = strlen(text);
    /* records for audit end with a newline, lines of a log don't */
    log_line(context, severity, "%.*s", (int)(size > 0 && text[size - 1] == '\n' ? size - 1 : size), text);
}

static bool has_members(const struct bus *bus)
{
    struct group_totals totals = {0};
    GROUP_CALL(bus, totals, bus, &totals);
    return totals.members > 0;
}

/*
 * What goes directly is not seen here, so that no module could be asked about those that are members. Those
 * that join later know of it.
 */
static void mediate_group(struct bus *bus)
{
    if (!bus->group_ops)
        return;
    int error = has_members(bus) ? 0 : bus->group_ops->mediated(bus);
    if (error < 0)
        log_line(bus, LOG_WARNING,
                 "Another SELinux policy can't stop the group: %s; all messages go through the relay",
                 strerror(-error));
    if (error < 0 || has_members(bus))
        bus->group_ops->dissolve(bus);
}

int mediate_with(struct bus *bus, struct mediation *mediation)
{
    /* edge-triggered: a file that is always readable announces nothing more */
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.ptr = &bus->mediating};
    int fds[2];
    mediation_free(bus->mediation);
    bus->mediation = mediation;
    if (!mediation)
        return 0;
    mediation_attach(mediation, mediate_log, bus);
    mediate_group(bus);
    for (uint32_t n = mediation_watched(mediation, fds); n > 0; n--) {
        if (epoll_ctl(bus->epoll, EPOLL_CTL_ADD, fds[n - 1], &event) < 0) {
            int error = -errno;
            mediation_unwatched(mediation);
            return error;
        }
    }
    return 0;
}

static struct mediation_end end_of(const struct peer *peer)
{
    const struct relay_credentials *who = &peer->credentials;
    return (struct mediation_end){{who->label_size > 0 ? who->label : NULL, who->label_size}, who->pid};
}

bool mediate_knows(const struct bus *bus, const struct peer *peer)
{
    struct span label = end_of(peer).label;
    const struct mediation *mediation = bus->mediation;
    return label.s && (!mediation->apparmor || apparmor_knows(label)) &&
           (!mediation->selinux || selinux_knows(mediation->selinux, label));
}

/* A connection that AppArmor does not confine stays so, and then nothing is asked about it. */
bool mediate_may_join(const struct bus *bus, const struct peer *peer)
{
    if (!bus->mediation || !bus->mediation->apparmor)
        return true;
    const struct apparmor_label label = apparmor_split(end_of(peer).label);
    return apparmor_is_unconfined(&label);
}

static struct selinux *mediate_selinux(const struct bus *bus)
{
    return bus->mediation ? bus->mediation->selinux : NULL;
}

struct span mediate_context(const struct bus *bus, const struct peer *peer)
{
    return mediate_selinux(bus) ? end_of(peer).label : (struct span){0};
}

bool mediate_passes(const struct bus *bus, struct span source, struct span target)
{
    struct selinux *selinux = mediate_selinux(bus);
    return !selinux || selinux_passes(selinux, source, target);
}

int mediate_announces(const struct bus *bus)
{
    const struct selinux *selinux = mediate_selinux(bus);
    return selinux ? selinux_watched(selinux) : -1;
}

void mediate_look(struct bus *bus)
{
    struct pollfd announces[2];
    int fds[2];
    uint32_t n = mediation_watched(bus->mediation, fds);
    for (uint32_t i = 0; i < n; i++)
        announces[i] = (struct pollfd){.fd = fds[i], .events = POLLIN};
    if (poll(announces, n, 0) > 0)
        mediation_changed(bus->mediation);
}

void mediate_again(struct bus *bus)
{
    if (bus->mediation)
        mediation_changed(bus->mediation);
    GROUP_CALL(bus, policy_changed, bus);
}

/* What a case is for the modules; the storage is for what it refers to. */
struct mediate_parts {
    struct mediation_end recipient;
    struct span assumed;
};

static struct mediation_case mediate_case(const struct bus *bus, const struct policy_case *c,
                                          struct mediate_parts *parts)
{
    struct mediation_case made = {.m = c->m,
                                  .destination = c->m->destination.s ? c->m->destination : BUS_NAME,
                                  .source = c->sender->active ? c->sender->unique : BUS_NAME,
                                  .sender = end_of(c->sender),
                                  .requested_reply = c->requested_reply && c->recipient};
    if (c->recipient) {
        parts->recipient = end_of(c->recipient);
        made.recipient = &parts->recipient;
    } else if (!span_equal(made.destination, BUS_NAME)) {
        parts->assumed = mediation_text(&bus->mediation->labels, made.destination);
        made.assumed = &parts->assumed;
    }
    return made;
}

/* Messages of the bus itself are not mediated, and those of unknown types are refused by all. */
static bool is_exempt(const struct policy_case *c)
{
    return !c->sender || c->m->type > MESSAGE_SIGNAL;
}

static const char *errno_name(int error)
{
    switch (error) {
    case EACCES:
    case EPERM:
        return ERROR_ACCESS_DENIED;
    case ENOENT:
        return "org.freedesktop.DBus.Error.FileNotFound";
    case ENOBUFS:
    case ENOMEM:
        return ERROR_NO_MEMORY;
    case EMFILE:
    case ENFILE:
        return ERROR_LIMITS_EXCEEDED;
    default:
        return ERROR_FAILED;
    }
}

static void deny_unanswered(struct denial *denial, int error)
{
    deny(denial, errno_name(error), "Failed to query AppArmor policy: %s", strerror(error));
}

static bool ask_apparmor(struct bus *bus, const struct policy_case *c, const struct mediation_case *mc,
                         struct denial *denial)
{
    struct apparmor_verdict verdict = apparmor_judge(bus->mediation->apparmor, mc);
    int error = verdict.send.error ? verdict.send.error : verdict.receive.error;
    if (verdict.send.audit || verdict.receive.audit)
        apparmor_record(bus->mediation->apparmor, mc, &verdict);
    if (verdict.send.allow && verdict.receive.allow)
        return true;
    if (error != 0)
        deny_unanswered(denial, error);
    else
        complain_without_rules(denial, ERROR_ACCESS_DENIED, APPARMOR_PREVENTS, c);
    return false;
}

bool mediate(struct bus *bus, const struct policy_case *c, struct denial *denial)
{
    struct mediate_parts parts;
    if (is_exempt(c))
        return true;
    const struct mediation_case mc = mediate_case(bus, c, &parts);
    if (bus->mediation->selinux && !selinux_send(bus->mediation->selinux, &mc)) {
        /* the reference says false of any reply here */
        struct policy_case told = *c;
        told.requested_reply = false;
        complain(denial, ERROR_ACCESS_DENIED, SELINUX_PREVENTS, &told, 0);
        return false;
    }
    return !bus->mediation->apparmor || ask_apparmor(bus, c, &mc, denial);
}

uint32_t mediate_outcome(struct bus *bus, const struct policy_case *c)
{
    struct mediate_parts parts;
    if (is_exempt(c) || !bus->mediation->apparmor)
        return POLICY_ALLOWED;
    const struct mediation_case mc = mediate_case(bus, c, &parts);
    struct apparmor_verdict verdict = apparmor_judge(bus->mediation->apparmor, &mc);
    uint32_t logged = verdict.send.audit || verdict.receive.audit ? POLICY_LOGGED : 0;
    return logged | (verdict.send.allow && verdict.receive.allow ? POLICY_ALLOWED : POLICY_DENIED);
}

bool mediate_own(struct bus *bus, const struct peer *peer, struct span name, struct denial *denial)
{
    const struct mediation_end end = end_of(peer);
    struct mediation *mediation = bus->mediation;
    struct span context = mediation_text(&mediation->contexts, name);
    if (mediation->selinux && !selinux_own(mediation->selinux, &end, name, context)) {
        deny(denial, ERROR_ACCESS_DENIED,
             "Connection \"%s\" is not allowed to own the service \"%s\" due to SELinux policy",
             peer->unique_text, name.s);
        return false;
    }
    if (!mediation->apparmor)
        return true;
    struct mediation_answer answer = apparmor_own(mediation->apparmor, &end, name);
    if (answer.error != 0)
        deny_unanswered(denial, answer.error);
    else if (!answer.allow)
        deny(denial, ERROR_ACCESS_DENIED,
             "Connection \"%s\" is not allowed to own the service \"%s\" due to AppArmor policy",
             peer->unique_text, name.s);
    return answer.allow;
}

bool mediate_eavesdrop(struct bus *bus, const struct peer *peer, struct denial *denial)
{
    const struct mediation_end end = end_of(peer);
    if (!bus->mediation->apparmor)
        return true;
    struct mediation_answer answer = apparmor_eavesdrop(bus->mediation->apparmor, &end);
    if (answer.error != 0)
        deny_unanswered(denial, answer.error);
    else if (!answer.allow)
        deny(denial, ERROR_ACCESS_DENIED,
             "Connection \"%s\" is not allowed to eavesdrop due to AppArmor policy", peer->unique_text);
    return answer.allow;
}

uint32_t mediate_explain(const struct bus *bus, const struct policy_case *c, struct span own,
                         struct mediation_opinion opinions[MEDIATION_OPINIONS])
{
    struct mediate_parts parts;
    struct mediation *mediation = bus->mediation;
    uint32_t n = 0;
    if (is_exempt(c))
        return 0;
    if (own.s) {
        const struct mediation_end end = end_of(c->sender);
        struct span context = mediation_text(&mediation->contexts, own);
        if (mediation->selinux)
            n += selinux_explain_own(mediation->selinux, &end, context, opinions);
        if (mediation->apparmor)
            n += apparmor_explain_own(mediation->apparmor, &end, own, opinions + n);
        return n;
    }
    const struct mediation_case mc = mediate_case(bus, c, &parts);
    if (mediation->selinux)
        n += selinux_explain(mediation->selinux, &mc, opinions);
    if (mediation->apparmor)
        n += apparmor_explain(mediation->apparmor, &mc, opinions + n);
    return n;
}
