/* SPDX-License-Identifier: MIT */
#include "mediation/apparmor.h"

#include "base/hash.h"
#include "mediation/question.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <syslog.h>
#include <unistd.h>

/*
 * Each question is a label and the fields that its profile may have rules about (question.h). An answer
 * depends on nothing else but the loaded policy, so it is remembered under the bytes of the question until
 * the policy's revision changes. The kernel announces that by a file that becomes readable, which is looked
 * at after each read from a client. A label of another namespace (":namespace:profile") has a
 * policy with a revision of its own, and is asked about each time.
 */

#define APPARMOR_REVISION "/sys/kernel/security/apparmor/revision"
#define APPARMOR_MEMOS 1024u
#define APPARMOR_MEMO_SIZE 480u /* longer questions are asked each time */

enum apparmor_permission { /* of <sys/apparmor.h> */
                           APPARMOR_SEND = 1 << 1,
                           APPARMOR_RECEIVE = 1 << 2,
                           APPARMOR_EAVESDROP = 1 << 5,
                           APPARMOR_BIND = 1 << 6,
};

struct apparmor_memo {
    uint64_t revision; /* 0: empty */
    uint32_t permission;
    uint32_t size;
    bool allow, audit;
    uint8_t question[APPARMOR_MEMO_SIZE];
};

struct apparmor {
    struct library_apparmor library;
    struct audit *audit;
    const char *bus_type;
    int revision_fd;   /* -1: none, so that nothing is remembered */
    uint64_t revision; /* counts changes, from 1 */
    struct hash_key key;
    char *self; /* allocated by the library, with mode */
    struct apparmor_label bus;
    struct apparmor_memo *memos;
};

static int refuse_apparmor(struct apparmor *apparmor, int error, const char *what, char *why, size_t size)
{
    apparmor_free(apparmor);
    snprintf(why, size, "%s: %s", what, strerror(-error));
    return error;
}

/* Consumes the announcement, without which the file stays readable. */
static void read_revision(struct apparmor *apparmor)
{
    char number[32];
    ssize_t n;
    do
        n = read(apparmor->revision_fd, number, sizeof(number));
    while (n < 0 && errno == EINTR);
}

int apparmor_new(struct apparmor **out, const struct library_apparmor *library, const char *revision,
                 const char *bus_type, struct audit *audit, char *why, size_t why_size)
{
    struct apparmor *apparmor = calloc(1, sizeof(*apparmor));
    char *mode = NULL;
    if (!apparmor)
        return refuse_apparmor(NULL, -ENOMEM, "AppArmor", why, why_size);
    apparmor->revision_fd = -1;
    apparmor->audit = audit;
    apparmor->bus_type = bus_type;
    apparmor->revision = 1;
    apparmor->memos = calloc(APPARMOR_MEMOS, sizeof(*apparmor->memos));
    int error = apparmor->memos ? hash_key_draw(&apparmor->key) : -ENOMEM;
    if (error < 0)
        return refuse_apparmor(apparmor, error, "AppArmor", why, why_size);
    if (library)
        apparmor->library = *library;
    else if ((error = library_load_apparmor(&apparmor->library, why, why_size)) < 0) {
        apparmor_free(apparmor);
        return error;
    }
    if (apparmor->library.getcon(&apparmor->self, &mode) < 0)
        return refuse_apparmor(apparmor, -errno, "Error getting AppArmor context of bus", why, why_size);
    apparmor->bus = (struct apparmor_label){span_of(apparmor->self), span_of(mode)};
    apparmor->revision_fd =
        open(revision ? revision : APPARMOR_REVISION, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    if (apparmor->revision_fd >= 0)
        read_revision(apparmor);
    *out = apparmor;
    return 0;
}

void apparmor_free(struct apparmor *apparmor)
{
    if (!apparmor)
        return;
    apparmor_unwatched(apparmor);
    free(apparmor->self);
    free(apparmor->memos);
    free(apparmor);
}

int apparmor_watched(const struct apparmor *apparmor)
{
    return apparmor->revision_fd;
}

void apparmor_changed(struct apparmor *apparmor)
{
    if (apparmor->revision_fd < 0)
        return;
    read_revision(apparmor);
    apparmor->revision++;
}

void apparmor_unwatched(struct apparmor *apparmor)
{
    if (apparmor->revision_fd >= 0)
        close(apparmor->revision_fd);
    apparmor->revision_fd = -1;
}

bool apparmor_knows(struct span label)
{
    return apparmor_split(label).name.n > 0;
}

/* The place of a question among the remembered ones; NULL: it is not to be remembered. */
static struct apparmor_memo *memo_of(const struct apparmor *apparmor, const struct apparmor_question *q,
                                     struct span label)
{
    if (apparmor->revision_fd < 0 || q->size > APPARMOR_MEMO_SIZE || memchr(label.s, ':', label.n))
        return NULL;
    struct span bytes = {(const char *)q->bytes, (uint32_t)q->size};
    return &apparmor->memos[hash_text(&apparmor->key, bytes).bits % APPARMOR_MEMOS];
}

static bool memo_holds(const struct apparmor_memo *memo, const struct apparmor *apparmor, uint32_t permission,
                       const struct apparmor_question *q)
{
    return memo->revision == apparmor->revision && memo->permission == permission && memo->size == q->size &&
           memcmp(memo->question, q->bytes, q->size) == 0;
}

static struct mediation_answer ask_kernel(struct apparmor *apparmor, uint32_t permission,
                                          struct apparmor_question *q)
{
    int allowed = 0, audited = 1;
    if (q->too_long)
        return (struct mediation_answer){.audit = true, .error = EFBIG};
    if (apparmor->library.query_label(permission, (char *)q->bytes, q->size, &allowed, &audited) < 0)
        return (struct mediation_answer){.audit = true, .error = errno ? errno : EIO};
    return (struct mediation_answer){.allow = allowed != 0, .audit = audited != 0};
}

/* Asks whether the label has a permission; in complain mode it has all. */
static struct mediation_answer ask(struct apparmor *apparmor, const struct apparmor_label *label,
                                   uint32_t permission, struct apparmor_question *q)
{
    struct apparmor_memo *memo = memo_of(apparmor, q, label->name);
    struct mediation_answer answer;
    if (memo && memo_holds(memo, apparmor, permission, q)) {
        answer = (struct mediation_answer){.allow = memo->allow, .audit = memo->audit};
    } else {
        if (memo) { /* before the library writes into the question */
            memo->revision = 0;
            memo->permission = permission;
            memo->size = (uint32_t)q->size;
            memcpy(memo->question, q->bytes, q->size);
        }
        answer = ask_kernel(apparmor, permission, q);
        if (memo && answer.error == 0) {
            memo->allow = answer.allow;
            memo->audit = answer.audit;
            memo->revision = apparmor->revision;
        }
    }
    answer.allow |= answer.error == 0 && span_equal(label->mode, SPAN("complain"));
    return answer;
}

static struct apparmor_label recipient_of(const struct apparmor *apparmor, const struct mediation_case *c)
{
    if (c->recipient)
        return apparmor_split(c->recipient->label);
    return c->assumed ? (struct apparmor_label){*c->assumed, {0}} : apparmor->bus;
}

static struct mediation_answer ask_about(struct apparmor *apparmor, const struct mediation_case *c,
                                         const struct apparmor_label *label, uint32_t permission,
                                         struct span name, struct span peer_label)
{
    struct apparmor_question q;
    question_begin(&q, label->name, apparmor->bus_type);
    question_add(&q, name);
    question_add(&q, peer_label);
    question_add(&q, c->m->path);
    question_add(&q, c->m->interface);
    question_add(&q, c->m->member);
    return ask(apparmor, label, permission, &q);
}

struct apparmor_verdict apparmor_judge(struct apparmor *apparmor, const struct mediation_case *c)
{
    static const struct mediation_answer allowed = {.allow = true};
    static const struct mediation_answer unknown = {.audit = true};
    struct apparmor_verdict verdict = {allowed, allowed};
    /* permission to call is permission to be answered */
    if (c->requested_reply)
        return verdict;
    struct apparmor_label sender = apparmor_split(c->sender.label), recipient = recipient_of(apparmor, c);
    if (!apparmor_is_unconfined(&sender))
        verdict.send = ask_about(apparmor, c, &sender, APPARMOR_SEND, c->destination, recipient.name);
    if (verdict.send.error != 0)
        verdict.receive = unknown;
    else if (!c->assumed && !apparmor_is_unconfined(&recipient))
        verdict.receive = ask_about(apparmor, c, &recipient, APPARMOR_RECEIVE, c->source, sender.name);
    return verdict;
}

static void record(struct apparmor *apparmor, bool allowed, const char *operation, const char *data)
{
    char text[APPARMOR_RECORD + 64];
    snprintf(text, sizeof(text), "apparmor=\"%s\" operation=\"dbus_%s\" %s\n", allowed ? "ALLOWED" : "DENIED",
             operation, data);
    audit_record(apparmor->audit, AUDIT_TYPE_USER_AVC, LOG_NOTICE, text);
}

static void put_error(struct apparmor_text *text, const char *key, int error)
{
    if (error != 0)
        text_put(text, " %s=\"%s\"", key, strerror(error));
}

/* The part of a record that is about the labels of both ends. */
static void put_ends(struct apparmor_text *text, const struct mediation_end *own, struct span own_label,
                     const struct mediation_end *peer, struct span peer_label)
{
    if (own && own->pid)
        text_put(text, " pid=%u", own->pid);
    text_put_span(text, "label", own_label);
    if (peer && peer->pid)
        text_put(text, " peer_pid=%u", peer->pid);
    text_put_span(text, "peer_label", peer_label);
}

void apparmor_record(struct apparmor *apparmor, const struct mediation_case *c,
                     const struct apparmor_verdict *verdict)
{
    const struct message *m = c->m;
    struct apparmor_label sender = apparmor_split(c->sender.label), recipient = recipient_of(apparmor, c);
    struct apparmor_text text;
    bool failed = verdict->send.error != 0 || verdict->receive.error != 0;
    /* profiles have no rules about replies */
    if (!failed && (m->type == MESSAGE_METHOD_RETURN || m->type == MESSAGE_ERROR))
        return;
    text_begin(&text);
    text_put(&text, " bus=\"%s\"", apparmor->bus_type ? apparmor->bus_type : "unknown");
    text_put_span(&text, "path", m->path);
    text_put_span(&text, "interface", m->interface);
    text_put_span(&text, "member", m->member);
    text_put_span(&text, "error_name", m->error_name);
    const size_t common = text.size;
    if (verdict->send.audit) {
        text_put(&text, " mask=\"send\"");
        text_put_span(&text, "name", c->destination);
        put_ends(&text, &c->sender, sender.name, c->recipient, recipient.name);
        put_error(&text, "info", verdict->send.error);
        put_error(&text, "peer_info", verdict->receive.error);
        record(apparmor, verdict->send.allow, message_type_name(m->type), text.s);
    }
    if (verdict->receive.audit) {
        text_cut(&text, common);
        text_put_span(&text, "name", c->source);
        text_put(&text, " mask=\"receive\"");
        put_ends(&text, c->recipient, recipient.name, &c->sender, sender.name);
        put_error(&text, "info", verdict->receive.error);
        put_error(&text, "peer_info", verdict->send.error);
        record(apparmor, verdict->receive.allow, message_type_name(m->type), text.s);
    }
}

static struct mediation_opinion opinion_of(const char *permission, struct span subject, struct span object,
                                           struct mediation_answer answer)
{
    return (struct mediation_opinion){"AppArmor", permission, subject, object, answer.allow, answer.error};
}

uint32_t apparmor_explain(struct apparmor *apparmor, const struct mediation_case *c,
                          struct mediation_opinion *opinions)
{
    struct apparmor_verdict verdict = apparmor_judge(apparmor, c);
    struct span sender = apparmor_split(c->sender.label).name, recipient = recipient_of(apparmor, c).name;
    opinions[0] = opinion_of("send", sender, recipient, verdict.send);
    opinions[1] = opinion_of("receive", recipient, sender, verdict.receive);
    return c->assumed ? 1 : 2;
}

/* Asks about one connection alone. name.s is NULL: about no name. */
static struct mediation_answer ask_alone(struct apparmor *apparmor, const struct apparmor_label *label,
                                         uint32_t permission, struct span name)
{
    struct apparmor_question q;
    if (apparmor_is_unconfined(label))
        return (struct mediation_answer){.allow = true};
    question_begin(&q, label->name, apparmor->bus_type);
    if (name.s)
        question_add(&q, name);
    return ask(apparmor, label, permission, &q);
}

uint32_t apparmor_explain_own(struct apparmor *apparmor, const struct mediation_end *peer, struct span name,
                              struct mediation_opinion *opinion)
{
    const struct apparmor_label label = apparmor_split(peer->label);
    struct mediation_answer answer = ask_alone(apparmor, &label, APPARMOR_BIND, name);
    *opinion = opinion_of("bind", label.name, (struct span){0}, answer);
    return 1;
}

/* The same, with a record. */
static struct mediation_answer ask_recorded(struct apparmor *apparmor, const struct mediation_end *peer,
                                            uint32_t permission, const char *mask, struct span name)
{
    const struct apparmor_label label = apparmor_split(peer->label);
    struct mediation_answer answer = ask_alone(apparmor, &label, permission, name);
    if (!answer.audit)
        return answer;
    struct apparmor_text text;
    text_begin(&text);
    text_put(&text, " bus=\"%s\"", apparmor->bus_type ? apparmor->bus_type : "unknown");
    text_put_span(&text, "name", name);
    put_error(&text, "info", answer.error);
    text_put(&text, " mask=\"%s\"", mask);
    put_ends(&text, peer, label.name, NULL, (struct span){0});
    record(apparmor, answer.allow, mask, text.s);
    return answer;
}

struct mediation_answer apparmor_own(struct apparmor *apparmor, const struct mediation_end *peer,
                                     struct span name)
{
    return ask_recorded(apparmor, peer, APPARMOR_BIND, "bind", name);
}

struct mediation_answer apparmor_eavesdrop(struct apparmor *apparmor, const struct mediation_end *peer)
{
    return ask_recorded(apparmor, peer, APPARMOR_EAVESDROP, "eavesdrop", (struct span){0});
}
