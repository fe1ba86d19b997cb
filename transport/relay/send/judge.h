/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_JUDGE_H
#define OMNIBUS_JUDGE_H

#include "state/bus.h"

#define JUDGE_TEXT 4096u

/* Why a message does not go to somebody: an error's name and text. */
struct denial {
    const char *name;
    char text[JUDGE_TEXT];
};

/* One of many receivers who was allowed to have the message without more ado: so may whom the policy does
 * not tell from it. */
struct policy_alike {
    const struct identity *identity;
    const struct role *role;
    uint64_t generation; /* of the policy; 0: there was none yet */
};

/* What a message is judged by, besides itself. NULL peers: the bus itself. */
struct policy_case {
    const struct message *m;
    struct peer *sender;
    struct peer *recipient;     /* who would get it; NULL may also be who has yet to
                                   be started */
    struct policy_class class;  /* of the message, if it is known already: it is
                                   the same for all recipients */
    struct policy_alike *alike; /* NULL: there is one receiver */
    bool requested_reply;
    bool eavesdropping; /* the recipient is not who it is addressed to */
};

/*
 * May it go, by the policies of both sides? denial is filled only if it is not
 * NULL. What the reference logs is logged: denials, but not of broadcasts and
 * to eavesdroppers, and what a rule with log="true" allows.
 */
bool judge(struct bus *bus, const struct policy_case *c, struct denial *denial);
/* A denial in the reference's words: what is wrong, how many rules fitted, and
 * all that is known of the message. */
void complain(struct denial *denial, const char *name, const char *complaint, const struct policy_case *c,
              uint32_t matched);
void deny(struct denial *denial, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#define ERROR_ACCESS_DENIED "org.freedesktop.DBus.Error.AccessDenied"
#define ERROR_LIMITS_EXCEEDED "org.freedesktop.DBus.Error.LimitsExceeded"
#define ERROR_NOT_SUPPORTED "org.freedesktop.DBus.Error.NotSupported"
#define ERROR_NO_MEMORY "org.freedesktop.DBus.Error.NoMemory"
#define ERROR_NO_REPLY "org.freedesktop.DBus.Error.NoReply"
#define ERROR_NAME_HAS_NO_OWNER "org.freedesktop.DBus.Error.NameHasNoOwner"
#define ERROR_MATCH_RULE_INVALID "org.freedesktop.DBus.Error.MatchRuleInvalid"
#define ERROR_MATCH_RULE_NOT_FOUND "org.freedesktop.DBus.Error.MatchRuleNotFound"

#endif
