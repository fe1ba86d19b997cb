/* SPDX-License-Identifier: MIT */
#include "mediation/library.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* One function of a library, and where its address goes. */
struct library_symbol {
    const char *name;
    size_t place; /* in the table */
};

#define LIBRARY_SYMBOL(table, member, symbol)                                                                \
    {                                                                                                        \
        symbol, offsetof(struct table, member)                                                               \
    }

static const struct library_symbol apparmor_symbols[] = {
    LIBRARY_SYMBOL(library_apparmor, query_label, "aa_query_label"),
    LIBRARY_SYMBOL(library_apparmor, getcon, "aa_getcon"),
};

static const struct library_symbol audit_symbols[] = {
    LIBRARY_SYMBOL(library_audit, open, "audit_open"),
    LIBRARY_SYMBOL(library_audit, close, "audit_close"),
    LIBRARY_SYMBOL(library_audit, log_user_avc_message, "audit_log_user_avc_message"),
};

static const struct library_symbol selinux_symbols[] = {
    LIBRARY_SYMBOL(library_selinux, getcon, "getcon"),
    LIBRARY_SYMBOL(library_selinux, freecon, "freecon"),
    LIBRARY_SYMBOL(library_selinux, avc_open, "avc_open"),
    LIBRARY_SYMBOL(library_selinux, avc_destroy, "avc_destroy"),
    LIBRARY_SYMBOL(library_selinux, avc_context_to_sid, "avc_context_to_sid"),
    LIBRARY_SYMBOL(library_selinux, avc_has_perm, "avc_has_perm"),
    LIBRARY_SYMBOL(library_selinux, avc_netlink_acquire_fd, "avc_netlink_acquire_fd"),
    LIBRARY_SYMBOL(library_selinux, avc_netlink_release_fd, "avc_netlink_release_fd"),
    LIBRARY_SYMBOL(library_selinux, avc_netlink_check_nb, "avc_netlink_check_nb"),
    LIBRARY_SYMBOL(library_selinux, set_callback, "selinux_set_callback"),
    LIBRARY_SYMBOL(library_selinux, string_to_security_class, "string_to_security_class"),
    LIBRARY_SYMBOL(library_selinux, string_to_av_perm, "string_to_av_perm"),
    LIBRARY_SYMBOL(library_selinux, security_deny_unknown, "security_deny_unknown"),
    LIBRARY_SYMBOL(library_selinux, security_compute_av_flags, "security_compute_av_flags"),
    LIBRARY_SYMBOL(library_selinux, security_getenforce, "security_getenforce"),
};

static int library_load(const char *name, const struct library_symbol *symbols, size_t n, void *table,
                        char *why, size_t why_size)
{
    void *handle = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    for (size_t i = 0; handle && i < n; i++) {
        void *address = dlsym(handle, symbols[i].name);
        if (!address)
            handle = NULL;
        else
            memcpy((char *)table + symbols[i].place, &address, sizeof(address));
    }
    if (handle)
        return 0;
    const char *error = dlerror();
    snprintf(why, why_size, "%s", error ? error : name);
    return -ENOENT;
}

#define LIBRARY_COUNT(symbols) (sizeof(symbols) / sizeof(*(symbols)))

int library_load_apparmor(struct library_apparmor *library, char *why, size_t why_size)
{
    return library_load("libapparmor.so.1", apparmor_symbols, LIBRARY_COUNT(apparmor_symbols), library, why,
                        why_size);
}

int library_load_audit(struct library_audit *library, char *why, size_t why_size)
{
    return library_load("libaudit.so.1", audit_symbols, LIBRARY_COUNT(audit_symbols), library, why, why_size);
}

int library_load_selinux(struct library_selinux *library, char *why, size_t why_size)
{
    return library_load("libselinux.so.1", selinux_symbols, LIBRARY_COUNT(selinux_symbols), library, why,
                        why_size);
}
