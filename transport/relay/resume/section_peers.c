/* SPDX-License-Identifier: MIT */
#include "resume/resume_internal.h"

#include "accept/incomplete.h"
#include "state/inbox.h"

#include <stdlib.h>

/* Connections that have authenticated, without what other tables have of them. */

#define GIDS_MAX 65536u /* the kernel's NGROUPS_MAX */
#define READ_SIZE_MAX INBOX_READ_SIZE

static uint32_t input_flags(const struct peer *peer)
{
    const struct peer_input *in = &peer->input;
    return (in->begun ? STATE_PEER_BEGUN : 0) | (in->fds_open ? STATE_PEER_FDS_OPEN : 0) |
           (list_linked(&in->in_fd_waits) ? STATE_PEER_FDS_WAIT : 0) | (in->paused ? STATE_PEER_PAUSED : 0) |
           (in->waiting ? STATE_PEER_WAITING : 0) | (in->readable ? STATE_PEER_READABLE : 0) |
           (in->hung_up ? STATE_PEER_HUNG_UP : 0) | (in->big_endian ? STATE_PEER_BIG_ENDIAN : 0);
}

static uint32_t peer_flags(const struct peer *peer)
{
    return (peer->seqpacket ? STATE_PEER_SEQPACKET : 0) | (peer->active ? STATE_PEER_ACTIVE : 0) |
           (peer->calls.stopped ? STATE_PEER_STOPPED : 0) | (peer->calls.unseen ? STATE_PEER_UNSEEN : 0) |
           (peer->output.wide ? STATE_PEER_WIDE : 0) | (peer->reports.mentioned ? STATE_PEER_MENTIONED : 0) |
           (peer->reports.logged ? STATE_PEER_LOGGED : 0) |
           (peer->credentials.at_console ? STATE_PEER_AT_CONSOLE : 0) |
           (peer->credentials.fd_passing ? STATE_PEER_FD_PASSING : 0) |
           (peer->credentials.privileged ? STATE_PEER_PRIVILEGED : 0) | input_flags(peer);
}

/* The place of the door that a connection came from, by the socket or by what it leads to. */
static uint32_t door_of(const struct bus *bus, int listener)
{
    uint64_t device, inode, door_device, door_inode;
    uint32_t place = 0;
    if (listener < 0 || !descriptor_identity(listener, &device, &inode))
        return STATE_NONE;
    LIST_FOR (at, &bus->doors) {
        const struct door *door = CONTAINER_OF(at, struct door, in_doors);
        if (door->fd == listener || (descriptor_identity(door->fd, &door_device, &door_inode) &&
                                     device == door_device && inode == door_inode))
            return place;
        place++;
    }
    return STATE_NONE;
}

static void dump_credentials(struct dump *d, const struct relay_credentials *who)
{
    state_put32(d->w, who->uid);
    state_put32(d->w, who->pid);
    state_put32(d->w, who->n_gids);
    for (uint32_t i = 0; i < who->n_gids; i++)
        state_put32(d->w, who->gids[i]);
    state_put_bytes(d->w, who->label, who->label_size);
    state_put_text(d->w, span_of(who->loginfo));
}

static void dump_input(struct dump *d, const struct peer *peer)
{
    const struct peer_input *in = &peer->input;
    state_put32(d->w, in->read_size);
    state_put64(d->w, list_linked(&in->in_fd_waits) ? (uint64_t)in->fds_since : 0);
    state_put_bytes(d->w, in->tail ? in->tail->data + in->tail_start : NULL, in->tail_size - in->tail_start);
    state_put32(d->w, in->begun ? in->n_fds_begun : 0);
    state_put32(d->w, in->n_fds);
    for (uint32_t i = 0; i < in->n_fds; i++)
        dump_descriptor(d, in->fds[i]);
}

/* In the order of the record. */
static void counted(struct peer *peer, uint64_t *list[9], uint32_t *few[2])
{
    struct peer_statistics *s = &peer->statistics;
    uint64_t *const all[9] = {
        &s->messages_in,         &s->bytes_in,        &s->messages_out, &s->bytes_out,
        &s->peak_queued_bytes,   &s->peak_queued_fds, &s->refused,      &peer->account->peak_bytes,
        &peer->account->peak_fds};
    memcpy(list, all, sizeof(all));
    few[0] = &s->peak_matches;
    few[1] = &s->peak_claims;
}

static void dump_statistics(struct dump *d, struct peer *peer)
{
    uint64_t *list[9];
    uint32_t *few[2];
    counted(peer, list, few);
    for (size_t i = 0; i < sizeof(list) / sizeof(*list); i++)
        state_put64(d->w, *list[i]);
    state_put32(d->w, *few[0]);
    state_put32(d->w, *few[1]);
}

void dump_peers(struct dump *d)
{
    state_put32(d->w, d->n_peers);
    for (uint32_t i = 0; i < d->n_peers; i++) {
        struct peer *peer = d->peers[i];
        state_put64(d->w, peer->id);
        state_put32(d->w, peer_flags(peer));
        dump_credentials(d, &peer->credentials);
        dump_descriptor(d, peer->fd);
        state_put32(d->w, door_of(d->bus, peer->listener));
        state_put64(d->w, peer->active ? 0 : (uint64_t)peer->incomplete.began);
        state_put32(d->w, peer->calls.failed);
        state_put32(d->w, peer->calls.asked);
        dump_input(d, peer);
        dump_statistics(d, peer);
    }
}

/* A new peer that is in the tables. NULL: the record is wrong, or there is no memory. */
static struct peer *restore_identity(struct restore *s, uint64_t id, uint32_t flags)
{
    struct bus *bus = s->bus;
    struct relay_credentials who = {.at_console = flags & STATE_PEER_AT_CONSOLE,
                                    .fd_passing = flags & STATE_PEER_FD_PASSING,
                                    .privileged = flags & STATE_PEER_PRIVILEGED};
    who.uid = state_get32(&s->r);
    who.pid = state_get32(&s->r);
    who.n_gids = state_count(&s->r, sizeof(uint32_t));
    uint32_t *gids = restore_array(s, who.n_gids, sizeof(*gids));
    for (uint32_t i = 0; gids && i < who.n_gids; i++)
        gids[i] = state_get32(&s->r);
    struct span label = state_get_bytes(&s->r), loginfo = state_get_bytes(&s->r);
    char *text = restore_array(s, (size_t)loginfo.n + 1, 1);
    struct peer *peer = NULL;
    who.gids = gids;
    who.label = label.s;
    who.label_size = label.n;
    if (gids && text && !s->r.failed && who.n_gids <= GIDS_MAX && !bus_peer(bus, id)) {
        memcpy(text, loginfo.s, loginfo.n);
        who.loginfo = text;
        peer = peer_new(id, -1, &who);
        s->no_memory |= !peer;
    }
    free(gids);
    free(text);
    if (peer && !(peer->user = user_take(bus, who.uid))) {
        restore_failed(s);
        peer_free(peer);
        return NULL;
    }
    if (peer)
        table_insert(&bus->peers, &peer->node, hash_number(&bus->peers.key, id));
    return peer;
}

/* The array has its final size, as the descriptors' places in it are noted. */
static bool restore_unclaimed(struct restore *s, struct peer *peer)
{
    struct peer_input *in = &peer->input;
    in->n_fds_begun = state_get32(&s->r);
    uint32_t n = state_count(&s->r, sizeof(uint32_t));
    in->fds = n > 0 ? restore_array(s, n, sizeof(*in->fds)) : NULL;
    if (n > 0 && !in->fds)
        return false;
    for (; in->n_fds < n; in->n_fds++) {
        if (!restore_descriptor(s, &in->fds[in->n_fds]))
            return false;
    }
    return in->n_fds_begun <= n;
}

static bool restore_input(struct restore *s, struct peer *peer, uint32_t flags)
{
    struct bus *bus = s->bus;
    struct peer_input *in = &peer->input;
    in->begun = flags & STATE_PEER_BEGUN;
    in->fds_open = flags & STATE_PEER_FDS_OPEN;
    in->paused = flags & STATE_PEER_PAUSED;
    in->waiting = flags & STATE_PEER_WAITING;
    in->readable = flags & STATE_PEER_READABLE;
    in->hung_up = flags & STATE_PEER_HUNG_UP;
    in->big_endian = flags & STATE_PEER_BIG_ENDIAN;
    in->read_size = state_get32(&s->r);
    in->fds_since = (int64_t)state_get64(&s->r);
    struct span tail = state_get_bytes(&s->r);
    if (s->r.failed || in->read_size == 0 || in->read_size > READ_SIZE_MAX)
        return false;
    if (inbox_set(peer, (const uint8_t *)tail.s, tail.n) < 0)
        return restore_failed(s);
    if (flags & STATE_PEER_FDS_WAIT)
        list_append(&bus->fd_waits, &in->in_fd_waits);
    if (in->paused)
        list_append(&bus->paused, &in->in_paused);
    return restore_unclaimed(s, peer);
}

static void restore_statistics(struct restore *s, struct peer *peer)
{
    uint64_t *list[9];
    uint32_t *few[2];
    counted(peer, list, few);
    for (size_t i = 0; i < sizeof(list) / sizeof(*list); i++)
        *list[i] = state_get64(&s->r);
    *few[0] = state_get32(&s->r);
    *few[1] = state_get32(&s->r);
}

static void restore_activity(struct restore *s, struct peer *peer, int64_t began)
{
    struct bus *bus = s->bus;
    if (!peer->active) {
        incomplete_add(bus, &peer->incomplete, began);
        return;
    }
    bus->n_active++;
    peer->user->n_active++;
}

/* All peers are reported as admitted, so the control plane gets to know all of them in the same way. */
static bool restore_one_peer(struct restore *s)
{
    uint64_t id = state_get64(&s->r);
    uint32_t flags = state_get_flags(&s->r, STATE_PEER_FLAGS);
    struct peer *peer = s->r.failed ? NULL : restore_identity(s, id, flags);
    if (!peer || !restore_descriptor(s, &peer->fd))
        return false;
    uint32_t door = state_get32(&s->r);
    if (door >= s->n_doors && door != STATE_NONE)
        return false;
    peer->listener = door == STATE_NONE ? -1 : (int)door; /* until the descriptors are there */
    peer->admitted = true;
    peer->seqpacket = flags & STATE_PEER_SEQPACKET;
    peer->active = flags & STATE_PEER_ACTIVE;
    restore_activity(s, peer, (int64_t)state_get64(&s->r));
    peer->output.wide = flags & STATE_PEER_WIDE;
    peer->reports.mentioned = flags & STATE_PEER_MENTIONED;
    peer->reports.logged = flags & STATE_PEER_LOGGED;
    peer->calls.stopped = flags & STATE_PEER_STOPPED;
    peer->calls.unseen = flags & STATE_PEER_UNSEEN;
    peer->calls.failed = state_get32(&s->r);
    peer->calls.asked = state_get32(&s->r);
    if (!restore_input(s, peer, flags))
        return false;
    restore_statistics(s, peer);
    return true;
}

#define PEER_SIZE 128u /* at least */

int restore_peers(struct restore *s)
{
    uint32_t n = state_count(&s->r, PEER_SIZE);
    for (uint32_t i = 0; i < n; i++) {
        if (!restore_one_peer(s))
            return -EINVAL;
    }
    return 0;
}

struct peer *restore_peer(struct restore *s)
{
    uint64_t id = state_get64(&s->r);
    return s->r.failed ? NULL : bus_peer(s->bus, id);
}
