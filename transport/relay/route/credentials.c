/* SPDX-License-Identifier: MIT */
#include "route/credentials.h"

#include "accept/peer_creds.h"
#include "route/driver.h"
#include "send/judge.h"
#include "send/say.h"

#include <stdlib.h>
#include <unistd.h>

#define NO_UID 0xffffffffu

/* What is known of the owner of a name. */
struct credentials {
    uint32_t uid, pid;       /* NO_UID and 0: unknown */
    const struct peer *peer; /* NULL: the bus itself */
};

/* False: the name has no owner, which was answered. */
static bool credentials_of(struct bus *bus, struct peer *sender, const struct message *m, struct span name,
                           const char *what, struct credentials *found)
{
    bool owned;
    const struct peer *owner = driver_owner(bus, name, &owned);
    if (!owned)
        say_error_about(bus, sender, m->serial, ERROR_NAME_HAS_NO_OWNER,
                        "Could not get %s of name '%s': no such name", what, name.s);
    else if (owner)
        *found = (struct credentials){owner->credentials.uid, owner->credentials.pid, owner};
    else
        *found = (struct credentials){bus->owner, (uint32_t)getpid(), NULL};
    return owned;
}

static void answer_number(struct bus *bus, struct peer *sender, const struct message *m, uint32_t number)
{
    marshal_uint32(say_reply(bus, sender, m->serial, SPAN("u"), 0), number);
    say_end(bus, sender);
}

bool credentials_user(struct bus *bus, struct peer *sender, const struct message *m, struct span name)
{
    struct credentials found;
    if (!credentials_of(bus, sender, m, name, "UID", &found))
        return true;
    if (found.uid == NO_UID)
        say_error_about(bus, sender, m->serial, ERROR_FAILED, "Could not determine UID for '%s'", name.s);
    else
        answer_number(bus, sender, m, found.uid);
    return true;
}

bool credentials_process(struct bus *bus, struct peer *sender, const struct message *m, struct span name)
{
    struct credentials found;
    if (!credentials_of(bus, sender, m, name, "PID", &found))
        return true;
    if (found.pid == 0)
        say_error_about(bus, sender, m->serial, ERROR_UNIX_PROCESS_ID_UNKNOWN,
                        "Could not determine PID for '%s'", name.s);
    else
        answer_number(bus, sender, m, found.pid);
    return true;
}

static void put_key(struct marshal *w, struct span key, struct span signature)
{
    marshal_align(w, 8);
    marshal_string(w, key);
    marshal_signature(w, signature);
}

static void put_number(struct marshal *w, struct span key, uint32_t number)
{
    put_key(w, key, SPAN("u"));
    marshal_uint32(w, number);
}

static int ascending(const void *a, const void *b)
{
    uint32_t x, y;
    memcpy(&x, a, sizeof(x));
    memcpy(&y, b, sizeof(y));
    return (x > y) - (x < y);
}

/* Each group once, in ascending order. */
static void put_groups(struct marshal *w, const struct relay_credentials *who)
{
    if (who->n_gids == 0)
        return;
    uint32_t *gids = malloc(who->n_gids * sizeof(*gids));
    if (!gids) {
        w->failed = true;
        return;
    }
    memcpy(gids, who->gids, who->n_gids * sizeof(*gids));
    qsort(gids, who->n_gids, sizeof(*gids), ascending);
    put_key(w, SPAN("UnixGroupIDs"), SPAN("au"));
    size_t array = marshal_array_begin(w, 4);
    for (uint32_t i = 0; i < who->n_gids; i++) {
        if (i == 0 || gids[i] != gids[i - 1])
            marshal_uint32(w, gids[i]);
    }
    marshal_array_end(w, array, 4);
    free(gids);
}

/* The label of the security module, with a NUL at its end. */
static void put_label(struct marshal *w, const struct relay_credentials *who)
{
    if (who->label_size == 0)
        return;
    put_key(w, SPAN("LinuxSecurityLabel"), SPAN("ay"));
    size_t array = marshal_array_begin(w, 1);
    marshal_raw(w, who->label, who->label_size);
    marshal_byte(w, 0);
    marshal_array_end(w, array, 1);
}

static void put_instance(struct marshal *w, const struct relay_credentials *who)
{
    if (!who->instance)
        return;
    put_key(w, SPAN("org.freedesktop.DBus.Containers1.Instance"), SPAN("o"));
    marshal_string(w, span_of(who->instance));
}

/* A pidfd of the owner's process, for those that take descriptors; NULL: none. */
static struct fds *process_of(const struct peer *owner, const struct peer *sender)
{
    int process = owner && sender->credentials.fd_passing ? peer_creds_process(owner->fd) : -1;
    return process >= 0 ? fds_new(&process, 1) : NULL;
}

bool credentials_all(struct bus *bus, struct peer *sender, const struct message *m, struct span name)
{
    struct credentials found;
    if (!credentials_of(bus, sender, m, name, "credentials", &found))
        return true;
    struct fds *fds = process_of(found.peer, sender);
    struct marshal *w = say_reply(bus, sender, m->serial, SPAN("a{sv}"), fds ? 1 : 0);
    size_t array = marshal_array_begin(w, 8);
    if (found.pid != 0)
        put_number(w, SPAN("ProcessID"), found.pid);
    if (found.uid != NO_UID)
        put_number(w, SPAN("UnixUserID"), found.uid);
    if (found.peer) {
        put_groups(w, &found.peer->credentials);
        put_label(w, &found.peer->credentials);
        put_instance(w, &found.peer->credentials);
    }
    if (fds) {
        put_key(w, SPAN("ProcessFD"), SPAN("h"));
        marshal_uint32(w, 0); /* its index */
    }
    marshal_array_end(w, array, 8);
    say_end_checked(bus, sender, fds);
    fds_unref(fds);
    return true;
}
