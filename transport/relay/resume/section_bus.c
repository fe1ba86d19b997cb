/* SPDX-License-Identifier: MIT */
#include "resume/resume_internal.h"

#include <stdio.h>

/* The bus as a whole: its numbers, limits, policy, catalogue and crashes. */

static uint64_t *const *bus_totals(struct bus *bus, uint64_t *list[12])
{
    struct bus_totals *t = &bus->totals;
    uint64_t *const all[12] = {&t->messages_in, &t->messages_out, &t->bytes_in, &t->bytes_out,
                               &t->broadcasts,  &t->refused,      &t->denied,   &t->wakeups,
                               &t->sends,       &t->receives,     &t->missed,   &bus->log_lost};
    memcpy(list, all, sizeof(all));
    return list;
}

static void bus_peaks(struct bus *bus, uint32_t *list[4])
{
    list[0] = &bus->totals.peak_matches;
    list[1] = &bus->totals.peak_matches_of_one;
    list[2] = &bus->registry.peak_claims;
    list[3] = &bus->registry.peak_claims_of_one;
}

void dump_bus(struct dump *d)
{
    struct bus *bus = d->bus;
    uint64_t *totals[12];
    uint32_t *peaks[4];
    bus_totals(bus, totals);
    bus_peaks(bus, peaks);
    state_put_text(d->w, span_of(bus->guid));
    state_put64(d->w, bus->n_ids);
    state_put64(d->w, bus->parking.next);
    state_put32(d->w, bus->serial);
    state_put32(d->w, bus->parking.n_starting);
    state_put8(d->w, bus->shut);
    for (size_t i = 0; i < sizeof(totals) / sizeof(*totals); i++)
        state_put64(d->w, *totals[i]);
    for (size_t i = 0; i < sizeof(peaks) / sizeof(*peaks); i++)
        state_put32(d->w, *peaks[i]);
    state_put64(d->w, bus->amnesty.below);
    state_put64(d->w, (uint64_t)bus->amnesty.until);
}

int restore_bus(struct restore *s)
{
    struct bus *bus = s->bus;
    uint64_t *totals[12];
    uint32_t *peaks[4];
    bus_totals(bus, totals);
    bus_peaks(bus, peaks);
    struct span guid = state_get_bytes(&s->r);
    if (guid.n != sizeof(bus->guid) - 1 || memchr(guid.s, 0, guid.n))
        return -EINVAL;
    memcpy(bus->guid, guid.s, guid.n);
    bus->n_ids = state_get64(&s->r);
    bus->parking.next = state_get64(&s->r);
    bus->serial = state_get32(&s->r);
    bus->parking.n_starting = state_get32(&s->r);
    bus->shut = state_get8(&s->r) != 0;
    for (size_t i = 0; i < sizeof(totals) / sizeof(*totals); i++)
        *totals[i] = state_get64(&s->r);
    for (size_t i = 0; i < sizeof(peaks) / sizeof(*peaks); i++)
        *peaks[i] = state_get32(&s->r);
    bus->amnesty.below = state_get64(&s->r);
    bus->amnesty.until = (int64_t)state_get64(&s->r);
    return 0;
}

/* Limits are 64 bits each, so that a wider field needs no new version. */
#define LIMIT_FIELDS(APPLY)                                                                                  \
    APPLY(max_incoming_bytes)                                                                                \
    APPLY(max_outgoing_bytes)                                                                                \
    APPLY(max_incoming_unix_fds)                                                                             \
    APPLY(max_outgoing_unix_fds)                                                                             \
    APPLY(max_message_size)                                                                                  \
    APPLY(max_message_unix_fds)                                                                              \
    APPLY(max_match_rules_per_connection)                                                                    \
    APPLY(max_replies_per_connection)                                                                        \
    APPLY(max_completed_connections)                                                                         \
    APPLY(max_connections_per_user)                                                                          \
    APPLY(max_names_per_connection)                                                                          \
    APPLY(max_incomplete_connections)                                                                        \
    APPLY(max_pending_service_starts)                                                                        \
    APPLY(auth_timeout)                                                                                      \
    APPLY(reply_timeout)                                                                                     \
    APPLY(pending_fd_timeout)

void dump_limits(struct dump *d)
{
    const struct relay_limits *limits = &d->bus->limits;
#define PUT_LIMIT(field) state_put64(d->w, (uint64_t)limits->field);
    LIMIT_FIELDS(PUT_LIMIT)
#undef PUT_LIMIT
}

int restore_limits(struct restore *s)
{
    struct relay_limits *limits = &s->bus->limits;
#define GET_LIMIT(field) limits->field = (__typeof__(limits->field))state_get64(&s->r);
    LIMIT_FIELDS(GET_LIMIT)
#undef GET_LIMIT
    return limits->max_message_size <= MESSAGE_MAX_SIZE ? 0 : -EINVAL;
}

void dump_policy(struct dump *d)
{
    state_put(d->w, d->bus->policy->block, d->bus->policy->block_size);
}

int restore_policy(struct restore *s)
{
    struct policy *policy;
    size_t size = (size_t)(s->r.end - s->r.at);
    int error = policy_new(&policy, state_get(&s->r, size), size, s->bus->policy->generation + 1);
    if (error < 0)
        return error;
    policy_free(s->bus->policy);
    s->bus->policy = policy;
    return 0;
}

void dump_catalog(struct dump *d)
{
    if (d->bus->catalog)
        state_put(d->w, d->bus->catalog->list, d->bus->catalog->size);
}

/* Without a follower it is never current: the control plane reads the directories before it is used. */
int restore_catalog(struct restore *s)
{
    size_t size = (size_t)(s->r.end - s->r.at);
    if (size == 0)
        return 0;
    return catalog_new(&s->bus->catalog, NULL, state_get(&s->r, size), size);
}

void dump_crashes(struct dump *d)
{
    const struct crashes *crashes = &d->bus->crashes;
    state_put32(d->w, crashes->n);
    for (uint32_t i = 0; i < crashes->n; i++) {
        state_put64(d->w, (uint64_t)crashes->all[i].when);
        state_put64(d->w, crashes->all[i].peer);
        state_put32(d->w, crashes->all[i].signal);
    }
}

#define CRASH_SIZE 20u

int restore_crashes(struct restore *s)
{
    struct crashes *crashes = &s->bus->crashes;
    uint32_t n = state_count(&s->r, CRASH_SIZE);
    if (n > CRASHES_MAX)
        return -EINVAL;
    for (; crashes->n < n; crashes->n++) {
        struct crash *crash = &crashes->all[crashes->n];
        crash->when = (int64_t)state_get64(&s->r);
        crash->peer = state_get64(&s->r);
        crash->signal = state_get32(&s->r);
    }
    return 0;
}
