/* SPDX-License-Identifier: MIT */
#include "accept/caller.h"

#include "accept/admit.h"
#include "accept/door.h"
#include "accept/incomplete.h"
#include "base/clock.h"
#include "state/report.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define CALLER_FDS 253 /* the kernel's SCM_MAX_FD */

/* All that was received, and the descriptors of the latest read. */
struct reading {
    size_t size, before;
    uint32_t n_fds;
    bool full; /* the socket may have more, which no event will report */
    int fds[CALLER_FDS];
    uint8_t text[CALLER_KEPT + CALLER_READ];
};

static void close_fds(struct reading *r)
{
    for (uint32_t i = 0; i < r->n_fds; i++)
        close(r->fds[i]);
    r->n_fds = 0;
}

static void unwatch(struct bus *bus, struct caller *caller)
{
    /* closing is not enough: a forked child that has not called exec yet keeps the socket open */
    if (caller->watched)
        epoll_ctl(bus->epoll, EPOLL_CTL_DEL, caller->fd, NULL);
    caller->watched = false;
}

void caller_free(struct bus *bus, struct caller *caller)
{
    if (caller->peer) {
        incomplete_remove(bus, &caller->peer->incomplete);
        peer_free(caller->peer);
    }
    if (caller->fd >= 0) {
        unwatch(bus, caller);
        close(caller->fd);
    }
    free(caller);
}

static void caller_take_control(struct reading *r, struct msghdr *header)
{
    for (struct cmsghdr *cmsg = CMSG_FIRSTHDR(header); cmsg; cmsg = CMSG_NXTHDR(header, cmsg)) {
        if (cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_RIGHTS)
            continue;
        r->n_fds = (uint32_t)((cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        memcpy(r->fds, CMSG_DATA(cmsg), r->n_fds * sizeof(int));
    }
}

/* One recvmsg. 1: received; 0: nothing yet; -1: the connection is to be closed. */
static int caller_receive(struct bus *bus, struct caller *caller, struct reading *r)
{
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(CALLER_FDS * sizeof(int))];
    } control;
    memcpy(r->text, caller->text, caller->size);
    r->size = r->before = caller->size;
    r->n_fds = 0;
    struct iovec iov = {r->text + r->size, CALLER_READ};
    struct msghdr header = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
    ssize_t n;
    do
        n = recvmsg(caller->fd, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    bus->totals.receives++;
    if (n < 0)
        return errno == EAGAIN ? 0 : -1;
    caller_take_control(r, &header);
    if (n == 0 || header.msg_flags & MSG_CTRUNC || r->n_fds > bus->limits.max_incoming_unix_fds) {
        close_fds(r);
        return -1;
    }
    r->size += (size_t)n;
    r->full = n == CALLER_READ || r->n_fds > 0;
    return 1;
}

/* Sends an answer. True: all of it was sent. */
static bool caller_say(struct bus *bus, struct caller *caller, const struct greeting_answer *answer)
{
    if (answer->size == 0)
        return true;
    ssize_t n = send(caller->fd, answer->text, answer->size, MSG_DONTWAIT | MSG_NOSIGNAL);
    bus->totals.sends++;
    caller->said += n > 0 ? (size_t)n : 0;
    return n == (ssize_t)answer->size;
}

/* Hands the connection to omnibus.auth, in an event with everything received so far. */
static void hand_up(struct bus *bus, struct caller *caller, struct reading *r)
{
    size_t fds_size = r->n_fds * sizeof(int);
    struct event *event = calloc(1, sizeof(*event) + fds_size + r->size);
    if (!event) {
        close_fds(r);
        caller_free(bus, caller);
        return;
    }
    struct relay_event *view = &event->view;
    event->owned = true;
    view->kind = RELAY_EVENT_HANDED_UP;
    view->fds = memcpy(event + 1, r->fds, fds_size);
    view->n_fds = r->n_fds;
    view->body = memcpy((uint8_t *)(event + 1) + fds_size, r->text, r->size);
    view->body_size = (uint32_t)r->size;
    view->parked = caller->said;
    view->listener = caller->door->number;
    view->began = caller->peer->incomplete.began;
    view->fd = caller->fd;
    struct identity_user user_of;
    uint32_t uid = identity_user(caller->fd, &user_of) ? user_of.uid : UINT32_MAX;
    unwatch(bus, caller);
    caller->fd = -1;
    caller_free(bus, caller);
    incomplete_above(bus, 1);
    struct user *user = user_take(bus, uid);
    report(bus, NULL, user, event);
    user_release(bus, user);
}

static enum greeting_result hear(struct bus *bus, struct caller *caller, struct reading *r)
{
    struct greeting *greeting = &caller->greeting;
    struct greeting_answer answer;
    if (r->before == 0) {
        if (!identity_user(caller->fd, &caller->user) || caller->user.uid == UINT32_MAX)
            return GREETING_UNUSUAL;
        greeting_begin(greeting, caller->user.uid);
    }
    enum greeting_result result = greeting_hear(greeting, caller->door->guid, r->text, r->size, &answer);
    if (result == GREETING_GOES_ON && (r->n_fds > 0 || r->size > CALLER_KEPT))
        return GREETING_UNUSUAL;
    if (result == GREETING_OVER && r->n_fds > 0 && !greeting->fd_passing)
        return GREETING_UNUSUAL;
    return result == GREETING_UNUSUAL || caller_say(bus, caller, &answer) ? result : GREETING_UNUSUAL;
}

static void caller_watch(struct bus *bus, struct caller *caller)
{
    if (!caller->watched)
        caller->watched = bus_watch(bus, caller->peer, caller->fd);
    if (!caller->watched)
        caller_free(bus, caller);
}

/* Decides whether the authenticated client may connect. */
static void admit(struct bus *bus, struct caller *caller, struct reading *r)
{
    struct admission a = {.peer = caller->peer,
                          .fd = caller->fd,
                          .listener = caller->door->fd,
                          .user = caller->user,
                          .fd_passing = caller->greeting.fd_passing,
                          .watched = caller->watched,
                          .unread = r->full || caller->hung_up,
                          .leftover = r->text + caller->greeting.at,
                          .size = r->size - caller->greeting.at,
                          .fds = r->fds,
                          .n_fds = r->n_fds};
    caller->peer->input.hung_up = caller->hung_up;
    switch (admit_connection(bus, &a)) {
    case ADMIT_UNKNOWN:
        hand_up(bus, caller, r);
        return;
    case ADMIT_REFUSED:
        close_fds(r);
        break;
    case ADMIT_DONE:
        caller->fd = -1;
        caller->peer = NULL;
        break;
    }
    caller_free(bus, caller);
}

static void turn(struct bus *bus, struct caller *caller)
{
    struct reading r;
    int came = caller_receive(bus, caller, &r);
    if (came < 0) {
        caller_free(bus, caller);
        return;
    }
    if (came == 0) {
        caller_watch(bus, caller);
        return;
    }
    switch (hear(bus, caller, &r)) {
    case GREETING_UNUSUAL:
        hand_up(bus, caller, &r);
        return;
    case GREETING_OVER:
        admit(bus, caller, &r);
        return;
    case GREETING_GOES_ON:
        break;
    }
    memcpy(caller->text + r.before, r.text + r.before, r.size - r.before);
    caller->size = r.size;
    if (caller->hung_up)
        turn(bus, caller); /* the end of the stream remains to be read, which no event will report */
    else
        caller_watch(bus, caller);
}

bool caller_begin(struct bus *bus, struct door *door, int fd)
{
    struct caller *caller = calloc(1, sizeof(*caller));
    struct peer *peer = peer_begin();
    if (!caller || !peer) {
        free(caller);
        peer_free(peer);
        return false;
    }
    caller->door = door;
    caller->fd = fd;
    caller->peer = peer;
    peer->caller = caller;
    incomplete_add(bus, &peer->incomplete, clock_now());
    if (door->simple) {
        turn(bus, caller);
    } else {
        struct reading nothing = {.size = 0};
        hand_up(bus, caller, &nothing);
    }
    return true;
}

void caller_ready(struct bus *bus, struct caller *caller, uint32_t events)
{
    if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        caller->hung_up = true;
    turn(bus, caller);
}
