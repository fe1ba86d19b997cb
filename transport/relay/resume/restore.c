/* SPDX-License-Identifier: MIT */
#include "resume/resume_internal.h"

#include <stdio.h>
#include <stdlib.h>

/* In this order, as a section may refer to what the ones before it have made. */
static const struct {
    int (*restore)(struct restore *s);
    enum relay_state_section type;
    uint16_t version; /* the latest that is known */
    bool optional;
    const char *name;
} sections_of_state[] = {
    {restore_bus, RELAY_STATE_BUS, 1, false, "bus"},
    {restore_limits, RELAY_STATE_LIMITS, 1, false, "limits"},
    {restore_policy, RELAY_STATE_POLICY, 1, false, "policy"},
    {restore_mediation, RELAY_STATE_MEDIATION, 1, true, "mediation"},
    {restore_catalog, RELAY_STATE_CATALOG, 1, false, "catalog"},
    {restore_descriptor_table, RELAY_STATE_DESCRIPTORS, 1, false, "descriptors"},
    {restore_sets, RELAY_STATE_FDS, 1, false, "fds"},
    {restore_doors, RELAY_STATE_DOORS, 1, false, "doors"},
    {restore_peers, RELAY_STATE_PEERS, 1, false, "peers"},
    {restore_rules, RELAY_STATE_RULES, 1, false, "rules"},
    {restore_monitors, RELAY_STATE_MONITORS, 1, false, "monitors"},
    {restore_names, RELAY_STATE_NAMES, 1, false, "names"},
    {restore_replies, RELAY_STATE_REPLIES, 1, false, "replies"},
    {restore_messages, RELAY_STATE_MESSAGES, 1, false, "messages"},
    {restore_queues, RELAY_STATE_QUEUES, 1, false, "queues"},
    {restore_held, RELAY_STATE_HELD, 1, false, "held"},
    {restore_parked, RELAY_STATE_PARKED, 1, false, "parked"},
    {restore_awaited, RELAY_STATE_AWAITED, 1, false, "awaited"},
    {restore_handshakes, RELAY_STATE_HANDSHAKES, 1, false, "handshakes"},
    {restore_handed_up, RELAY_STATE_HANDED_UP, 1, true, "handed up"},
    {restore_crashes, RELAY_STATE_CRASHES, 1, true, "crashes"},
    {restore_instances, RELAY_STATE_INSTANCES, 1, true, "instances"},
    {restore_observers, RELAY_STATE_OBSERVERS, 1, true, "observers"},
};

#define SECTIONS_OF_STATE (sizeof(sections_of_state) / sizeof(*sections_of_state))

static int restore_section(struct restore *s, size_t i, char *why, size_t why_size)
{
    const struct state_place *place = &s->view->places[sections_of_state[i].type];
    const char *name = sections_of_state[i].name;
    if (!place->content && sections_of_state[i].optional)
        return 0;
    if (!place->content)
        return refuse_restore(why, why_size, -EINVAL, "the state lacks a section", name);
    if (place->version == 0 || place->version > sections_of_state[i].version)
        return refuse_restore(why, why_size, -EINVAL, "the state has a later version of a section", name);
    s->r = state_section(s->view, sections_of_state[i].type);
    int error = sections_of_state[i].restore(s);
    if (error == 0 && !state_at_end(&s->r))
        error = -EINVAL;
    if (error == -EINVAL && s->no_memory)
        error = -ENOMEM;
    return error == 0 ? 0 : refuse_restore(why, why_size, error, "the state has a wrong section", name);
}

static int by_fd(const void *a, const void *b)
{
    const struct descriptor *left = a, *right = b;
    return left->fd < right->fd ? -1 : left->fd > right->fd;
}

/* Each descriptor has one owner, and each set and each message is in use. */
static int check_references(struct restore *s, char *why, size_t why_size)
{
    bool right = true;
    qsort(s->descriptors, s->n_descriptors, sizeof(*s->descriptors), by_fd);
    for (uint32_t i = 0; i < s->n_descriptors; i++) {
        right &= s->descriptors[i].slot != NULL;
        right &= i == 0 || s->descriptors[i - 1].fd != s->descriptors[i].fd;
    }
    for (uint32_t i = 0; i < s->n_sets; i++)
        right &= s->sets[i]->references > 1;
    for (uint32_t i = 0; i < s->n_messages; i++)
        right &= s->messages[i]->references > 1;
    return right ? 0
                 : refuse_restore(why, why_size, -EINVAL, "the state has something twice or for nothing",
                                  "references");
}

/* Checks that the descriptors are those of the state. */
static int check_descriptors(const struct restore *s, char *why, size_t why_size)
{
    for (uint32_t i = 0; !s->rehearsal && i < s->n_descriptors; i++) {
        const struct descriptor *one = &s->descriptors[i];
        uint64_t device, inode;
        char number[16];
        snprintf(number, sizeof(number), "%d", one->fd);
        if (!descriptor_identity(one->fd, &device, &inode))
            return refuse_restore(why, why_size, -errno, "a descriptor of the state is not open", number);
        if (device != one->device || inode != one->inode)
            return refuse_restore(why, why_size, -ESTALE, "a descriptor of the state is another one", number);
    }
    return 0;
}

static void restore_free(struct restore *s)
{
    handed_up_free(s);
    for (uint32_t i = 0; i < s->n_messages; i++)
        outgoing_unref(s->messages[i]);
    for (uint32_t i = 0; i < s->n_sets; i++)
        fds_unref(s->sets[i]);
    account_unref(s->gone);
    free(s->messages);
    free(s->sets);
    free(s->doors);
    free(s->descriptors);
}

int restore(struct bus *bus, const uint8_t *state, size_t size, bool rehearsal, char *why, size_t why_size)
{
    struct state_view view;
    struct restore s = {.bus = bus, .view = &view, .rehearsal = rehearsal};
    int error = state_open(&view, state, size, true, why, why_size);
    bus->frozen = true;
    for (size_t i = 0; error == 0 && i < SECTIONS_OF_STATE; i++)
        error = restore_section(&s, i, why, why_size);
    if (error == 0)
        error = check_references(&s, why, why_size);
    if (error == 0)
        error = check_descriptors(&s, why, why_size);
    if (error == 0)
        error = restore_end(&s, why, why_size);
    restore_free(&s);
    return error;
}
