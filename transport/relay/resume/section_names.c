/* SPDX-License-Identifier: MIT */
#include "resume/resume_internal.h"

#include <stdlib.h>

/*
 * The queues of well-known names. The control plane writes them in an upgrade, as it alone knows in which
 * order each peer has made its requests: a queue that it sets is made of new entries here (registry.c). After
 * a crash, when it is no longer there, they are written here, in the order of those.
 */

void dump_names(struct dump *d)
{
    const struct table *names = &d->bus->registry.names;
    uint32_t n = 0;
    for (uint32_t i = 0; i < d->n_peers; i++) {
        uint32_t place = 0;
        LIST_FOR (at, &d->peers[i]->names.entries)
            CONTAINER_OF(at, struct queue_entry, in_peer)->place = place++;
    }
    for (struct table_node *node = NULL; (node = table_walk(names, node));)
        n++;
    state_put32(d->w, n);
    for (struct table_node *node = NULL; (node = table_walk(names, node));) {
        const struct name *name = CONTAINER_OF(node, struct name, node);
        uint32_t places = 0;
        LIST_FOR (at, &name->queue)
            places++;
        state_put_bytes(d->w, name->text, name->size);
        state_put32(d->w, places);
        LIST_FOR (at, &name->queue) {
            const struct queue_entry *entry = CONTAINER_OF(at, struct queue_entry, in_name);
            state_put64(d->w, entry->peer->id);
            state_put32(d->w, entry->flags);
            state_put32(d->w, entry->place);
        }
    }
}

/* A request, and where it stands in the section. */
struct request {
    struct queue_entry *entry;
    uint64_t peer;
    uint32_t place; /* among those of its peer */
    uint32_t name;
};

struct requests {
    struct request *all;
    uint32_t n, room;
};

static int by_place(const void *a, const void *b)
{
    const struct request *left = a, *right = b;
    if (left->peer != right->peer)
        return left->peer < right->peer ? -1 : 1;
    return left->place < right->place ? -1 : left->place > right->place;
}

static int by_name(const void *a, const void *b)
{
    const struct request *left = a, *right = b;
    if (left->peer != right->peer)
        return left->peer < right->peer ? -1 : 1;
    return left->name < right->name ? -1 : left->name > right->name;
}

#define REQUEST_SIZE 16u

/* Reads the requests for one name, and gives it to the registry. */
static int restore_queue_of(struct restore *s, struct requests *requests, uint32_t number)
{
    struct registry *registry = &s->bus->registry;
    struct span text = state_get_bytes(&s->r);
    uint32_t n = state_count(&s->r, REQUEST_SIZE);
    if (n == 0 || !name_is_well_known(text) || registry_find(registry, text))
        return -EINVAL;
    struct name *name = name_new(text, n);
    if (!name)
        return -ENOMEM;
    LIST_FOR (at, &name->queue) {
        struct queue_entry *entry = CONTAINER_OF(at, struct queue_entry, in_name);
        struct peer *peer = restore_peer(s);
        entry->flags = state_get32(&s->r);
        uint32_t place = state_get32(&s->r);
        if (!peer || !peer->active) {
            name_free(name);
            return -EINVAL;
        }
        entry->peer = peer;
        requests->all[requests->n++] = (struct request){entry, peer->id, place, number};
    }
    registry_state(registry, name);
    return 0;
}

/* True if no peer waits twice for a name, and the places of each are 0, 1, ... */
static bool are_in_order(struct requests *requests)
{
    struct request *all = requests->all;
    qsort(all, requests->n, sizeof(*all), by_name);
    for (uint32_t i = 1; i < requests->n; i++) {
        if (by_name(&all[i - 1], &all[i]) == 0)
            return false;
    }
    qsort(all, requests->n, sizeof(*all), by_place);
    for (uint32_t i = 0; i < requests->n; i++) {
        bool first = i == 0 || all[i - 1].peer != all[i].peer;
        if (all[i].place != (first ? 0 : all[i - 1].place + 1))
            return false;
    }
    return true;
}

static int restore_requests(struct restore *s, struct requests *requests)
{
    uint32_t n = state_count(&s->r, 8 + REQUEST_SIZE);
    for (uint32_t i = 0; i < n; i++) {
        int error = restore_queue_of(s, requests, i);
        if (error < 0)
            return error;
    }
    if (!are_in_order(requests))
        return -EINVAL;
    /* each peer's names were listed in the order of the section */
    for (uint32_t i = 0; i < requests->n; i++) {
        struct queue_entry *entry = requests->all[i].entry;
        list_unlink(&entry->in_peer);
        list_append(&entry->peer->names.entries, &entry->in_peer);
    }
    return 0;
}

int restore_names(struct restore *s)
{
    struct requests requests = {0};
    requests.all = restore_array(s, (size_t)(s->r.end - s->r.at) / REQUEST_SIZE, sizeof(*requests.all));
    int error = requests.all ? restore_requests(s, &requests) : -ENOMEM;
    free(requests.all);
    return error;
}
