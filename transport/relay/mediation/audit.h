/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_AUDIT_H
#define OMNIBUS_AUDIT_H

#include "mediation/library.h"
#include "mediation/mediation.h"

/* Record types of <linux/audit.h>. */
enum audit_type {
    AUDIT_TYPE_USER_AVC = 1107,
    AUDIT_TYPE_USER_MAC_POLICY_LOAD = 2310,
    AUDIT_TYPE_USER_MAC_STATUS = 2311,
};

/* The way to the audit subsystem, for a process with CAP_AUDIT_WRITE; for others, to the log. */
struct audit {
    struct library_audit library;
    int fd;            /* -1: records go to the log */
    int error;         /* errno of a failed attempt to open it; 0: none */
    mediation_log log; /* NULL: not attached yet */
    void *context;
};

/* NULL: no memory. library: NULL: that of the system, if this process may write records. */
struct audit *audit_new(const struct library_audit *library);
/* Says where the log is. */
void audit_attach(struct audit *audit, mediation_log log, void *context);
void audit_log(struct audit *audit, int severity, const char *text); /* a line in the log */
void audit_free(struct audit *audit);
/* Records a text. severity: of the line in the log that takes its place. */
void audit_record(struct audit *audit, enum audit_type type, int severity, const char *text);

#endif
