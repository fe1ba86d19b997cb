/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_LIBRARY_H
#define OMNIBUS_LIBRARY_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * What is used of the libraries of security modules, as function pointers: they are loaded at run time, where
 * the kernel has the module, so that neither the build nor a start without it needs them. The declarations
 * are those of the manual pages: aa_query_label(2), avc_open(3), audit_log_user_avc_message(3).
 */

struct library_apparmor {
    int (*query_label)(uint32_t mask, char *query, size_t size, int *allowed, int *audited);
    int (*getcon)(char **label, char **mode);
};

struct library_audit {
    int (*open)(void);
    void (*close)(int fd);
    int (*log_user_avc_message)(int fd, int type, const char *message, const char *hostname, const char *addr,
                                const char *tty, uid_t uid);
};

typedef struct security_id *library_sid; /* of libselinux */

struct library_decision { /* struct av_decision */
    uint32_t allowed, decided, auditallow, auditdeny;
    unsigned seqno;
    unsigned flags; /* 1: the source is permissive */
};

struct library_selinux {
    int (*getcon)(char **context);
    void (*freecon)(char *context);
    int (*avc_open)(void *options, unsigned n);
    void (*avc_destroy)(void);
    int (*avc_context_to_sid)(const char *context, library_sid *sid);
    int (*avc_has_perm)(library_sid source, library_sid target, uint16_t class, uint32_t requested,
                        void *entry, void *auxiliary);
    int (*avc_netlink_acquire_fd)(void);
    void (*avc_netlink_release_fd)(void);
    int (*avc_netlink_check_nb)(void);
    void (*set_callback)(int type, void (*callback)(void));
    uint16_t (*string_to_security_class)(const char *name);
    uint32_t (*string_to_av_perm)(uint16_t class, const char *name);
    int (*security_deny_unknown)(void);
    int (*security_compute_av_flags)(const char *source, const char *target, uint16_t class,
                                     uint32_t requested, struct library_decision *decision);
    int (*security_getenforce)(void);
};

/*
 * These load a library and fill a table; it is never unloaded. -ENOENT, and a text in why: it is not there,
 * or lacks a function.
 */
int library_load_apparmor(struct library_apparmor *library, char *why, size_t why_size);
int library_load_audit(struct library_audit *library, char *why, size_t why_size);
int library_load_selinux(struct library_selinux *library, char *why, size_t why_size);

#endif
