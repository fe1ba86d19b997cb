/* SPDX-License-Identifier: MIT */
#include "resume/resume_internal.h"

#include "resume/in_order.h"

#include <stdio.h>
#include <stdlib.h>

static bool is_mediated(const struct dump *d)
{
    return d->bus->mediation != NULL;
}

/* In this order, as a section may refer to what the ones before it have noted. */
static const struct {
    void (*dump)(struct dump *d);
    enum relay_state_section type;
    uint16_t version;
    bool salvaged; /* only in a state that is salvaged: in others the control plane's, or left out */
    bool critical; /* a reader that does not know it can't go on */
    bool (*needed)(const struct dump *d); /* NULL: always */
} sections_of_bus[] = {
    {dump_bus, RELAY_STATE_BUS, 1, false, true, NULL},
    {dump_limits, RELAY_STATE_LIMITS, 1, false, true, NULL},
    {dump_policy, RELAY_STATE_POLICY, 1, false, true, NULL},
    {dump_mediation, RELAY_STATE_MEDIATION, 1, false, true, is_mediated},
    {dump_catalog, RELAY_STATE_CATALOG, 1, false, true, NULL},
    {dump_doors, RELAY_STATE_DOORS, 1, false, true, NULL},
    {dump_peers, RELAY_STATE_PEERS, 1, false, true, NULL},
    {dump_rules, RELAY_STATE_RULES, 1, false, true, NULL},
    {dump_monitors, RELAY_STATE_MONITORS, 1, false, true, NULL},
    {dump_replies, RELAY_STATE_REPLIES, 1, false, true, NULL},
    {dump_queues, RELAY_STATE_QUEUES, 1, false, true, NULL},
    {dump_messages, RELAY_STATE_MESSAGES, 1, false, true, NULL},
    {dump_held, RELAY_STATE_HELD, 1, false, true, NULL},
    {dump_parked, RELAY_STATE_PARKED, 1, false, true, NULL},
    {dump_awaited, RELAY_STATE_AWAITED, 1, false, true, NULL},
    {dump_handshakes, RELAY_STATE_HANDSHAKES, 1, false, true, NULL},
    {dump_sets, RELAY_STATE_FDS, 1, false, true, NULL},
    {dump_names, RELAY_STATE_NAMES, 1, true, true, NULL},
    {dump_crashes, RELAY_STATE_CRASHES, 1, true, false, NULL},
    {dump_instances, RELAY_STATE_INSTANCES, 1, false, true, has_instances},
    {dump_observers, RELAY_STATE_OBSERVERS, 1, false, true, has_observers},
    {dump_descriptors, RELAY_STATE_DESCRIPTORS, 1, false, true, NULL},
};

static int refuse_dump(struct dump_result *result, int error, const char *why, uint32_t number)
{
    snprintf(result->why, sizeof(result->why), "%s (%u)", why, number);
    return error;
}

/* 0 if all that was begun is over, so that tables are all there is. */
static int dump_allowed(const struct bus *bus, struct dump_result *result)
{
    uint32_t n_left = atomic_load_explicit(&bus->n_left, memory_order_acquire);
    if (!bus->frozen)
        return refuse_dump(result, -EINVAL, "the bus is not frozen", 0);
    if (bus->group_ops)
        return refuse_dump(result, -EOPNOTSUPP, "connections are in a group of unix_multicast(7)", 0);
    if (bus->n_lost + n_left > 0)
        return refuse_dump(result, -EAGAIN, "connections are leaving", bus->n_lost + n_left);
    if (!stack_empty(&bus->events->stack))
        return refuse_dump(result, -EAGAIN, "events have not been taken", 0);
    return 0;
}

/* False: no memory. */
static bool list_peers(struct dump *d)
{
    d->peers = peers_in_order(d->bus, &d->n_peers);
    bool listed = d->peers != NULL;
    for (uint32_t i = 0, place; listed && i < d->n_peers; i++)
        listed = pointer_map_add(&d->accounts, d->peers[i]->account, &place);
    return listed;
}

static void dump_all(struct dump *d, const uint8_t *sections, size_t size)
{
    for (size_t i = 0; i < sizeof(sections_of_bus) / sizeof(*sections_of_bus); i++) {
        if (sections_of_bus[i].salvaged && !d->salvaged)
            continue;
        if (sections_of_bus[i].needed && !sections_of_bus[i].needed(d))
            continue;
        state_section_begin(d->w, (uint16_t)sections_of_bus[i].type, sections_of_bus[i].version,
                            sections_of_bus[i].critical);
        sections_of_bus[i].dump(d);
        state_section_end(d->w);
    }
    state_append(d->w, sections, size, (uint32_t)state_check_sections(sections, size));
}

int dump(struct bus *bus, int fd, const uint8_t *sections, size_t size, struct dump_result *result)
{
    freeze_settle(bus);
    int error = dump_allowed(bus, result);
    return error < 0 ? error : dump_tables(bus, fd, sections, size, false, result);
}

int dump_tables(struct bus *bus, int fd, const uint8_t *sections, size_t size, bool salvaged,
                struct dump_result *result)
{
    struct dump d = {.bus = bus, .salvaged = salvaged};
    int error = -ENOMEM;
    d.w = malloc(sizeof(*d.w));
    if (d.w && list_peers(&d)) {
        state_write_begin(d.w, fd);
        dump_all(&d, sections, size);
        error = state_write_end(d.w, &result->size);
    }
    if (error < 0)
        refuse_dump(result, error, strerror(-error), 0);
    result->n_descriptors = d.n_fds;
    pointer_map_free(&d.accounts);
    pointer_map_free(&d.messages);
    pointer_map_free(&d.sets);
    free(d.peers);
    free(d.fds);
    free(d.w);
    return error;
}
