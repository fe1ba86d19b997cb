/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_JUDGE_H
#define OMNIBUS_JUDGE_H

#include "state/bus.h"

#define JUDGE_TEXT 4096u

/* Why a message is not delivered: the name and text of an error. */
struct denial {
    const char *name;
    char text[JUDGE_TEXT];
};

/*
 * A receiver of a broadcast that the policy allowed without logging. The verdict also holds for receivers
 * that the policy cannot tell from it.
 */
struct policy_alike {
    const struct rule_set *identity;
    const struct role *role;
    uint64_t generation; /* of the policy; 0: no receiver yet */
};

/* The circumstances that a message is judged by. A peer that is NULL is the bus itself. */
struct policy_case {
    const struct message *m;
    struct peer *sender;
    struct peer *recipient;     /* the receiver; NULL also for a peer that is yet to be started */
    struct policy_class class;  /* of the message, if already computed: it is the same for all recipients */
    struct policy_alike *alike; /* NULL: a single receiver */
    bool requested_reply;
    bool eavesdropping; /* the message is addressed to another peer */
};

/*
 * True if the policies of both parties allow the message; otherwise denial is filled, unless NULL. This logs
 * what the reference logs: denials, except of broadcasts and of copies for eavesdroppers, and messages that a
 * rule with log="true" allows.
 */
bool judge(struct bus *bus, const struct policy_case *c, struct denial *denial);
/* The same verdict without a denial or a log line: enum policy_outcome, or 0 without memory. */
uint32_t judge_outcome(struct bus *bus, const struct policy_case *c);
/* True if a send rule allows it that is about messages of its interface, and not of others. */
bool judge_is_named(struct bus *bus, const struct policy_case *c);
/*
 * Fills a denial in the wording of the reference: the complaint, the number of rules that applied, and the
 * fields of the message.
 */
void complain(struct denial *denial, const char *name, const char *complaint, const struct policy_case *c,
              uint32_t matched);
/* The same of what is no rule's matter. */
void complain_without_rules(struct denial *denial, const char *name, const char *complaint,
                            const struct policy_case *c);
void deny(struct denial *denial, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#define ERROR_ACCESS_DENIED "org.freedesktop.DBus.Error.AccessDenied"
#define ERROR_FAILED "org.freedesktop.DBus.Error.Failed"
#define ERROR_INVALID_ARGS "org.freedesktop.DBus.Error.InvalidArgs"
#define ERROR_LIMITS_EXCEEDED "org.freedesktop.DBus.Error.LimitsExceeded"
#define ERROR_NOT_SUPPORTED "org.freedesktop.DBus.Error.NotSupported"
#define ERROR_NO_MEMORY "org.freedesktop.DBus.Error.NoMemory"
#define ERROR_NO_REPLY "org.freedesktop.DBus.Error.NoReply"
#define ERROR_NAME_HAS_NO_OWNER "org.freedesktop.DBus.Error.NameHasNoOwner"
#define ERROR_SERVICE_UNKNOWN "org.freedesktop.DBus.Error.ServiceUnknown"
#define ERROR_UNIX_PROCESS_ID_UNKNOWN "org.freedesktop.DBus.Error.UnixProcessIdUnknown"
#define ERROR_MATCH_RULE_INVALID "org.freedesktop.DBus.Error.MatchRuleInvalid"
#define ERROR_MATCH_RULE_NOT_FOUND "org.freedesktop.DBus.Error.MatchRuleNotFound"

#endif
