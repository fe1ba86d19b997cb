/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_APPARMOR_H
#define OMNIBUS_APPARMOR_H

#include "mediation/audit.h"

/* Answers of the module about the two ends of a message. */
struct apparmor_verdict {
    struct mediation_answer send, receive;
};

/*
 * Begins to ask AppArmor. library: NULL: that of the system; revision: the file that announces another
 * policy; NULL: the kernel's. The other parameters stay the caller's.
 */
int apparmor_new(struct apparmor **out, const struct library_apparmor *library, const char *revision,
                 const char *bus_type, struct audit *audit, char *why, size_t why_size);
void apparmor_free(struct apparmor *apparmor);
int apparmor_watched(const struct apparmor *apparmor); /* -1: the kernel announces nothing */
void apparmor_changed(struct apparmor *apparmor);      /* the descriptor above is readable */
void apparmor_unwatched(struct apparmor *apparmor);    /* it is watched no more, so nothing is remembered */
/* Whether the label is one of this module. */
bool apparmor_knows(struct span label);
/* What the module says of a message; nothing is recorded. */
struct apparmor_verdict apparmor_judge(struct apparmor *apparmor, const struct mediation_case *c);
/* Records the verdict, as far as the module wants that. */
void apparmor_record(struct apparmor *apparmor, const struct mediation_case *c,
                     const struct apparmor_verdict *verdict);
/* These ask, and record: about owning a name, and about seeing messages of others. */
struct mediation_answer apparmor_own(struct apparmor *apparmor, const struct mediation_end *peer,
                                     struct span name);
struct mediation_answer apparmor_eavesdrop(struct apparmor *apparmor, const struct mediation_end *peer);

/*
 * These ask for people, without a record: about a message, and about owning a name. They return the number of
 * opinions, at most two and one.
 */
uint32_t apparmor_explain(struct apparmor *apparmor, const struct mediation_case *c,
                          struct mediation_opinion *opinions);
uint32_t apparmor_explain_own(struct apparmor *apparmor, const struct mediation_end *peer, struct span name,
                              struct mediation_opinion *opinion);

#endif
