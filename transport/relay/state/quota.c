/* SPDX-License-Identifier: MIT */
#include "state/quota.h"

#include "base/clock.h"
#include "state/log.h"

static uint64_t uid_limit(const struct bus *bus)
{
    uint64_t one = bus->limits.max_outgoing_bytes;
    uint64_t all =
        one > QUOTA_UID_BYTES / QUOTA_UID_CONNECTIONS ? QUOTA_UID_BYTES : one * QUOTA_UID_CONNECTIONS;
    return all > one ? all : one;
}

/* If the receivers of a uid hold too much together, each may hold an equal part of the limit. */
static bool uid_has_room(const struct bus *bus, const struct peer *receiver)
{
    const struct user *user = receiver->user;
    uint64_t limit = uid_limit(bus);
    return user->queued_bytes <= limit || receiver->output.queued_bytes <= limit / user->n_backlogs;
}

static struct quota_share **share_at(struct peer *receiver, uint32_t uid)
{
    struct quota_share **at = &receiver->output.shares;
    while (*at && (*at)->uid != uid)
        at = &(*at)->next;
    return at;
}

static uint64_t share_of(const struct peer *receiver, uint32_t uid)
{
    for (const struct quota_share *share = receiver->output.shares; share; share = share->next) {
        if (share->uid == uid)
            return share->bytes;
    }
    return 0;
}

/*
 * A foreign uid may take at most as much room as it leaves, so that no uid can keep others from a receiver.
 */
static bool share_has_room(const struct bus *bus, const struct peer *sender, const struct peer *receiver)
{
    if (!sender || sender->credentials.uid == receiver->credentials.uid || sender->credentials.uid == 0)
        return true;
    uint64_t own = share_of(receiver, sender->credentials.uid);
    uint64_t others = receiver->output.queued_bytes > own ? receiver->output.queued_bytes - own : 0;
    uint64_t limit = bus->limits.max_outgoing_bytes;
    return own <= (limit > others ? (limit - others) / 2 : 0);
}

bool quota_queue_has_room(const struct bus *bus, const struct peer *sender, const struct peer *receiver)
{
    return receiver->output.queued_bytes + receiver->output.pending_bytes <= bus->limits.max_outgoing_bytes &&
           receiver->output.queued_fds + receiver->output.pending_fds <= bus->limits.max_outgoing_unix_fds &&
           share_has_room(bus, sender, receiver) && uid_has_room(bus, receiver);
}

static void charge_receiver(struct peer *peer, struct outgoing *kept)
{
    if (kept->token.account == peer->account)
        return;
    uint64_t bytes = kept->token.account ? kept->token.bytes : outgoing_cost(kept);
    token_release(&kept->token);
    token_charge(&kept->token, peer->account, bytes, kept->fds ? kept->fds->n : 0);
}

static void backlog_begins(struct bus *bus, struct peer *peer)
{
    peer->output.progress = clock_now();
    peer->output.stalled = false;
    peer->output.refusal_told = false;
    peer->user->n_backlogs++;
    list_append(&bus->backlogs, &peer->output.in_backlogs);
}

static void backlog_ends(struct peer *peer)
{
    list_unlink(&peer->output.in_backlogs);
    peer->user->n_backlogs--;
    peer->output.stalled = false;
    while (peer->output.shares) {
        struct quota_share *share = peer->output.shares;
        peer->output.shares = share->next;
        free(share);
    }
}

void quota_keep(struct bus *bus, struct peer *peer, struct outgoing *kept)
{
    if (!list_linked(&peer->output.in_backlogs))
        backlog_begins(bus, peer);
    uint64_t bytes = outgoing_cost(kept);
    peer->output.queued_bytes += bytes;
    peer->output.queued_fds += kept->fds ? kept->fds->n : 0;
    if (peer->output.queued_bytes > peer->statistics.peak_queued_bytes)
        peer->statistics.peak_queued_bytes = peer->output.queued_bytes;
    if (peer->output.queued_fds > peer->statistics.peak_queued_fds)
        peer->statistics.peak_queued_fds = peer->output.queued_fds;
    peer->user->queued_bytes += bytes;
    struct quota_share **share = share_at(peer, kept->uid);
    if (!*share && (*share = calloc(1, sizeof(**share))))
        (*share)->uid = kept->uid;
    if (*share)
        (*share)->bytes += bytes;
    if (peer->output.stalled)
        charge_receiver(peer, kept);
}

void quota_take(struct peer *peer, const struct outgoing *kept)
{
    uint64_t bytes = outgoing_cost(kept);
    peer->output.queued_bytes -= bytes;
    peer->output.queued_fds -= kept->fds ? kept->fds->n : 0;
    peer->user->queued_bytes -= bytes;
    struct quota_share *share = *share_at(peer, kept->uid);
    if (share)
        share->bytes -= bytes < share->bytes ? bytes : share->bytes;
    if (peer->output.queued_bytes == 0) /* of several that are taken at once, the last */
        backlog_ends(peer);
}

void quota_progress(struct peer *peer)
{
    peer->output.progress = clock_now();
    peer->output.stalled = false;
}

void quota_refused(struct bus *bus, struct peer *peer)
{
    peer->statistics.refused++;
    bus->totals.refused++;
    if (peer->output.refusal_told)
        return;
    peer->output.refusal_told = true;
    log_line(bus, LOG_WARNING,
             "%s (%s) does not read: %llu bytes wait for it, and messages for it are refused",
             peer->unique_text, peer->credentials.loginfo, (unsigned long long)peer->output.queued_bytes);
}

void quota_fds_wait(struct bus *bus, struct peer *peer)
{
    bool waits =
        peer->input.n_fds > 0 && !peer->input.waiting && !peer_is_gone(peer) && peer->credentials.uid != 0;
    if (waits && !list_linked(&peer->input.in_fd_waits)) {
        peer->input.fds_since = clock_now();
        list_append(&bus->fd_waits, &peer->input.in_fd_waits);
    } else if (!waits) {
        list_unlink(&peer->input.in_fd_waits);
    }
}

static void tick_backlog(struct bus *bus, struct peer *peer, int64_t now)
{
    int64_t idle = now - peer->output.progress;
    if (idle >= QUOTA_STALL_TIME && !peer->output.stalled) {
        peer->output.stalled = true;
        for (struct delivery *delivery = peer->output.queue.first; delivery; delivery = delivery->next)
            charge_receiver(peer, delivery->out);
    }
    if (idle < QUOTA_STUCK_TIME || peer->output.queued_bytes <= bus->limits.max_outgoing_bytes)
        return;
    log_line(bus, LOG_WARNING,
             "%s (%s) was disconnected: it has read nothing for %lld s and %llu bytes wait for it",
             peer->unique_text, peer->credentials.loginfo, (long long)(idle / 1000),
             (unsigned long long)peer->output.queued_bytes);
    bus_lose(bus, peer, RELAY_GONE_OVERFLOW);
}

static void tick_fds(struct bus *bus, struct peer *peer, int64_t now)
{
    if (bus->limits.pending_fd_timeout < 0 || now - peer->input.fds_since < bus->limits.pending_fd_timeout)
        return;
    log_line(bus, LOG_WARNING,
             "%s (%s) was disconnected: its file descriptors wait for the rest of their message (%lld ms)",
             peer->unique_text, peer->credentials.loginfo, (long long)(now - peer->input.fds_since));
    bus_lose(bus, peer, RELAY_GONE_FDS);
}

int quota_tick(struct bus *bus)
{
    if (!quota_waits(bus))
        return -1;
    int64_t now = clock_now();
    if (now < bus->next_tick)
        return (int)(bus->next_tick - now);
    bus->next_tick = now + QUOTA_TICK;
    LIST_FOR_SAFE (at, after, &bus->backlogs)
        tick_backlog(bus, CONTAINER_OF(at, struct peer, output.in_backlogs), now);
    LIST_FOR_SAFE (at, after, &bus->fd_waits)
        tick_fds(bus, CONTAINER_OF(at, struct peer, input.in_fd_waits), now);
    return QUOTA_TICK;
}
