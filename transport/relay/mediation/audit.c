/* SPDX-License-Identifier: MIT */
#include "mediation/audit.h"

#include "mediation/audit_right.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

static void audit_open(struct audit *audit)
{
    audit->fd = audit->library.open();
    /* a kernel without audit subsystem is no failure */
    if (audit->fd < 0 && errno != EINVAL && errno != EPROTONOSUPPORT && errno != EAFNOSUPPORT)
        audit->error = errno;
}

struct audit *audit_new(const struct library_audit *library)
{
    struct audit *audit = calloc(1, sizeof(*audit));
    char why[256];
    if (!audit)
        return NULL;
    audit->fd = -1;
    audit_right_hold(); /* what executed this program has passed it on */
    if (library)
        audit->library = *library;
    else if (!audit_right_held() || library_load_audit(&audit->library, why, sizeof(why)) < 0)
        return audit;
    audit_open(audit);
    return audit;
}

void audit_free(struct audit *audit)
{
    if (audit && audit->fd >= 0)
        audit->library.close(audit->fd);
    free(audit);
}

void audit_record(struct audit *audit, enum audit_type type, int severity, const char *text)
{
    if (audit->fd >= 0) {
        audit->library.log_user_avc_message(audit->fd, (int)type, text, NULL, NULL, NULL, getuid());
        return;
    }
    audit_log(audit, severity, text);
}

void audit_attach(struct audit *audit, mediation_log log, void *context)
{
    char text[256];
    audit->log = log;
    audit->context = context;
    if (audit->error == 0)
        return;
    snprintf(text, sizeof(text), "Failed to open connection to the audit subsystem: %s",
             strerror(audit->error));
    audit_log(audit, LOG_WARNING, text);
}

void audit_log(struct audit *audit, int severity, const char *text)
{
    if (audit->log)
        audit->log(audit->context, severity, text);
}
