/* SPDX-License-Identifier: MIT */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "takeover.h"

#include "body.h"
#include "handshake.h"
#include "trust.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#define ANSWER_TIME 10000

/* The process of a bus, by the path of its socket. */
static pid_t find_process(struct takeover *t)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    struct observer o;
    pid_t found = 0;
    if (strlen(t->options->socket) >= sizeof(name.sun_path)) {
        takeover_refuse(t, "%s: too long", t->options->socket);
        return 0;
    }
    strcpy(name.sun_path, t->options->socket);
    int error = observer_connect(&o, &name, sizeof(name), t->options->owner, t->options->owner);
    if (error < 0) {
        takeover_refuse(t, "%s: %s", t->options->socket, strerror(-error));
        return 0;
    }
    uint32_t serial = observer_ask(&o, BUS_NAME, "GetConnectionUnixProcessID", BUS_NAME);
    struct pollfd wait = {o.fd, POLLIN, 0};
    while (observer_turn(&o) && !observer_reply(&o, serial) && poll(&wait, 1, ANSWER_TIME) > 0)
        ;
    struct body body;
    const struct message *reply = observer_reply(&o, serial);
    if (reply && reply->type == MESSAGE_METHOD_RETURN && body_begin(&body, reply, "u"))
        found = (pid_t)body_uint32(&body);
    observer_close(&o);
    if (found <= 0)
        takeover_refuse(t, "%s: the bus does not tell its process", t->options->socket);
    return found;
}

/* Its listening sockets, and the guid of each. */
static bool find_doors(struct takeover *t)
{
    for (size_t fd = 0; fd < t->sockets.n; fd++) {
        const struct socket_entry *entry = sockets_at(&t->sockets, fd);
        if (!entry || entry->kind != SOCKET_LISTENER)
            continue;
        if (t->n_doors == PLAN_MAX_DOORS)
            return takeover_refuse(t, "It listens on more than %u sockets", PLAN_MAX_DOORS);
        struct plan_door *door = &t->doors[t->n_doors++];
        door->fd = (int)fd;
        int asked = handshake(&entry->name, entry->name_size, geteuid(), getegid(), door->guid);
        if (asked < 0)
            return takeover_refuse(t, "Its socket can't be connected to: %s", strerror(-asked));
        close(asked);
    }
    return t->n_doors > 0 || takeover_refuse(t, "It listens on no Unix socket");
}

/* The path of a socket may lead elsewhere by now, or in another mount namespace: the daemon has to have us.
 */
static bool is_our_daemon(struct takeover *t)
{
    int error = sockets_update(&t->sockets, t->process.pid, t->process.pidfd);
    for (size_t fd = 0; error == 0 && fd < t->sockets.n; fd++) {
        const struct socket_entry *entry = sockets_at(&t->sockets, fd);
        if (entry && entry->kind == SOCKET_CLIENT && entry->peer.pid == (uint32_t)getpid())
            return true;
    }
    return takeover_refuse(t, "The path of its socket leads to another bus");
}

/* As root, to which a system's bus tells more, or as its user, as a user's bus admits no other. */
static bool connect_observer(struct takeover *t)
{
    const struct socket_entry *entry = sockets_at(&t->sockets, (uint64_t)t->doors[0].fd);
    int error = observer_connect(&t->observer, &entry->name, entry->name_size, geteuid(), getegid());
    if (error < 0 && t->process.uid != geteuid())
        error =
            observer_connect(&t->observer, &entry->name, entry->name_size, t->process.uid, t->process.gid);
    if (error < 0)
        return takeover_refuse(t, "The bus does not admit us: %s", strerror(-error));
    t->traffic.observer = t->observer.id;
    return is_our_daemon(t);
}

/* Its first snapshot shows whether it answers all that will be asked. */
static bool check_answers(struct takeover *t)
{
    return ask_snapshot(t);
}

bool preflight(struct takeover *t)
{
    char why[sizeof(t->why)];
    if (geteuid() != 0)
        return takeover_refuse(t, "Only root can take over a bus");
    pid_t pid = t->options->pid;
    if (pid == 0 && (pid = find_process(t)) == 0)
        return false;
    if (!process_read(&t->process, pid, why, sizeof(why)) ||
        !trust(t->options->program, t->process.uid, true, why, sizeof(why)))
        return takeover_refuse(t, "%s", why);
    if (process_is_mediated(why, sizeof(why))) {
        if (!t->options->force)
            return takeover_refuse(t, "%s", why);
        fprintf(stderr, "%s\n", why);
    }
    int error = sockets_update(&t->sockets, pid, t->process.pidfd);
    if (error < 0)
        return takeover_refuse(t, "Its sockets can't be looked at: %s", strerror(-error));
    return find_doors(t) && connect_observer(t) && check_answers(t);
}
