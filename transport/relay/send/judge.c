/* SPDX-License-Identifier: MIT */
#include "send/judge.h"

#include "send/mediate.h"
#include "state/log.h"

#include <stdarg.h>
#include <stdio.h>

void deny(struct denial *denial, const char *name, const char *format, ...)
{
    if (!denial)
        return;
    va_list arguments;
    va_start(arguments, format);
    denial->name = name;
    vsnprintf(denial->text, sizeof(denial->text), format, arguments);
    va_end(arguments);
}

static const char *judge_or_unset(struct span span)
{
    return span.s ? span.s : "(unset)";
}

static const char *judge_name(const struct peer *sender)
{
    return !sender ? "(unset)" : sender->active ? sender->unique_text : "(null)";
}

static const char *judge_loginfo(const struct peer *sender)
{
    return !sender ? "(bus)" : sender->active ? sender->credentials.loginfo : "inactive";
}

/* The wording of the reference, which administrators search logs for. */
static void describe_about(char *text, size_t size, const char *complaint, const char *matched,
                           const struct policy_case *c)
{
    const struct message *m = c->m;
    snprintf(text, size,
             "%s%s; type=\"%s\", sender=\"%s\" (%s) "
             "interface=\"%s\" member=\"%s\" "
             "error name=\"%s\" requested_reply=\"%d\" destination=\"%s\" (%s)",
             complaint, matched, message_type_name(m->type), judge_name(c->sender), judge_loginfo(c->sender),
             judge_or_unset(m->interface), judge_or_unset(m->member), judge_or_unset(m->error_name),
             c->requested_reply, m->destination.s ? m->destination.s : BUS_NAME.s,
             c->recipient ? c->recipient->credentials.loginfo : "bus");
}

static void describe(char *text, size_t size, const char *complaint, const struct policy_case *c,
                     uint32_t matched)
{
    char rules[32];
    snprintf(rules, sizeof(rules), ", %u matched rules", matched);
    describe_about(text, size, complaint, rules, c);
}

void complain_without_rules(struct denial *denial, const char *name, const char *complaint,
                            const struct policy_case *c)
{
    if (!denial)
        return;
    denial->name = name;
    describe_about(denial->text, sizeof(denial->text), complaint, "", c);
}

void complain(struct denial *denial, const char *name, const char *complaint, const struct policy_case *c,
              uint32_t matched)
{
    if (!denial)
        return;
    denial->name = name;
    describe(denial->text, sizeof(denial->text), complaint, c, matched);
}

/* True if the message is addressed to the recipient. */
static bool is_direct(const struct policy_case *c)
{
    return !c->eavesdropping && (!c->recipient || c->m->destination.s);
}

static void judge_note(struct bus *bus, const struct policy_case *c, const struct policy_rule *rule,
                       const char *text)
{
    if (c->sender)
        c->sender->reports.logged = true;
    const struct log_denial denial = {
        .sender = c->sender ? c->sender->id : UINT64_MAX,
        .destination = c->m->destination.s ? c->m->destination : BUS_NAME,
        .rule = policy_place(bus->policy, rule),
    };
    /* LOG_NOTICE is the severity of what an administrator must be able to see */
    log_denied(bus, LOG_NOTICE, text, &denial);
}

static void judge_refuse(struct bus *bus, const struct policy_case *c, const char *complaint,
                         const struct policy_verdict *verdict, struct denial *denial)
{
    struct denial own, *to = denial ? denial : &own;
    if (!denial && !is_direct(c))
        return;
    complain(to, ERROR_ACCESS_DENIED, complaint, c, verdict->matched);
    if (is_direct(c))
        judge_note(bus, c, verdict->rule, to->text);
}

static void would_reject(struct bus *bus, const struct policy_case *c, const struct policy_verdict *verdict)
{
    char text[JUDGE_TEXT];
    describe(text, sizeof(text), "Would reject message", c, verdict->matched);
    judge_note(bus, c, verdict->rule, text);
}

/*
 * The parties of a message. A recipient that is yet to be started is judged by the one name that it will own.
 */
static bool sides_of(struct policy *policy, const struct policy_case *c, struct policy_party *sender,
                     struct policy_party *recipient)
{
    *sender = *recipient = (struct policy_party){NULL, NULL};
    if (c->sender ? !peer_party(c->sender, policy, sender) : !(sender->role = policy_role_of_bus(policy)))
        return false;
    if (c->recipient)
        return peer_party(c->recipient, policy, recipient);
    if (span_equal(c->m->destination, BUS_NAME))
        recipient->role = policy_role_of_bus(policy);
    else
        recipient->role = policy_role_of_name(policy, c->m->destination);
    return recipient->role != NULL;
}

/* Judges once more, without the cache, for the text of the denial and the log. */
static bool explain(struct bus *bus, const struct policy_case *c, const struct policy_party *sender,
                    const struct policy_party *recipient, const struct policy_class *class,
                    struct denial *denial)
{
    if (sender->identity) {
        struct policy_verdict verdict =
            policy_can_send(bus->policy, sender->identity, recipient->role, class);
        if (!verdict.allow) {
            judge_refuse(bus, c, "Rejected send message", &verdict, denial);
            return false;
        }
        if (verdict.log)
            would_reject(bus, c, &verdict);
    }
    if (recipient->identity) {
        struct policy_verdict verdict =
            policy_can_receive(bus->policy, recipient->identity, sender->role, class);
        if (!verdict.allow) {
            judge_refuse(bus, c, "Rejected receive message", &verdict, denial);
            return false;
        }
    }
    return true;
}

static bool is_alike(const struct policy *policy, const struct policy_case *c)
{
    const struct policy_alike *alike = c->alike;
    const struct peer *peer = c->recipient;
    return alike->generation == policy->generation && peer->policy.generation == policy->generation &&
           peer->policy.identity == alike->identity && peer->policy.role == alike->role;
}

/* Fills the parties and the class; returns the verdict: enum policy_outcome, or 0 without memory. */
static uint32_t outcome_of(struct policy *policy, const struct policy_case *c, struct policy_party *sender,
                           struct policy_party *recipient, struct policy_class *class)
{
    if (policy_is_full(policy))
        policy_begin_anew(policy);
    if (!sides_of(policy, c, sender, recipient))
        return 0;
    *class = c->class;
    if (class->bits == 0)
        policy_classify(policy, c->m, class);
    if (c->requested_reply && class->bits & POLICY_IS_REPLY)
        class->bits |= POLICY_IS_REQUESTED;
    if (c->eavesdropping)
        class->bits |= POLICY_IS_EAVESDROPPING;
    return policy_outcome(policy, sender, recipient, class);
}

uint32_t judge_outcome(struct bus *bus, const struct policy_case *c)
{
    struct policy_party sender, recipient;
    struct policy_class class;
    uint32_t outcome = outcome_of(bus->policy, c, &sender, &recipient, &class);
    if (!bus->mediation || outcome == 0)
        return outcome;
    uint32_t mediated = mediate_outcome(bus, c);
    if (mediated & POLICY_DENIED)
        outcome = POLICY_DENIED;
    return outcome | (mediated & POLICY_LOGGED);
}

bool judge_is_named(struct bus *bus, const struct policy_case *c)
{
    struct policy_party sender, recipient;
    struct policy_class class;
    if (!(outcome_of(bus->policy, c, &sender, &recipient, &class) & POLICY_ALLOWED) || !sender.identity)
        return false;
    return policy_names_interface(policy_can_send(bus->policy, sender.identity, recipient.role, &class).rule);
}

bool judge(struct bus *bus, const struct policy_case *c, struct denial *denial)
{
    if (c->alike && is_alike(bus->policy, c))
        return true;
    if (bus->mediation && !mediate(bus, c, denial))
        return false;
    if (c->m->type > MESSAGE_SIGNAL) {
        deny(denial, ERROR_ACCESS_DENIED, "Message bus will not accept messages of unknown type\n");
        return false;
    }
    struct policy_party sender, recipient;
    struct policy_class class;
    uint32_t outcome = outcome_of(bus->policy, c, &sender, &recipient, &class);
    if (outcome == 0) {
        const struct policy_verdict none = {0};
        judge_refuse(bus, c, "Rejected send message", &none, denial);
        return false;
    }
    if (outcome == POLICY_ALLOWED) {
        /* a module knows labels, which the policy does not tell apart */
        if (c->alike && !bus->mediation)
            *c->alike = (struct policy_alike){recipient.identity, recipient.role, bus->policy->generation};
        return true;
    }
    if (outcome == POLICY_DENIED && !denial && !is_direct(c))
        return false;
    return explain(bus, c, &sender, &recipient, &class, denial);
}
