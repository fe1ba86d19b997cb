/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_MEDIATION_H
#define OMNIBUS_MEDIATION_H

#include "wire/message.h"

#include <stddef.h>

struct apparmor;
struct audit;
struct selinux;

/*
 * The mediation layer: what a security module of the kernel says of names, messages and eavesdropping,
 * besides the policy of the configuration.
 *
 * - A module is asked through its own library (library.h), which is loaded when the kernel has the module.
 * - AppArmor's answers are remembered under the whole question, until the kernel announces another policy
 *   (apparmor.c). libselinux remembers by itself: its access vector cache is that of SELinux (selinux.c).
 * - Connections are known by the label that the kernel recorded when they were made.
 * - What a module wants to be told of goes to the audit subsystem, or to the log where the bus has no right
 *   to write there (audit.c), in the words of the reference, as tools search for them.
 *
 * A bus without such a module has none of this, and pays a comparison for each message. Answers remembered by
 * classes of messages, as those of the configuration's policy, were rejected: profiles have patterns for each
 * field, which only the kernel can read.
 */

/* cffi: begin */
enum mediation_module {
    MEDIATION_APPARMOR = 1,
    MEDIATION_SELINUX = 2,
};
enum mediation_texts_kind {
    MEDIATION_LABELS = 1,   /* AppArmor's of services that are yet to be started: AssumedAppArmorLabel */
    MEDIATION_CONTEXTS = 2, /* SELinux's of names: <associate> */
};
/* cffi: end */

/* Logs a line with a severity of syslog(3). */
typedef void (*mediation_log)(void *context, int severity, const char *text);

/* One end of a message. */
struct mediation_end {
    struct span label; /* as of SO_PEERSEC; .s is NULL: unknown */
    uint32_t pid;      /* 0: unknown */
};

/* A message to one receiver. */
struct mediation_case {
    const struct message *m;
    struct span destination, source; /* names; a message without destination has that of the bus */
    struct mediation_end sender;
    const struct mediation_end *recipient; /* NULL: the bus, or a service that is yet to be started */
    const struct span *assumed;            /* label of a service that is yet to be started; NULL: none is */
    bool requested_reply;
};

/* What a module says. */
struct mediation_answer {
    bool allow;
    bool audit; /* it is to be recorded */
    int error;  /* errno of a question that the module could not answer, which is a denial; 0: none */
};

/* A question to a module, and what it says, for people; nothing is recorded. */
struct mediation_opinion {
    const char *module, *permission;
    struct span subject,
        object; /* labels: of the permission, and of the other end; .s is NULL: there is none */
    bool allow;
    int error; /* as of struct mediation_answer */
};

#define MEDIATION_OPINIONS 3u /* about one message, at most */

/* Texts by name, of service files or of <associate>. */
struct mediation_texts {
    char *memory;
    struct span *pairs; /* name and text in turn, ordered by name */
    uint32_t n;
};

struct mediation {
    struct apparmor *apparmor; /* NULL: AppArmor does not mediate */
    struct selinux *selinux;   /* likewise */
    struct audit *audit;
    char *bus_type; /* NULL: none is configured */
    struct mediation_texts labels, contexts;
};

/*
 * Loads the libraries for modules (enum mediation_module). A negative errno, and in why a text: one is
 * missing, or the module does not answer. bus_type: NULL: none is configured.
 */
int mediation_new(struct mediation **out, uint32_t modules, const char *bus_type, char *why, size_t why_size);
/* Says where the log is; until then nothing is logged. */
void mediation_attach(struct mediation *mediation, mediation_log log, void *context);
uint32_t mediation_modules(const struct mediation *mediation); /* enum mediation_module; NULL: none */
void mediation_free(struct mediation *mediation);
/* Descriptors that are readable when a policy has changed; returns their number, at most two. */
uint32_t mediation_watched(const struct mediation *mediation, int fds[2]);
void mediation_changed(struct mediation *mediation); /* one of them is readable */
/* They can't be watched: from now on nothing is remembered here. */
void mediation_unwatched(struct mediation *mediation);
/*
 * Replaces texts by those in a body: name and text in turn, each with a NUL. -EINVAL: it is none; -ENOMEM:
 * all is as before.
 */
int mediation_set_texts(struct mediation_texts *texts, const uint8_t *body, size_t size);
void mediation_texts_free(struct mediation_texts *texts); /* with the object itself; NULL: nothing */
/* The text of a name; .s is NULL: it has none. */
struct span mediation_text(const struct mediation_texts *texts, struct span name);

#endif
