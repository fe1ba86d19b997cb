/* SPDX-License-Identifier: MIT */
#include "resume/resume_internal.h"

#include "send/listeners.h"
#include "state/monitor_rules.h"

#include <stdlib.h>

/*
 * Match rules, and those of monitors, as texts in their order: other versions may have another index; and the
 * connections that learn which rules there are.
 */

/* Without a rule that a bus was adding when it ended: it is not counted yet. */
static const struct match_rule *next_rule(const struct match_list *list, const struct match_rule *rule)
{
    do
        rule = match_list_next(list, rule);
    while (rule && match_rule_copies(rule) == 0);
    return rule;
}

/* The number of rules that follow, equal ones counted once. */
static uint32_t distinct(const struct match_list *list)
{
    uint32_t n = 0;
    for (const struct match_rule *rule = NULL; (rule = next_rule(list, rule));)
        n++;
    return n;
}

static void dump_list(struct dump *d, const struct match_list *list)
{
    char text[MATCH_MAX_CANONICAL + 1];
    state_put32(d->w, distinct(list));
    for (const struct match_rule *rule = NULL; (rule = next_rule(list, rule));) {
        size_t n = match_rule_text(rule, text, sizeof(text));
        state_put32(d->w, match_rule_copies(rule));
        state_put_bytes(d->w, text, n);
    }
}

static int restore_one_rule(struct restore *s, struct match_index *index, struct match_list *list)
{
    struct match_rule *rule;
    uint32_t copies = state_get32(&s->r), most = UINT32_MAX / 4;
    int error = match_rule_parse_canonical(state_get_bytes(&s->r), &rule);
    if (error < 0)
        return error;
    if (copies == 0 || copies > most - match_index_count(index)) {
        match_rule_free(rule);
        return -EINVAL;
    }
    struct match_rule *added = match_index_add(index, list, rule);
    if (!added) {
        match_rule_free(rule);
        return -ENOMEM;
    }
    match_index_repeat(index, added, copies - 1);
    return match_rule_copies(added) == copies ? 0 : -EINVAL; /* each is written once */
}

#define RULE_SIZE 8u /* at least */

static int restore_list(struct restore *s, struct match_index *index, struct match_list *list)
{
    uint32_t n = state_count(&s->r, RULE_SIZE);
    int error = 0;
    for (uint32_t i = 0; error == 0 && i < n; i++)
        error = restore_one_rule(s, index, list);
    return error;
}

void dump_rules(struct dump *d)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < d->n_peers; i++)
        n += match_list_count(d->peers[i]->matches) > 0;
    state_put32(d->w, n);
    for (uint32_t i = 0; i < d->n_peers; i++) {
        const struct peer *peer = d->peers[i];
        if (match_list_count(peer->matches) == 0)
            continue;
        state_put64(d->w, peer->id);
        dump_list(d, peer->matches);
    }
}

int restore_rules(struct restore *s)
{
    uint32_t n = state_count(&s->r, 12);
    for (uint32_t i = 0; i < n; i++) {
        struct peer *peer = restore_peer(s);
        if (!peer || peer->matches)
            return -EINVAL;
        peer->matches = match_list_new(peer);
        if (!peer->matches)
            return -ENOMEM;
        int error = restore_list(s, s->bus->matches, peer->matches);
        if (error < 0)
            return error;
    }
    return 0;
}

void dump_monitors(struct dump *d)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < d->n_peers; i++)
        n += d->peers[i]->monitor != NULL;
    state_put32(d->w, n);
    for (uint32_t i = 0; i < d->n_peers; i++) {
        const struct monitor *monitor = d->peers[i]->monitor;
        if (!monitor)
            continue;
        state_put64(d->w, d->peers[i]->id);
        state_put8(d->w, monitor->watching);
        dump_list(d, monitor->list);
    }
}

static int restore_monitor(struct restore *s, struct peer *peer)
{
    struct bus *bus = s->bus;
    struct match_list *list = match_list_new(peer);
    struct monitor *monitor = restore_array(s, 1, sizeof(*monitor));
    if (!list || !monitor) {
        free(list);
        free(monitor);
        return -ENOMEM;
    }
    monitor->list = list;
    peer->monitor = monitor;
    monitor->watching = state_get8(&s->r) != 0;
    bus->monitors.count += monitor->watching;
    return restore_list(s, bus->monitors.rules, list);
}

/* A monitor has given up its unique name; the others claim theirs. */
static void claim_unique_names(struct bus *bus)
{
    struct table_node *node = NULL;
    while ((node = table_walk(&bus->peers, node))) {
        struct peer *peer = CONTAINER_OF(node, struct peer, node);
        if (peer->active && !peer->monitor)
            registry_enter(&bus->registry, peer);
    }
}

int restore_monitors(struct restore *s)
{
    uint32_t n = state_count(&s->r, 13);
    for (uint32_t i = 0; i < n; i++) {
        struct peer *peer = restore_peer(s);
        if (!peer || !peer->active || peer->monitor)
            return -EINVAL;
        int error = restore_monitor(s, peer);
        if (error < 0)
            return error;
    }
    claim_unique_names(s->bus);
    return 0;
}

/*
 * The connections that learn who listens to them. The section is left out of most states, so that a program
 * that does not know it can read these; it may not read others, since an observer would miss changes and not
 * know. After a crash there are no observers: each was told that it has missed changes.
 */

bool has_observers(const struct dump *d)
{
    return !d->salvaged && !list_empty(&d->bus->observers);
}

void dump_observers(struct dump *d)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < d->n_peers; i++)
        n += list_linked(&d->peers[i]->in_observers);
    state_put32(d->w, n);
    for (uint32_t i = 0; i < d->n_peers; i++) {
        if (list_linked(&d->peers[i]->in_observers))
            state_put64(d->w, d->peers[i]->id);
    }
}

int restore_observers(struct restore *s)
{
    uint32_t n = state_count(&s->r, 8);
    if (n == 0 || n > LISTENERS_MAX)
        return -EINVAL;
    for (; n > 0; n--) {
        struct peer *peer = restore_peer(s);
        if (!peer || !peer->active || peer->monitor || list_linked(&peer->in_observers))
            return -EINVAL;
        list_append(&s->bus->observers, &peer->in_observers);
    }
    return 0;
}
