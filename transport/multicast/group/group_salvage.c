/* SPDX-License-Identifier: MIT */
#include "group/group_peer.h"
#include "group/writing.h"
#include "send/output_internal.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

/*
 * The end of the group in the standby of a dead bus, which has the group's descriptor.
 *
 * - The gate is closed first: from then on no message goes directly. When the deliveries that had begun
 *   are over, what the kernel says stays true.
 * - What a UMC_WRITE has written comes before spilled messages: a receiver whose queue was written is not
 *   held any more, and takes messages directly again.
 * - A pending reply is with the kernel, in the note of what is taken from it, or with the relay; a reply that
 *   went directly has removed it.
 * - Closing the descriptor makes all members ordinary sockets.
 *
 * Of the tables only those that lead from an index to a connection are used, which are changed by one store.
 * A connection that was about to join has no filter, and nothing went to it or from it.
 */

#define SALVAGED 64u       /* pending replies listed at a time */
#define HELD 64u           /* members held in one call */
#define HELD_PATIENCE 1000 /* tries, a millisecond apart, until no delivery is under way */

/* Holds some members, from *next on. True: a delivery to one is under way, or has to be read first. */
static bool hold_some(const struct group *group, uint32_t *next)
{
    struct umc_write_entry entries[HELD];
    uint32_t n = 0;
    for (; *next < group->max_members && n < HELD; (*next)++) {
        if (group->peers[*next])
            entries[n++] = (struct umc_write_entry){.index = *next, .flags = UMC_WRITE_HOLD};
    }
    bool busy = false;
    if (n == 0 || umc_write(group->fd, entries, n, NULL, 0) < 0)
        return false;
    for (uint32_t i = 0; i < n; i++)
        busy |= entries[i].result == -EBUSY;
    return busy;
}

bool group_quiesce(struct bus *bus, bool (*read_spilled)(struct bus *bus))
{
    const struct group *group = bus->group;
    bool busy = true;
    for (int i = 0; busy && i < HELD_PATIENCE; i++) {
        if (i > 0)
            poll(NULL, 0, GROUP_PEER_RETRY_TIME);
        if (!read_spilled(bus))
            return false;
        busy = false;
        for (uint32_t next = 0; next < group->max_members;)
            busy |= hold_some(group, &next);
    }
    return true;
}

/* Shortens the lists of peers by what a call has written. */
static void complete_writing(const struct writing *writing)
{
    uint32_t n = atomic_load(&writing->noted);
    for (uint32_t i = 0; i < n && i < UMC_MAX_ENTRIES; i++) {
        const struct part *part = &writing->parts[i];
        int64_t written = writing->entries[i].result;
        if (part->list && written > 0 && !peer_is_gone(part->peer))
            output_written(part->peer, part->list, part->first, part->offset + (size_t)written);
    }
}

static struct peer *member_at(const struct group *group, uint32_t index)
{
    const struct group_peer *gp = index < group->max_members ? group->peers[index] : NULL;
    return gp ? gp->peer : NULL;
}

/* The pending reply that the bus had taken, and not recorded or answered yet. NULL: none. */
static const struct umc_pending *taken_call(const struct group *group)
{
    const struct taking *taking = &group->taking;
    return atomic_load(&taking->caller) && taking->call.age_ms != GROUP_NOT_TAKEN ? &taking->call : NULL;
}

/* A client that makes the same call once more while it waits does not have two pending replies. */
static bool is_taken(const struct group *group, const struct umc_pending *call)
{
    const struct umc_pending *taken = taken_call(group);
    return taken && taken->caller == call->caller && taken->callee == call->callee && taken->key == call->key;
}

/* Takes some of the pending replies. Returns their number, or -ENOMEM. */
static int take_some(struct bus *bus, const struct group *group,
                     bool (*keep)(struct bus *bus, const struct group_call *call))
{
    struct umc_pending calls[SALVAGED];
    int found = umc_pending_list(group->fd, UMC_ANY, UMC_ANY, 0, calls, SALVAGED), taken = 0;
    for (int i = 0; i < found && i < (int)SALVAGED; i++) {
        if (umc_pending_take(group->fd, &calls[i]) < 0)
            continue;
        const struct group_call call = {.caller = member_at(group, calls[i].caller),
                                        .callee = member_at(group, calls[i].callee),
                                        .serial = calls[i].key,
                                        .age = calls[i].age_ms};
        if (!is_taken(group, &calls[i]) && !keep(bus, &call))
            return -ENOMEM;
        taken++;
    }
    return taken;
}

static bool take_calls(struct bus *bus, const struct group *group,
                       bool (*keep)(struct bus *bus, const struct group_call *call))
{
    const struct umc_pending *taken = taken_call(group);
    const struct group_call call = {.caller = atomic_load(&group->taking.caller),
                                    .callee = group->taking.callee,
                                    .serial = group->taking.call.key,
                                    .age = group->taking.call.age_ms,
                                    .doubtful = true};
    if (taken && !keep(bus, &call))
        return false;
    int n;
    do
        n = take_some(bus, group, keep);
    while (n > 0);
    return n == 0;
}

bool group_salvage(struct bus *bus, bool (*keep)(struct bus *bus, const struct group_call *call))
{
    struct group *group = bus->group;
    complete_writing(group->writing);
    if (group->failed) /* the relay has had all since then */
        return true;
    umc_gate(group->fd, true);
    bool done = group_quiesce(bus, spilled_salvage) && take_calls(bus, group, keep);
    close(group->fd);
    group->fd = -1;
    return done;
}
