/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_TEST_FAKE_MODULES_H
#define OMNIBUS_TEST_FAKE_MODULES_H

/* Libraries of security modules that answer as a test says, and remember what they were asked. */

#include "check.h"

#include "../../transport/relay/mediation/apparmor.h"
#include "../../transport/relay/mediation/question.h"
#include "../../transport/relay/mediation/selinux.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct {
    /* AppArmor */
    int allowed, audited, error; /* of the next answers; error: an errno instead */
    uint32_t refused;            /* permissions that are denied whatever allowed says */
    unsigned questions;
    uint32_t permission; /* of the latest question */
    uint8_t question[APPARMOR_QUESTION];
    size_t size;
    const char *context; /* of the bus; NULL: there is none */
    /* SELinux */
    bool no_class, no_permission, tolerant, permissive, not_enforced;
    bool kernel_denies;   /* to deliver from one socket to the other */
    bool no_sockets;      /* the policy does not know their class */
    const char *recorded; /* what this context is allowed; NULL: nothing is */
    int netlink;          /* 0: another */
    unsigned checks, opened;
    char source[64], target[64], permission_name[64], auxiliary[1024];
    int (*audit)(void *data, uint16_t class, char *text, size_t size);
    int (*say)(int type, const char *format, ...);
    int (*loaded)(int number);
    const char *fails; /* the function of libselinux that does */
    /* audit and the log */
    int audit_fd; /* -1: there is none, with audit_error */
    int audit_error;
    char record[APPARMOR_RECORD];
    int record_type;
    char line[APPARMOR_RECORD];
    unsigned records, lines;
} fake;

static inline void modules_begin(void)
{
    memset(&fake, 0, sizeof(fake));
    fake.audited = 1;
    fake.context = "unconfined";
    fake.audit_fd = -1;
    fake.audit_error = EPROTONOSUPPORT;
}

static inline int fake_query_label(uint32_t mask, char *query, size_t size, int *allowed, int *audited)
{
    fake.questions++;
    fake.permission = mask;
    fake.size = size;
    memcpy(fake.question, query, size);
    memcpy(query, "label", 6); /* as the library does */
    errno = fake.error;
    *allowed = fake.allowed && !(fake.refused & mask);
    *audited = fake.audited;
    return fake.error ? -1 : 0;
}

static inline int fake_aa_getcon(char **label, char **mode)
{
    char *text = fake.context ? strdup(fake.context) : NULL;
    errno = EINVAL;
    if (!text)
        return -1;
    char *at = strstr(text, " (");
    *label = text;
    *mode = NULL;
    if (at) {
        *at = '\0';
        *mode = at + 2;
        at[strlen(at + 2) + 1] = '\0';
    }
    return 0;
}

static const struct library_apparmor fake_apparmor = {fake_query_label, fake_aa_getcon};

static inline int fake_audit_open(void)
{
    errno = fake.audit_error;
    return fake.audit_fd;
}

static inline void fake_audit_close(int fd)
{
    CHECK_EQUAL(fd, fake.audit_fd);
    fake.audit_fd = -1;
}

static inline int fake_log_user_avc_message(int fd, int type, const char *message, const char *hostname,
                                            const char *addr, const char *tty, uid_t uid)
{
    CHECK_EQUAL(fd, fake.audit_fd);
    CHECK(!hostname && !addr && !tty);
    CHECK_EQUAL(uid, getuid());
    fake.records++;
    fake.record_type = type;
    snprintf(fake.record, sizeof(fake.record), "%s", message);
    return 1;
}

static const struct library_audit fake_audit = {fake_audit_open, fake_audit_close, fake_log_user_avc_message};

static inline void fake_log(void *context, int severity, const char *text)
{
    (void)context;
    (void)severity;
    fake.lines++;
    snprintf(fake.line, sizeof(fake.line), "%s", text);
}

/* True, with an errno, for the function that is to fail. */
static inline bool modules_fail(const char *function)
{
    errno = EACCES;
    return fake.fails && strcmp(fake.fails, function) == 0;
}

static inline int fake_getcon(char **context)
{
    *context = modules_fail("getcon") ? NULL : strdup("u:r:bus_t");
    return *context ? 0 : -1;
}

static inline void fake_freecon(char *context)
{
    free(context);
}

static inline int fake_avc_open(void *options, unsigned n)
{
    CHECK(!options && n == 0);
    fake.opened += !modules_fail("avc_open");
    return modules_fail("avc_open") ? -1 : 0;
}

static inline void fake_avc_destroy(void)
{
    fake.opened--;
}

/* A sid is a number from 1 on; a context with a blank is none. */
static char fake_sids[16][64];

static inline int fake_context_to_sid(const char *context, library_sid *sid)
{
    if (modules_fail("avc_context_to_sid") || strchr(context, ' '))
        return -1;
    for (size_t i = 0; i < CHECK_COUNT(fake_sids); i++) {
        if (fake_sids[i][0] == '\0')
            snprintf(fake_sids[i], sizeof(fake_sids[i]), "%s", context);
        if (strcmp(fake_sids[i], context) == 0) {
            *sid = (library_sid)(void *)fake_sids[i];
            return 0;
        }
    }
    return -1;
}

static inline int fake_has_perm(library_sid source, library_sid target, uint16_t class, uint32_t requested,
                                void *entry, void *auxiliary)
{
    CHECK(class == 7 && requested == 2 && !entry);
    fake.checks++;
    snprintf(fake.source, sizeof(fake.source), "%s", (const char *)source);
    snprintf(fake.target, sizeof(fake.target), "%s", (const char *)target);
    fake.audit(auxiliary, class, fake.auxiliary, sizeof(fake.auxiliary));
    errno = EACCES;
    if (fake.allowed)
        return 0;
    fake.say(3, "avc:  denied  { %s } for  %s", fake.permission_name, fake.auxiliary);
    return -1;
}

static inline int fake_netlink_fd(void)
{
    if (modules_fail("avc_netlink_acquire_fd"))
        return -1;
    return fake.netlink > 0 ? fake.netlink : dup(STDIN_FILENO);
}

static inline void fake_netlink_release(void)
{
}

static inline int fake_netlink_check(void)
{
    char bytes[64];
    if (modules_fail("avc_netlink_check_nb"))
        return -1;
    while (fake.netlink > 0 && read(fake.netlink, bytes, sizeof(bytes)) > 0)
        continue;
    return 0;
}

static inline void fake_set_callback(int type, void (*callback)(void))
{
    if (type == 0)
        fake.say = (int (*)(int, const char *, ...))callback;
    else if (type == 1)
        fake.audit = (int (*)(void *, uint16_t, char *, size_t))callback;
    else
        fake.loaded = (int (*)(int))callback;
}

static inline uint16_t fake_class(const char *name)
{
    if (strcmp(name, "unix_stream_socket") == 0)
        return fake.no_sockets ? 0 : 8;
    CHECK(strcmp(name, "dbus") == 0);
    return fake.no_class ? 0 : 7;
}

static inline uint32_t fake_permission(uint16_t class, const char *name)
{
    if (class == 8) {
        CHECK(strcmp(name, "sendto") == 0);
        return 4;
    }
    CHECK_EQUAL(class, 7);
    snprintf(fake.permission_name, sizeof(fake.permission_name), "%s", name);
    return fake.no_permission ? 0 : 2;
}

static inline int fake_deny_unknown(void)
{
    return !fake.tolerant;
}

static inline int fake_compute_av_flags(const char *source, const char *target, uint16_t class,
                                        uint32_t requested, struct library_decision *decision)
{
    CHECK(class == 7 ? requested == 2 : class == 8 && requested == 4);
    fake.questions++;
    snprintf(fake.source, sizeof(fake.source), "%s", source);
    snprintf(fake.target, sizeof(fake.target), "%s", target);
    bool is_recorded = fake.recorded && strcmp(fake.recorded, source) == 0;
    bool allowed = class == 8 ? !fake.kernel_denies : fake.allowed;
    *decision = (struct library_decision){.allowed = allowed ? requested | 1 : 1,
                                          .auditallow = is_recorded ? requested : 0,
                                          .flags = fake.permissive};
    return modules_fail("security_compute_av_flags") ? -1 : 0;
}

static inline int fake_getenforce(void)
{
    return !fake.not_enforced;
}

static const struct library_selinux fake_selinux = {
    fake_getcon,   fake_freecon,    fake_avc_open,        fake_avc_destroy,      fake_context_to_sid,
    fake_has_perm, fake_netlink_fd, fake_netlink_release, fake_netlink_check,    fake_set_callback,
    fake_class,    fake_permission, fake_deny_unknown,    fake_compute_av_flags, fake_getenforce,
};

#endif
