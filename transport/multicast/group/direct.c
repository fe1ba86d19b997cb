/* SPDX-License-Identifier: MIT */
#include "base/clock.h"
#include "group/member.h"
#include "send/monitor.h"
#include "state/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#define RELEASES 1024u /* members released in one call */

static void direct_free(struct direct *direct)
{
    if (!direct)
        return;
    if (direct->group >= 0)
        close(direct->group);
    LIST_FOR_SAFE (at, after, &direct->all) {
        struct member *member = CONTAINER_OF(at, struct member, in_all);
        table_free(&member->flow_table);
        free(member->mentions);
        free(member);
    }
    free(direct->rest.mentions);
    free(direct->members);
    free(direct->indices);
    free(direct->dead);
    free(direct->sides);
    writing_free(direct->writing);
    free(direct);
}

static bool direct_allocate(struct direct *direct)
{
    uint32_t n = direct->max_members;
    direct->members = calloc(n, sizeof(struct member *));
    direct->indices = calloc(n, sizeof(*direct->indices));
    direct->dead = calloc(n, sizeof(*direct->dead));
    direct->sides = calloc(DIRECT_SIDES, sizeof(*direct->sides));
    if (!direct->members || !direct->indices || !direct->dead || !direct->sides)
        return false;
    for (uint32_t i = 0; i < n; i++)
        direct->indices[i] = n - 1 - i;
    direct->n_indices = n;
    return writing_new(&direct->writing) == 0;
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

static const struct group direct_group = {
    .end = direct_end,
    .join = direct_join,
    .leave = direct_leave,
    .dirty = direct_dirty,
    .rules_changed = direct_rules_changed,
    .name_changed = direct_name_changed,
    .policy_changed = direct_policy_changed,
    .limits_changed = direct_limits_changed,
    .watched = direct_watched,
    .learn = direct_learn,
    .learn_broadcast = direct_learn_broadcast,
    .note_call = direct_note_call,
    .take_call = direct_take_call,
    .calls = direct_calls,
    .expire_calls = direct_expire_calls,
    .spilled = direct_spilled,
    .release = direct_release,
    .settle = direct_settle,
    .timeout = direct_timeout,
    .flush = direct_flush,
    .writable = direct_writable,
    .counts = direct_counts,
    .totals = direct_totals,
};

int direct_begin(struct bus *bus, int group, uint32_t max_members, bool trust_everybody)
{
    struct direct *direct = calloc(1, sizeof(*direct));
    if (!direct) {
        close(group);
        return -ENOMEM;
    }
    direct->group = group;
    direct->max_members = max_members < UMC_MAX_MEMBERS ? max_members : UMC_MAX_MEMBERS;
    direct->trust_everybody = trust_everybody;
    direct->rebuild_wait = -1;
    list_init(&direct->all);
    list_init(&direct->stale);
    list_init(&direct->dirty);
    list_init(&direct->retry);
    direct->source.kind = SOURCE_DIRECT;
    list_init(&direct->joining);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = &direct->source};
    int error = direct_allocate(direct) ? hash_key_draw(&direct->key) : -ENOMEM;
    if (error == 0)
        error = set_first(group);
    if (error == 0 &&
        (fcntl(group, F_SETFL, O_NONBLOCK) < 0 || epoll_ctl(bus->epoll, EPOLL_CTL_ADD, group, &event) < 0))
        error = -errno;
    if (error < 0) {
        direct_free(direct);
        return error;
    }
    bus->direct = direct;
    bus->group = &direct_group;
    member_stale_ingress(bus, &direct->rest);
    return 0;
}

/* Forgets all members. Their flows remain in their own tables only. */
static void forget_members(struct bus *bus)
{
    struct direct *direct = bus->direct;
    LIST_FOR (at, &direct->all) {
        struct member *member = CONTAINER_OF(at, struct member, in_all);
        if (member->peer)
            member->peer->group.member = NULL;
        member->peer = NULL;
        flows_drop_from(bus, member);
    }
    LIST_FOR_SAFE (at, after, &direct->joining)
        list_unlink(at);
}

void direct_end(struct bus *bus)
{
    bus->direct->failed = true; /* no further calls to the kernel */
    forget_members(bus);
    direct_free(bus->direct);
    bus->direct = NULL;
    bus->group = NULL;
}

void direct_note(struct bus *bus, enum direct_trouble trouble, const char *what, int error)
{
    if (bus->direct->told[trouble])
        return;
    bus->direct->told[trouble] = true;
    log_line(bus, LOG_NOTICE, "%s: %s; messages that this concerns go through the relay", what,
             strerror(-error));
}

void direct_fail(struct bus *bus, const char *what, int error)
{
    struct direct *direct = bus->direct;
    if (direct->failed)
        return;
    log_line(bus, LOG_WARNING, "%s: %s; from now on all messages go through the relay", what,
             strerror(-error));
    umc_gate(direct->group, true);
    direct_take_calls(bus, UMC_ANY);
    direct_spilled(bus);
    direct->failed = true;
    epoll_ctl(bus->epoll, EPOLL_CTL_DEL, direct->group, NULL);
    close(direct->group);
    direct->group = -1;
    forget_members(bus);
}

void direct_dirty(struct bus *bus, struct peer *peer)
{
    if (peer->group.member && !list_linked(&peer->group.member->in_dirty))
        list_append(&bus->direct->dirty, &peer->group.member->in_dirty);
}

static bool watched(const struct bus *bus)
{
    return monitored(bus) || match_index_eavesdroppers(bus->matches) > 0;
}

static void set_gate(struct bus *bus, bool closed)
{
    struct direct *direct = bus->direct;
    if (direct->failed || direct->gated == closed || watched(bus) != closed)
        return;
    int error = umc_gate(direct->group, closed);
    if (error < 0)
        direct_fail(bus, closed ? "The group can't be stopped" : "The group can't go on", error);
    else
        direct->gated = closed;
}

void direct_watched(struct bus *bus)
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

/* Collects drained members. A member without a filter needs no release; making its filter lists it again. */
static uint32_t collect_drained(struct direct *direct, struct umc_release_entry entries[RELEASES])
{
    uint32_t n = 0;
    LIST_FOR_SAFE (at, after, &direct->dirty) {
        struct member *member = CONTAINER_OF(at, struct member, in_dirty);
        if (!is_drained(member->peer))
            continue;
        list_unlink(at);
        if (!member->has_egress)
            continue;
        entries[n++] = (struct umc_release_entry){.index = member->index};
        if (n == RELEASES)
            break;
    }
    return n;
}

/*
 * Retries members that the kernel reports as busy: the client may not have returned yet from the system call
 * that sent what was read.
 */
static void try_again(struct bus *bus, const struct umc_release_entry *entries, uint32_t n)
{
    struct direct *direct = bus->direct;
    for (uint32_t i = 0; i < n; i++) {
        const struct member *member = direct->members[entries[i].index];
        if (entries[i].result != -EBUSY || !member)
            continue;
        direct_dirty(bus, member->peer);
        direct->release_waits = true;
    }
}

void direct_release(struct bus *bus)
{
    struct direct *direct = bus->direct;
    struct umc_release_entry entries[RELEASES];
    uint32_t n = direct->failed ? 0 : collect_drained(direct, entries);
    direct->release_waits = false;
    if (n == 0)
        return;
    if (!writing_hold(bus, &bus->touched)) {
        for (uint32_t i = 0; i < n && !direct->failed; i++)
            direct_dirty(bus, direct->members[entries[i].index]->peer);
        return;
    }
    int error = umc_release(direct->group, entries, n);
    if (error < 0)
        direct_fail(bus, "Members of the group can't be released", error);
    else
        try_again(bus, entries, n);
}

/* Milliseconds until the filters of a member are due. */
static int64_t rebuild_wait(const struct direct *direct, const struct member *member, int64_t now)
{
    bool missed = (member->egress_stale && member->misses >= MEMBER_MISSES) ||
                  (member->ingress_stale && direct->misses >= direct->n_stale_ingress * DIRECT_MISSES);
    int64_t at = missed ? member->rebuild_at : member->stale_since + MEMBER_PATIENCE;
    return at > now ? at - now : 0;
}

/* Rebuilds the filters of at most one member per wake-up. */
static void rebuild(struct bus *bus)
{
    struct direct *direct = bus->direct;
    struct member *first = NULL;
    int64_t now = list_empty(&direct->stale) ? 0 : clock_now(), soonest = -1;
    bool ingress = false;
    direct->n_stale_ingress = 0;
    LIST_FOR (at, &direct->stale)
        direct->n_stale_ingress += CONTAINER_OF(at, struct member, in_stale)->ingress_stale;
    LIST_FOR (at, &direct->stale) {
        struct member *member = CONTAINER_OF(at, struct member, in_stale);
        int64_t wait = rebuild_wait(direct, member, now);
        if (wait == 0 && !first) {
            first = member;
            continue;
        }
        ingress |= member->ingress_stale;
        soonest = soonest < 0 || wait < soonest ? wait : soonest;
    }
    direct->rebuild_wait = (int)soonest;
    if (!ingress && (!first || first->ingress_stale))
        direct->misses = 0;
    if (!first)
        return;
    member_rebuild(bus, first);
}

static void retry(struct bus *bus)
{
    struct list busy;
    list_init(&busy);
    LIST_FOR_SAFE (at, after, &bus->direct->retry) {
        list_unlink(at);
        list_append(&busy, at);
    }
    while (!list_empty(&busy)) {
        struct member *member = CONTAINER_OF(busy.next, struct member, in_retry);
        list_unlink(&member->in_retry);
        if (member->peer)
            direct_writable(bus, member->peer);
    }
}

void direct_settle(struct bus *bus)
{
    struct direct *direct = bus->direct;
    if (!direct->failed) {
        members_join(bus);
        rebuild(bus);
    }
    if (!direct->failed) {
        retry(bus);
        direct_release(bus);
        set_gate(bus, false);
        members_forget(bus);
    }
    if (direct->failed)
        direct_end(bus);
}

int direct_timeout(const struct bus *bus)
{
    const struct direct *direct = bus->direct;
    if (!list_empty(&direct->retry) || direct->release_waits)
        return direct->rebuild_wait == 0 ? 0 : MEMBER_RETRY_TIME;
    if (direct->rebuild_wait >= 0)
        return direct->rebuild_wait;
    return bus->limits.reply_timeout > 0 && !list_empty(&direct->all) ? DIRECT_EXPIRY_TIME : -1;
}
