/* SPDX-License-Identifier: MIT */
#include "mediation/selinux.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <syslog.h>
#include <unistd.h>

/*
 * Decisions are those of libselinux's access vector cache: it maps contexts to numbers, knows whether the
 * kernel enforces, and formats records, for which it calls back. Its cache is bounded, and is emptied when
 * the kernel announces another policy by netlink, which the loop reads.
 */

#define SELINUX_CLASS "dbus"
#define SELINUX_AUXILIARY 4096u
#define SELINUX_RECORD 8192u
#define SELINUX_LABEL 4096u /* bytes of a context, with NUL; longer ones are unknown */

#define SELINUX_MEMOS 1024u

#define SELINUX_IS_PERMISSIVE 1u /* SELINUX_AVD_FLAGS_PERMISSIVE */

enum { SELINUX_CALL_LOG = 0, SELINUX_CALL_AUDIT = 1, SELINUX_CALL_POLICY_LOAD = 4 }; /* SELINUX_CB_* */
enum { SELINUX_SAYS_ERROR = 0, SELINUX_SAYS_AVC = 3, SELINUX_SAYS_LOADED = 4, SELINUX_SAYS_ENFORCE = 5 };

/* Whether all passes from one context to another. */
struct selinux_memo {
    uint64_t changes; /* 0: empty */
    library_sid source, target;
    bool passes;
};

struct selinux {
    struct library_selinux library;
    struct audit *audit;
    char *context; /* of the bus; allocated by the library */
    library_sid self;
    int netlink;
    bool opened;
    uint64_t changes; /* of the policy that were announced, from 1 */
    struct selinux_memo memos[SELINUX_MEMOS];
};

/* libselinux gives its callbacks no context. */
static struct selinux *current_selinux;

/* What a decision is about, for the record of it. */
struct auxiliary {
    size_t size;
    char s[SELINUX_AUXILIARY];
};

static void selinux_put(struct auxiliary *text, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void selinux_put(struct auxiliary *text, const char *format, ...)
{
    size_t left = sizeof(text->s) - text->size;
    va_list arguments;
    va_start(arguments, format);
    int n = vsnprintf(text->s + text->size, left, format, arguments);
    va_end(arguments);
    text->size += n < 0 ? 0 : (size_t)n < left ? (size_t)n : left - 1;
}

static void selinux_put_span(struct auxiliary *text, const char *key, struct span value)
{
    if (value.s)
        selinux_put(text, " %s=%.*s", key, (int)(value.n < SELINUX_AUXILIARY ? value.n : SELINUX_AUXILIARY),
                    value.s);
}

static void selinux_put_pid(struct auxiliary *text, const char *key, uint32_t pid)
{
    if (pid)
        selinux_put(text, " %s=%u", key, pid);
}

/* What libselinux has to say. Without a way to the audit subsystem all goes to the log. */
static int selinux_say(int type, const char *format, ...) __attribute__((format(printf, 2, 3)));

static int selinux_say(int type, const char *format, ...)
{
    struct audit *audit = current_selinux->audit;
    char text[SELINUX_RECORD];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    if (type == SELINUX_SAYS_AVC)
        audit_record(audit, AUDIT_TYPE_USER_AVC, LOG_INFO, text);
    else if (type == SELINUX_SAYS_LOADED)
        audit_record(audit, AUDIT_TYPE_USER_MAC_POLICY_LOAD, LOG_INFO, text);
    else if (type == SELINUX_SAYS_ENFORCE)
        audit_record(audit, AUDIT_TYPE_USER_MAC_STATUS, LOG_INFO, text);
    else
        audit_log(audit, LOG_INFO, text);
    return 0;
}

static int selinux_describe(void *data, uint16_t class, char *text, size_t size)
{
    const struct auxiliary *auxiliary = data;
    (void)class;
    snprintf(text, size, "%s", auxiliary->size < size ? auxiliary->s : "Buffer too small for audit message");
    return 0;
}

/* The configuration may include files of the policy, so it is read again: as by SIGHUP. */
static int selinux_loaded(int number)
{
    (void)number;
    return kill(getpid(), SIGHUP);
}

/* Functions of several types, as libselinux's union of callbacks has them. */
static void selinux_listen(const struct library_selinux *library)
{
    library->set_callback(SELINUX_CALL_POLICY_LOAD, (void (*)(void))selinux_loaded);
    library->set_callback(SELINUX_CALL_AUDIT, (void (*)(void))selinux_describe);
    library->set_callback(SELINUX_CALL_LOG, (void (*)(void))selinux_say);
}

static int refuse_selinux(struct selinux *selinux, const char *what, char *why, size_t size)
{
    int error = errno ? -errno : -EIO;
    snprintf(why, size, "%s: %s", what, strerror(-error));
    selinux_free(selinux);
    return error;
}

int selinux_new(struct selinux **out, const struct library_selinux *library, struct audit *audit, char *why,
                size_t why_size)
{
    struct selinux *selinux = calloc(1, sizeof(*selinux));
    int error = 0;
    if (!selinux || current_selinux) {
        free(selinux);
        snprintf(why, why_size, "SELinux: %s", selinux ? "it is in use" : "no memory");
        return selinux ? -EBUSY : -ENOMEM;
    }
    selinux->netlink = -1;
    selinux->changes = 1;
    selinux->audit = audit;
    if (library)
        selinux->library = *library;
    else if ((error = library_load_selinux(&selinux->library, why, why_size)) < 0) {
        free(selinux);
        return error;
    }
    library = &selinux->library;
    current_selinux = selinux;
    if (library->avc_open(NULL, 0) < 0)
        return refuse_selinux(selinux, "Failed to start Access Vector Cache (AVC)", why, why_size);
    selinux->opened = true;
    selinux->netlink = library->avc_netlink_acquire_fd();
    if (selinux->netlink < 0)
        return refuse_selinux(selinux, "Cannot acquire AVC netlink fd", why, why_size);
    selinux_listen(library);
    if (library->getcon(&selinux->context) < 0)
        return refuse_selinux(selinux, "Error getting context of bus", why, why_size);
    if (library->avc_context_to_sid(selinux->context, &selinux->self) < 0)
        return refuse_selinux(selinux, "Error getting SID from bus context", why, why_size);
    *out = selinux;
    return 0;
}

void selinux_free(struct selinux *selinux)
{
    if (!selinux)
        return;
    if (selinux->context)
        selinux->library.freecon(selinux->context);
    if (selinux->netlink >= 0)
        selinux->library.avc_netlink_release_fd();
    if (selinux->opened)
        selinux->library.avc_destroy();
    current_selinux = NULL;
    free(selinux);
}

int selinux_watched(const struct selinux *selinux)
{
    return selinux->netlink;
}

void selinux_changed(struct selinux *selinux)
{
    selinux->changes++;
    if (selinux->library.avc_netlink_check_nb() == 0)
        return;
    char text[256];
    snprintf(text, sizeof(text), "Failed to read what SELinux announces: %s", strerror(errno));
    audit_log(selinux->audit, LOG_WARNING, text);
}

/* Copies a label with NUL. False: it is unknown, or too long. */
static bool selinux_copy(char context[SELINUX_LABEL], struct span label)
{
    if (!label.s || label.n >= SELINUX_LABEL)
        return false;
    memcpy(context, label.s, label.n);
    context[label.n] = '\0';
    return true;
}

/* NULL: the label is no context. */
static library_sid sid_of(const struct selinux *selinux, struct span label)
{
    char context[SELINUX_LABEL];
    library_sid sid;
    bool known = selinux_copy(context, label) && selinux->library.avc_context_to_sid(context, &sid) == 0;
    return known ? sid : NULL;
}

bool selinux_knows(const struct selinux *selinux, struct span label)
{
    return sid_of(selinux, label) != NULL;
}

/* A policy that does not know the class or the permission says itself whether that is a denial. */
static bool is_unknown(struct selinux *selinux, const char *permission)
{
    if (permission)
        selinux_say(SELINUX_SAYS_ERROR, "Unknown permission %s for class " SELINUX_CLASS, permission);
    else
        selinux_say(SELINUX_SAYS_ERROR, "Unknown class " SELINUX_CLASS);
    return selinux->library.security_deny_unknown() == 0;
}

static bool selinux_check(struct selinux *selinux, library_sid source, library_sid target,
                          const char *permission, struct auxiliary *text)
{
    uint16_t class = selinux->library.string_to_security_class(SELINUX_CLASS);
    if (class == 0)
        return is_unknown(selinux, NULL);
    uint32_t requested = selinux->library.string_to_av_perm(class, permission);
    if (requested == 0)
        return is_unknown(selinux, permission);
    return source && target &&
           selinux->library.avc_has_perm(source, target, class, requested, NULL, text) == 0;
}

bool selinux_send(struct selinux *selinux, const struct mediation_case *c)
{
    const struct message *m = c->m;
    struct auxiliary text = {.size = 0};
    /* only the message itself is mediated, not the start that it causes */
    if (c->assumed)
        return true;
    selinux_put(&text, "msgtype=%s", message_type_name(m->type));
    selinux_put_span(&text, "interface", m->interface);
    selinux_put_span(&text, "member", m->member);
    selinux_put_span(&text, "error_name", m->error_name);
    selinux_put_span(&text, "dest", c->destination);
    selinux_put_pid(&text, "spid", c->sender.pid);
    selinux_put_pid(&text, "tpid", c->recipient ? c->recipient->pid : 0);
    library_sid recipient = c->recipient ? sid_of(selinux, c->recipient->label) : selinux->self;
    return selinux_check(selinux, sid_of(selinux, c->sender.label), recipient, "send_msg", &text);
}

bool selinux_own(struct selinux *selinux, const struct mediation_end *peer, struct span name,
                 struct span context)
{
    struct auxiliary text = {.size = 0};
    selinux_put(&text, "service=%.*s", (int)name.n, name.s);
    selinux_put_pid(&text, "spid", peer->pid);
    library_sid target = context.s ? sid_of(selinux, context) : selinux->self;
    return selinux_check(selinux, sid_of(selinux, peer->label), target ? target : selinux->self,
                         "acquire_svc", &text);
}

/*
 * What is in force. The access vector cache would remember the question, and where nothing is enforced no
 * record of a later denial would be made.
 */
static bool selinux_would(const struct library_selinux *library, struct span subject, struct span object,
                          const char *permission)
{
    char source[SELINUX_LABEL], target[SELINUX_LABEL];
    struct library_decision decision;
    uint16_t class = library->string_to_security_class(SELINUX_CLASS);
    uint32_t requested = class ? library->string_to_av_perm(class, permission) : 0;
    if (requested == 0)
        return library->security_deny_unknown() == 0;
    if (!selinux_copy(source, subject) || !selinux_copy(target, object) ||
        library->security_compute_av_flags(source, target, class, requested, &decision) < 0)
        return false;
    return (decision.allowed & requested) == requested || decision.flags & SELINUX_IS_PERMISSIVE ||
           library->security_getenforce() == 0;
}

/* unknown: what a policy that does not know the permission says of it. */
static bool selinux_grants(const struct library_selinux *library, struct span source, struct span target,
                           const char *class_name, const char *permission, bool unknown)
{
    char subject[SELINUX_LABEL], object[SELINUX_LABEL];
    struct library_decision decision = {0};
    uint16_t class = library->string_to_security_class(class_name);
    uint32_t requested = class ? library->string_to_av_perm(class, permission) : 0;
    if (requested == 0)
        return unknown;
    return selinux_copy(subject, source) && selinux_copy(object, target) &&
           library->security_compute_av_flags(subject, object, class, requested, &decision) == 0 &&
           (decision.allowed & requested) == requested && (decision.auditallow & requested) == 0;
}

/*
 * A domain that is only permissive is denied each message, and the record says so. That a policy does not
 * know the class of D-Bus is said of each message as well; of the kernel's own classes it says nothing.
 */
static bool selinux_ask_passes(const struct library_selinux *library, struct span source, struct span target)
{
    return selinux_grants(library, source, target, SELINUX_CLASS, "send_msg", false) &&
           selinux_grants(library, source, target, "unix_stream_socket", "sendto",
                          library->security_deny_unknown() == 0);
}

bool selinux_passes(struct selinux *selinux, struct span source, struct span target)
{
    library_sid from = sid_of(selinux, source), to = sid_of(selinux, target);
    if (!from || !to)
        return false;
    uint64_t mixed = ((uintptr_t)from * 31 + (uintptr_t)to) * UINT64_C(0x9e3779b97f4a7c15);
    struct selinux_memo *memo = &selinux->memos[(mixed >> 32) % SELINUX_MEMOS];
    if (memo->changes != selinux->changes || memo->source != from || memo->target != to)
        *memo = (struct selinux_memo){selinux->changes, from, to,
                                      selinux_ask_passes(&selinux->library, source, target)};
    return memo->passes;
}

static struct mediation_opinion selinux_opinion(const struct selinux *selinux, struct span subject,
                                                struct span object, const char *permission)
{
    bool allow = selinux_would(&selinux->library, subject, object, permission);
    return (struct mediation_opinion){"SELinux", permission, subject, object, allow, 0};
}

uint32_t selinux_explain(const struct selinux *selinux, const struct mediation_case *c,
                         struct mediation_opinion *opinion)
{
    if (c->assumed)
        return 0;
    struct span object = c->recipient ? c->recipient->label : selinux_context(selinux);
    *opinion = selinux_opinion(selinux, c->sender.label, object, "send_msg");
    return 1;
}

uint32_t selinux_explain_own(const struct selinux *selinux, const struct mediation_end *peer,
                             struct span context, struct mediation_opinion *opinion)
{
    struct span object = sid_of(selinux, context) ? context : selinux_context(selinux);
    *opinion = selinux_opinion(selinux, peer->label, object, "acquire_svc");
    return 1;
}

struct span selinux_context(const struct selinux *selinux)
{
    return span_of(selinux->context);
}
