/* SPDX-License-Identifier: MIT */
#include "group/group_peer.h"
#include "send/mediate.h"
#include "send/monitor.h"
#include "state/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

static void group_free(struct group *group)
{
    if (!group)
        return;
    if (group->fd >= 0)
        close(group->fd);
    LIST_FOR_SAFE (at, after, &group->all) {
        struct group_peer *gp = CONTAINER_OF(at, struct group_peer, in_all);
        table_free(&gp->flow_table);
        free(gp->mentions);
        free(gp);
    }
    free(group->rest.mentions);
    free(group->peers);
    free(group->indices);
    free(group->dead);
    if (group->sides)
        sides_end(group);
    free(group->sides);
    free(group->writing);
    free(group->spilled);
    free(group);
}

static bool group_allocate(struct group *group)
{
    uint32_t n = group->max_members;
    group->peers = calloc(n, sizeof(struct group_peer *));
    group->indices = calloc(n, sizeof(*group->indices));
    group->dead = calloc(n, sizeof(*group->dead));
    group->sides = calloc(GROUP_SIDES, sizeof(*group->sides));
    if (!group->peers || !group->indices || !group->dead || !group->sides)
        return false;
    for (uint32_t i = 0; i < n; i++)
        group->indices[i] = n - 1 - i;
    group->n_indices = n;
    return writing_new(&group->writing) == 0 && spilled_new(&group->spilled) == 0;
}

static int set_first(int group)
{
    struct filter filter = {0};
    int error = filter_compile_first(&filter);
    if (error == 0)
        error = umc_set_filter(group, UMC_ANY, UMC_FILTER_FIRST, &filter);
    filter_free(&filter);
    return error;
}

/* Has the kernel stop the group as soon as another policy of SELinux is announced. */
static int watch_policy(const struct bus *bus, int group)
{
    int announces = mediate_announces(bus);
    return announces < 0 ? 0 : umc_watch(group, announces);
}

int group_mediated(struct bus *bus)
{
    return bus->group->failed ? 0 : watch_policy(bus, bus->group->fd);
}

static const struct group_ops group_functions = {
    .end = group_end,
    .dissolve = group_dissolve,
    .salvage = group_salvage,
    .leave = group_leave,
    .monitor = group_monitor,
    .dirty = group_dirty,
    .rule_added = group_rule_added,
    .rule_removed = group_rule_removed,
    .name_changed = group_name_changed,
    .policy_changed = group_policy_changed,
    .limits_changed = group_limits_changed,
    .watched = group_watched,
    .mediated = group_mediated,
    .learn = group_learn,
    .learn_broadcast = group_learn_broadcast,
    .note_call = group_note_call,
    .take_call = group_take_call,
    .calls = group_calls,
    .expire_calls = group_expire_calls,
    .spilled = group_spilled,
    .settle = group_settle,
    .timeout = group_timeout,
    .flush = group_flush,
    .writable = group_writable,
    .counts = group_count,
    .totals = group_sum,
};

int group_begin(struct bus *bus, int fd, uint32_t max_members, bool trust_everybody)
{
    struct group *group = calloc(1, sizeof(*group));
    if (!group) {
        close(fd);
        return -ENOMEM;
    }
    group->fd = fd;
    group->max_members = max_members < UMC_MAX_MEMBERS ? max_members : UMC_MAX_MEMBERS;
    group->trust_everybody = trust_everybody;
    group->rebuild_at = group->rebuild_wait = -1;
    list_init(&group->all);
    list_init(&group->stale);
    list_init(&group->dirty);
    list_init(&group->retry);
    group->source.kind = SOURCE_GROUP;
    list_init(&group->joining);
    struct epoll_event event = {.events = EPOLLIN | EPOLLPRI, .data.ptr = &group->source};
    int error = group_allocate(group) ? hash_key_draw(&group->key) : -ENOMEM;
    if (error == 0)
        error = set_first(fd);
    if (error == 0)
        error = umc_set_shape(fd);
    if (error == 0)
        error = watch_policy(bus, fd);
    group->nameless = error == 0 && naming_set_shared(bus, group) < 0;
    if (error == 0 &&
        (fcntl(fd, F_SETFL, O_NONBLOCK) < 0 || epoll_ctl(bus->epoll, EPOLL_CTL_ADD, fd, &event) < 0))
        error = -errno;
    if (error < 0) {
        group_free(group);
        return error;
    }
    bus->group = group;
    bus->group_ops = &group_functions;
    group->timed = bus->limits.reply_timeout > 0;
    group_peer_stale_ingress(bus, &group->rest);
    return 0;
}

/* Forgets all group peers. Their flows remain in their own tables only. */
static void forget_members(struct bus *bus)
{
    struct group *group = bus->group;
    LIST_FOR (at, &group->all) {
        struct group_peer *gp = CONTAINER_OF(at, struct group_peer, in_all);
        if (gp->peer)
            gp->peer->group.gp = NULL;
        gp->peer = NULL;
        flows_drop_from(bus, gp);
    }
    LIST_FOR_SAFE (at, after, &group->joining)
        list_unlink(at);
}

void group_end(struct bus *bus)
{
    struct group *group = bus->group;
    group->failed = true; /* no further calls to the kernel */
    forget_members(bus);
    bus->group_ops = NULL;
    bus->group = NULL;
    group_free(group);
}

void group_note(struct bus *bus, enum group_trouble trouble, const char *what, int error)
{
    if (bus->group->told[trouble])
        return;
    bus->group->told[trouble] = true;
    log_line(bus, LOG_NOTICE, "%s: %s; messages that this concerns go through the relay", what,
             strerror(-error));
}

static bool read_spilled(struct bus *bus)
{
    group_spilled(bus);
    return !bus->group->failed;
}

/* All members leave. What is under way between them is the relay's. */
static void close_group(struct bus *bus)
{
    struct group *group = bus->group;
    umc_gate(group->fd, true);
    group_quiesce(bus, read_spilled);
    group_take_calls(bus, UMC_ANY);
    group->failed = true;
    epoll_ctl(bus->epoll, EPOLL_CTL_DEL, group->fd, NULL);
    close(group->fd);
    group->fd = -1;
    forget_members(bus);
}

void group_fail(struct bus *bus, const char *what, int error)
{
    if (bus->group->failed)
        return;
    log_line(bus, LOG_WARNING, "%s: %s; from now on all messages go through the relay", what,
             strerror(-error));
    close_group(bus);
}

void group_dissolve(struct bus *bus)
{
    if (!bus->group->failed)
        close_group(bus);
    group_end(bus);
}

void group_dirty(struct bus *bus, struct peer *peer)
{
    if (peer->group.gp && !list_linked(&peer->group.gp->in_dirty))
        list_append(&bus->group->dirty, &peer->group.gp->in_dirty);
}

static bool watched(const struct bus *bus)
{
    return monitored(bus) || match_index_eavesdroppers(bus->matches) > 0;
}

static void set_gate(struct bus *bus, bool closed)
{
    struct group *group = bus->group;
    if (group->failed || group->gated == closed || watched(bus) != closed)
        return;
    int error = umc_gate(group->fd, closed);
    if (error < 0)
        group_fail(bus, closed ? "The group can't be stopped" : "The group can't go on", error);
    else
        group->gated = closed;
}

void group_watched(struct bus *bus)
{
    set_gate(bus, true);
}

/* True if everything received from the peer has been dispatched. */
static bool is_drained(const struct peer *peer)
{
    return !peer->calls.stopped && !peer->input.paused && !peer->input.waiting && !peer->input.readable &&
           peer->life == PEER_CONNECTED && peer->input.tail_size == peer->input.tail_start &&
           peer->input.n_fds == 0 && peer->calls.n_parked == 0;
}

/*
 * A group peer without a filter needs no release; making its filter lists it again. One whose messages are
 * all the relay's anyway, such as calls to the bus, is not released until it sends one that might have gone
 * directly: judging them in the kernel first, and releasing it after each, costs a third of what relaying
 * does.
 */
uint32_t group_collect_drained(struct group *group, struct umc_release_entry *entries, uint32_t room)
{
    uint32_t n = 0;
    group->release_waits = false;
    LIST_FOR_SAFE (at, after, &group->dirty) {
        struct group_peer *gp = CONTAINER_OF(at, struct group_peer, in_dirty);
        if (!is_drained(gp->peer))
            continue;
        list_unlink(at);
        if ((!gp->has_egress && !gp->named) || gp->vain >= GROUP_PEER_VAIN)
            continue;
        entries[n++] = (struct umc_release_entry){.index = gp->index};
        if (n == room)
            break;
    }
    return n;
}

/*
 * A group peer that the kernel reports as busy is retried: the client may not have returned yet from the
 * system call that sent what was read.
 */
void group_released(struct bus *bus, const struct umc_release_entry *entries, uint32_t n)
{
    struct group *group = bus->group;
    for (uint32_t i = 0; i < n; i++) {
        struct group_peer *gp = group->peers[entries[i].index];
        if (!gp)
            continue;
        if (entries[i].result >= 0)
            gp->vain = entries[i].result > 0 ? 0 : gp->vain + 1;
        if (entries[i].result != -EBUSY)
            continue;
        group_dirty(bus, gp->peer);
        group->release_waits = true;
    }
}

static void rebuild(struct bus *bus)
{
    struct group_peer *due[GROUP_REBUILDS];
    uint32_t n = group_due(bus->group, due);
    for (uint32_t i = 0; i < n && !bus->group->failed; i++) {
        if (list_linked(&due[i]->in_stale))
            group_peer_rebuild(bus, due[i]);
    }
}

static void retry(struct bus *bus)
{
    struct list busy;
    list_init(&busy);
    LIST_FOR_SAFE (at, after, &bus->group->retry) {
        list_unlink(at);
        list_append(&busy, at);
    }
    while (!list_empty(&busy)) {
        struct group_peer *gp = CONTAINER_OF(busy.next, struct group_peer, in_retry);
        list_unlink(&gp->in_retry);
        if (gp->peer)
            group_writable(bus, gp->peer);
    }
}

void group_settle(struct bus *bus)
{
    struct group *group = bus->group;
    if (!group->failed) {
        group_peers_join(bus);
        rebuild(bus);
    }
    if (!group->failed) {
        retry(bus);
        writing_release(bus, &bus->touched);
        set_gate(bus, false);
        group_peers_forget(bus);
    }
    if (group->failed)
        group_end(bus);
}

int group_timeout(const struct bus *bus)
{
    const struct group *group = bus->group;
    if (!list_empty(&group->retry) || group->release_waits)
        return group->rebuild_wait == 0 ? 0 : GROUP_PEER_RETRY_TIME;
    if (group->rebuild_wait >= 0)
        return group->rebuild_wait;
    return bus->limits.reply_timeout > 0 && !list_empty(&group->all) ? GROUP_EXPIRY_TIME : -1;
}
