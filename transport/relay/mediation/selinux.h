/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_SELINUX_H
#define OMNIBUS_SELINUX_H

#include "mediation/audit.h"

/*
 * Begins to ask SELinux. library: NULL: that of the system. One of a process at a time, as libselinux has one
 * access vector cache.
 */
int selinux_new(struct selinux **out, const struct library_selinux *library, struct audit *audit, char *why,
                size_t why_size);
void selinux_free(struct selinux *selinux);
int selinux_watched(const struct selinux *selinux); /* the netlink socket that announces another policy */
void selinux_changed(struct selinux *selinux);      /* it is readable */
/* Whether the label is a context of the policy. */
bool selinux_knows(const struct selinux *selinux, struct span label);
/* These ask; libselinux remembers, and lets selinux.c record what the policy wants to be recorded. */
bool selinux_send(struct selinux *selinux, const struct mediation_case *c);
/* context: that of the name; .s is NULL: that of the bus. */
bool selinux_own(struct selinux *selinux, const struct mediation_end *peer, struct span name,
                 struct span context);
/*
 * Whether all messages from one context to another pass without a record, until the policy changes; nothing
 * is recorded. That includes what the kernel asks when it delivers from one socket to the other.
 */
bool selinux_passes(struct selinux *selinux, struct span source, struct span target);
/*
 * The same as selinux_send and selinux_own for people, without a record and past what libselinux remembers.
 * Returns the number of opinions, at most one.
 */
uint32_t selinux_explain(const struct selinux *selinux, const struct mediation_case *c,
                         struct mediation_opinion *opinion);
uint32_t selinux_explain_own(const struct selinux *selinux, const struct mediation_end *peer,
                             struct span context, struct mediation_opinion *opinion);
struct span selinux_context(const struct selinux *selinux); /* of the bus itself */

#endif
