/* SPDX-License-Identifier: MIT */
#include "judge.h"

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

static const char *type_name(uint8_t type)
{
    static const char *const names[] = {"invalid", "method_call", "method_return", "error", "signal"};
    return type <= MESSAGE_SIGNAL ? names[type] : names[0];
}

static const char *or_unset(struct span span)
{
    return span.s ? span.s : "(unset)";
}

/* The words that administrators search their logs for. */
void complain(struct denial *denial, const char *name, const char *complaint, const struct policy_case *c,
              uint32_t matched)
{
    const struct message *m = c->m;
    deny(denial, name,
         "%s, %u matched rules; type=\"%s\", sender=\"%s\" (%s) interface=\"%s\" "
         "member=\"%s\" "
         "error name=\"%s\" requested_reply=\"%d\" destination=\"%s\" (%s)",
         complaint, matched, type_name(m->type), c->sender ? c->sender->unique_text : "(unset)",
         c->sender ? c->sender->loginfo : "bus", or_unset(m->interface), or_unset(m->member),
         or_unset(m->error_name), c->requested_reply, m->destination.s ? m->destination.s : BUS_NAME.s,
         c->recipient ? c->recipient->loginfo : "bus");
}

bool judge(struct bus *bus, const struct policy_case *c, struct denial *denial)
{
    if (c->sender) {
        const struct identity *identity = peer_identity(c->sender, bus->policy);
        struct policy_verdict verdict = identity ? policy_can_send(identity, c) : (struct policy_verdict){0};
        if (!verdict.allow) {
            complain(denial, ERROR_ACCESS_DENIED, "Rejected send message", c, verdict.matched);
            return false;
        }
        if (verdict.log)
            bus_log(bus, 6, "Would reject message, %u matched rules; type=\"%s\", sender=\"%s\" (%s)",
                    verdict.matched, type_name(c->m->type), c->sender->unique_text, c->sender->loginfo);
    }
    if (c->recipient) {
        const struct identity *identity = peer_identity(c->recipient, bus->policy);
        struct policy_verdict verdict =
            identity ? policy_can_receive(identity, c) : (struct policy_verdict){0};
        if (!verdict.allow) {
            complain(denial, ERROR_ACCESS_DENIED, "Rejected receive message", c, verdict.matched);
            return false;
        }
    }
    return true;
}
