/* SPDX-License-Identifier: MIT */
#include "accept/incomplete.h"

#include "accept/handshake.h"
#include "base/clock.h"
#include "send/output.h"
#include "state/log.h"

static void count(struct incompletes *incompletes)
{
    atomic_store_explicit(&incompletes->count, incompletes->n + incompletes->n_above, memory_order_relaxed);
}

void incomplete_add(struct bus *bus, struct incomplete *one, int64_t began)
{
    struct list *after = bus->incompletes.all.previous;
    while (after != &bus->incompletes.all && CONTAINER_OF(after, struct incomplete, in_all)->began > began)
        after = after->previous;
    one->began = began;
    list_append(after->next, &one->in_all);
    bus->incompletes.n++;
    count(&bus->incompletes);
}

void incomplete_remove(struct bus *bus, struct incomplete *one)
{
    if (!list_linked(&one->in_all))
        return;
    list_unlink(&one->in_all);
    bus->incompletes.n--;
    count(&bus->incompletes);
}

void incomplete_above(struct bus *bus, int32_t more)
{
    bus->incompletes.n_above += (uint32_t)more;
    count(&bus->incompletes);
}

static void incomplete_expire(struct bus *bus, struct incomplete *one)
{
    long long timeout = bus->limits.auth_timeout;
    if (!log_recurs(&bus->login_expired))
        log_line(
            bus, LOG_WARNING,
            "Connection has not authenticated soon enough, closing it (auth_timeout=%lldms, elapsed: %lldms)",
            timeout, timeout);
    incomplete_remove(bus, one);
    struct peer *peer = CONTAINER_OF(one, struct peer, incomplete);
    if (peer->handshake)
        handshake_free(bus, peer->handshake);
    else
        output_close(bus, peer, RELAY_GONE_DISCONNECTED);
}

int64_t incomplete_tick(struct bus *bus)
{
    struct list *all = &bus->incompletes.all;
    if (bus->limits.auth_timeout < 0)
        return -1;
    int64_t now = clock_now();
    while (!list_empty(all)) {
        struct incomplete *oldest = CONTAINER_OF(all->next, struct incomplete, in_all);
        int64_t left = oldest->began + bus->limits.auth_timeout - now;
        if (left > 0)
            return left;
        incomplete_expire(bus, oldest);
    }
    return -1;
}
