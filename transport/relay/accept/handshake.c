/* SPDX-License-Identifier: MIT */
#include "accept/handshake.h"

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
    uint8_t text[HANDSHAKE_KEPT + HANDSHAKE_READ];
};

static void close_fds(struct reading *r)
{
    for (uint32_t i = 0; i < r->n_fds; i++)
        close(r->fds[i]);
    r->n_fds = 0;
}

static void unwatch(struct bus *bus, struct handshake *handshake)
{
    /* closing is not enough: a forked child that has not called exec yet keeps the socket open */
    if (handshake->watched)
        epoll_ctl(bus->epoll, EPOLL_CTL_DEL, handshake->fd, NULL);
    handshake->watched = false;
}

void handshake_free(struct bus *bus, struct handshake *handshake)
{
    if (handshake->peer) {
        incomplete_remove(bus, &handshake->peer->incomplete);
        peer_free(handshake->peer);
    }
    if (handshake->fd >= 0) {
        unwatch(bus, handshake);
        close(handshake->fd);
    }
    free(handshake);
}

static void handshake_take_control(struct reading *r, struct msghdr *header)
{
    for (struct cmsghdr *cmsg = CMSG_FIRSTHDR(header); cmsg; cmsg = CMSG_NXTHDR(header, cmsg)) {
        if (cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_RIGHTS)
            continue;
        r->n_fds = (uint32_t)((cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        memcpy(r->fds, CMSG_DATA(cmsg), r->n_fds * sizeof(int));
    }
}

/* One recvmsg. 1: received; 0: nothing yet; -1: the connection is to be closed. */
static int handshake_receive(struct bus *bus, struct handshake *handshake, struct reading *r)
{
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(CALLER_FDS * sizeof(int))];
    } control;
    memcpy(r->text, handshake->text, handshake->size);
    r->size = r->before = handshake->size;
    r->n_fds = 0;
    struct iovec iov = {r->text + r->size, HANDSHAKE_READ};
    struct msghdr header = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
    ssize_t n;
    do
        n = recvmsg(handshake->fd, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    bus->totals.receives++;
    if (n < 0)
        return errno == EAGAIN ? 0 : -1;
    handshake_take_control(r, &header);
    if (n == 0 || header.msg_flags & MSG_CTRUNC || r->n_fds > bus->limits.max_incoming_unix_fds) {
        close_fds(r);
        return -1;
    }
    r->size += (size_t)n;
    r->full = n == HANDSHAKE_READ || r->n_fds > 0;
    return 1;
}

/* Sends an answer. True: all of it was sent. */
static bool handshake_say(struct bus *bus, struct handshake *handshake, const struct sasl_fast_answer *answer)
{
    if (answer->size == 0)
        return true;
    ssize_t n = send(handshake->fd, answer->text, answer->size, MSG_DONTWAIT | MSG_NOSIGNAL);
    bus->totals.sends++;
    handshake->said += n > 0 ? (size_t)n : 0;
    return n == (ssize_t)answer->size;
}

/* Hands the connection to omnibus.auth, in an event with everything received so far. */
static void hand_up(struct bus *bus, struct handshake *handshake, struct reading *r)
{
    size_t fds_size = r->n_fds * sizeof(int);
    struct event *event = calloc(1, sizeof(*event) + fds_size + r->size);
    if (!event) {
        close_fds(r);
        handshake_free(bus, handshake);
        return;
    }
    struct relay_event *view = &event->view;
    event->owned = true;
    view->kind = RELAY_EVENT_HANDED_UP;
    view->peer = bus->n_ids++;
    view->fds = memcpy(event + 1, r->fds, fds_size);
    view->n_fds = r->n_fds;
    view->body = memcpy((uint8_t *)(event + 1) + fds_size, r->text, r->size);
    view->body_size = (uint32_t)r->size;
    view->parked = handshake->said;
    view->listener = handshake->door->number;
    view->began = handshake->peer->incomplete.began;
    view->fd = handshake->fd;
    struct peer_creds_user user_of;
    uint32_t uid = peer_creds_user(handshake->fd, &user_of) ? user_of.uid : UINT32_MAX;
    unwatch(bus, handshake);
    handshake->fd = -1;
    handshake_free(bus, handshake);
    incomplete_above(bus, 1);
    struct user *user = user_take(bus, uid);
    report(bus, NULL, user, event);
    user_release(bus, user);
}

static enum sasl_fast_result hear(struct bus *bus, struct handshake *handshake, struct reading *r)
{
    struct sasl_fast *sasl = &handshake->sasl;
    struct sasl_fast_answer answer;
    if (r->before == 0) {
        if (!peer_creds_user(handshake->fd, &handshake->user) || handshake->user.uid == UINT32_MAX)
            return SASL_FAST_UNUSUAL;
        sasl_fast_begin(sasl, handshake->user.uid, handshake->door->only_external);
    }
    enum sasl_fast_result result = sasl_fast_hear(sasl, handshake->door->guid, r->text, r->size, &answer);
    if (result == SASL_FAST_GOES_ON && (r->n_fds > 0 || r->size > HANDSHAKE_KEPT))
        return SASL_FAST_UNUSUAL;
    if (result == SASL_FAST_OVER && r->n_fds > 0 && !sasl->fd_passing)
        return SASL_FAST_UNUSUAL;
    return result == SASL_FAST_UNUSUAL || handshake_say(bus, handshake, &answer) ? result : SASL_FAST_UNUSUAL;
}

static void handshake_watch(struct bus *bus, struct handshake *handshake)
{
    if (!handshake->watched)
        handshake->watched = bus_watch(bus, handshake->peer, handshake->fd);
    if (!handshake->watched)
        handshake_free(bus, handshake);
}

/* Decides whether the authenticated client may connect. */
static void admit(struct bus *bus, struct handshake *handshake, struct reading *r)
{
    struct admission a = {.peer = handshake->peer,
                          .fd = handshake->fd,
                          .listener = handshake->door->fd,
                          .user = handshake->user,
                          .fd_passing = handshake->sasl.fd_passing,
                          .watched = handshake->watched,
                          .unread = r->full || handshake->hung_up,
                          .leftover = r->text + handshake->sasl.at,
                          .size = r->size - handshake->sasl.at,
                          .fds = r->fds,
                          .n_fds = r->n_fds};
    handshake->peer->input.hung_up = handshake->hung_up;
    switch (admit_connection(bus, &a)) {
    case ADMIT_UNKNOWN:
        hand_up(bus, handshake, r);
        return;
    case ADMIT_REFUSED:
        close_fds(r);
        break;
    case ADMIT_DONE:
        handshake->fd = -1;
        handshake->peer = NULL;
        break;
    }
    handshake_free(bus, handshake);
}

static void turn(struct bus *bus, struct handshake *handshake)
{
    struct reading r;
    int came = handshake_receive(bus, handshake, &r);
    if (came < 0) {
        handshake_free(bus, handshake);
        return;
    }
    if (came == 0) {
        handshake_watch(bus, handshake);
        return;
    }
    switch (hear(bus, handshake, &r)) {
    case SASL_FAST_UNUSUAL:
        hand_up(bus, handshake, &r);
        return;
    case SASL_FAST_OVER:
        admit(bus, handshake, &r);
        return;
    case SASL_FAST_GOES_ON:
        break;
    }
    memcpy(handshake->text + r.before, r.text + r.before, r.size - r.before);
    handshake->size = r.size;
    if (handshake->hung_up)
        turn(bus, handshake); /* the end of the stream remains to be read, which no event will report */
    else
        handshake_watch(bus, handshake);
}

struct handshake *handshake_new(int fd)
{
    struct handshake *handshake = calloc(1, sizeof(*handshake));
    struct peer *peer = peer_begin();
    if (!handshake || !peer) {
        free(handshake);
        peer_free(peer);
        return NULL;
    }
    handshake->fd = fd;
    handshake->peer = peer;
    peer->handshake = handshake;
    return handshake;
}

bool handshake_hear_again(struct handshake *handshake, const uint8_t *text, size_t size)
{
    struct sasl_fast_answer answer; /* was sent, or a part of it led to HANDED_UP */
    if (size > HANDSHAKE_KEPT)
        return false;
    memcpy(handshake->text, text, size);
    handshake->size = size;
    if (size == 0)
        return true;
    sasl_fast_begin(&handshake->sasl, handshake->user.uid, handshake->door->only_external);
    return sasl_fast_hear(&handshake->sasl, handshake->door->guid, text, size, &answer) == SASL_FAST_GOES_ON;
}

bool handshake_begin(struct bus *bus, struct door *door, int fd)
{
    struct handshake *handshake = handshake_new(fd);
    if (!handshake)
        return false;
    handshake->door = door;
    incomplete_add(bus, &handshake->peer->incomplete, clock_now());
    if (door->simple) {
        turn(bus, handshake);
    } else {
        struct reading nothing = {.size = 0};
        hand_up(bus, handshake, &nothing);
    }
    return true;
}

void handshake_ready(struct bus *bus, struct handshake *handshake, uint32_t events)
{
    if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        handshake->hung_up = true;
    turn(bus, handshake);
}
