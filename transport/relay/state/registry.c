/* SPDX-License-Identifier: MIT */
#include "state/registry.h"

#include "state/peer.h"

#include <errno.h>
#include <stdlib.h>

int registry_init(struct registry *registry, struct policy *const *policy)
{
    registry->policy = policy;
    if (table_init(&registry->names) < 0)
        return -1;
    return table_init(&registry->handed);
}

/* A role is looked up by all names of a peer, of which there may be thousands, and hardly any is in a rule.
 */
static void names_changed(const struct registry *registry, struct peer *peer, const struct name *name)
{
    peer->names.known_valid = false;
    if (!*registry->policy || policy_mentions(*registry->policy, name_span(name)))
        peer->policy.generation = 0;
}

void registry_enter(struct registry *registry, struct peer *peer)
{
    struct peer_statistics *s = &peer->statistics;
    peer->names.n_claims++;
    registry->n_claims++;
    if (peer->names.n_claims > s->peak_claims)
        s->peak_claims = peer->names.n_claims;
    if (peer->names.n_claims > registry->peak_claims_of_one)
        registry->peak_claims_of_one = peer->names.n_claims;
    if (registry->n_claims > registry->peak_claims)
        registry->peak_claims = registry->n_claims;
}

void registry_give_up(struct registry *registry, struct peer *peer)
{
    peer->names.n_claims--;
    registry->n_claims--;
}

static void queue_entry_free(struct registry *registry, struct queue_entry *entry)
{
    names_changed(registry, entry->peer, entry->name);
    registry_give_up(registry, entry->peer);
    list_unlink(&entry->in_name);
    list_unlink(&entry->in_peer);
    free(entry);
}

static void name_drop(struct registry *registry, struct name *name)
{
    LIST_FOR_SAFE (at, after, &name->queue)
        queue_entry_free(registry, CONTAINER_OF(at, struct queue_entry, in_name));
    table_remove(&registry->names, &name->node);
    free(name);
}

void registry_free(struct registry *registry)
{
    struct table_node *node;
    while (registry->names.buckets && (node = table_any(&registry->names)))
        name_drop(registry, CONTAINER_OF(node, struct name, node));
    while (registry->handed.buckets && (node = table_any(&registry->handed))) {
        table_remove(&registry->handed, node);
        free(CONTAINER_OF(node, struct handed, node));
    }
    table_free(&registry->names);
    table_free(&registry->handed);
}

struct name *registry_find(const struct registry *registry, struct span text)
{
    struct table_node *node = table_first(&registry->names, hash_text(&registry->names.key, text));
    for (; node; node = table_again(node)) {
        struct name *name = CONTAINER_OF(node, struct name, node);
        if (span_equal(name_span(name), text))
            return name;
    }
    return NULL;
}

struct peer *name_owner(const struct name *name)
{
    if (!name || list_empty(&name->queue))
        return NULL;
    return CONTAINER_OF(name->queue.next, struct queue_entry, in_name)->peer;
}

struct peer *name_only_claimant(const struct name *name)
{
    return name && name->queue.next == name->queue.previous ? name_owner(name) : NULL;
}

void name_set_flags(struct name *name, uint32_t flags)
{
    CONTAINER_OF(name->queue.next, struct queue_entry, in_name)->flags = flags;
}

struct peer *name_second(const struct name *name)
{
    const struct list *second = name->queue.next->next;
    return second == &name->queue ? NULL : CONTAINER_OF(second, struct queue_entry, in_name)->peer;
}

struct span name_span(const struct name *name)
{
    return (struct span){name->text, name->size};
}

void name_free(struct name *name)
{
    if (!name)
        return;
    LIST_FOR_SAFE (at, after, &name->queue)
        free(CONTAINER_OF(at, struct queue_entry, in_name));
    free(name);
}

struct name *name_new(struct span text, uint32_t places)
{
    struct name *name = calloc(1, sizeof(*name) + text.n + 1);
    if (!name)
        return NULL;
    list_init(&name->queue);
    name->size = text.n;
    memcpy(name->text, text.s, text.n);
    for (uint32_t i = 0; i < places; i++) {
        struct queue_entry *entry = calloc(1, sizeof(*entry));
        if (!entry) {
            name_free(name);
            return NULL;
        }
        entry->name = name;
        list_append(&name->queue, &entry->in_name);
    }
    return name;
}

void registry_state(struct registry *registry, struct name *name)
{
    struct name *old = registry_find(registry, name_span(name));
    if (old)
        name_drop(registry, old);
    if (list_empty(&name->queue)) {
        name_free(name);
        return;
    }
    table_insert(&registry->names, &name->node, hash_text(&registry->names.key, name_span(name)));
    LIST_FOR (at, &name->queue) {
        struct queue_entry *entry = CONTAINER_OF(at, struct queue_entry, in_name);
        list_append(&entry->peer->names.entries, &entry->in_peer);
        registry_enter(registry, entry->peer);
        names_changed(registry, entry->peer, name);
    }
}

int registry_set_queue(struct registry *registry, struct span text, struct peer *const *peers, uint32_t n)
{
    struct name *name = name_new(text, n);
    if (!name)
        return -ENOMEM;
    LIST_FOR (at, &name->queue)
        CONTAINER_OF(at, struct queue_entry, in_name)->peer = *peers++;
    registry_state(registry, name);
    return 0;
}

void registry_leave_queue(struct registry *registry, struct name *name, struct peer *peer)
{
    bool owned = name_owner(name) == peer;
    LIST_FOR_SAFE (at, after, &name->queue) {
        struct queue_entry *entry = CONTAINER_OF(at, struct queue_entry, in_name);
        if (entry->peer != peer)
            continue;
        queue_entry_free(registry, entry);
        break;
    }
    if (list_empty(&name->queue))
        name_drop(registry, name);
    else if (owned)
        names_changed(registry, name_owner(name), name);
}

void registry_leave(struct registry *registry, struct peer *peer)
{
    LIST_FOR_SAFE (at, after, &peer->names.entries) {
        struct queue_entry *entry = CONTAINER_OF(at, struct queue_entry, in_peer);
        struct name *name = entry->name;
        queue_entry_free(registry, entry);
        if (list_empty(&name->queue))
            name_drop(registry, name);
    }
}

struct handed *registry_handed(const struct registry *registry, struct span text)
{
    if (registry->handed.count == 0)
        return NULL;
    struct table_node *node = table_first(&registry->handed, hash_text(&registry->handed.key, text));
    for (; node; node = table_again(node)) {
        struct handed *handed = CONTAINER_OF(node, struct handed, node);
        if (span_equal((struct span){handed->text, handed->size}, text))
            return handed;
    }
    return NULL;
}

struct handed *registry_hand_up(struct registry *registry, struct span text)
{
    struct handed *handed = registry_handed(registry, text);
    if (!handed && (handed = calloc(1, sizeof(*handed) + text.n))) {
        handed->size = text.n;
        memcpy(handed->text, text.s, text.n);
        table_insert(&registry->handed, &handed->node, hash_text(&registry->handed.key, text));
    }
    if (handed)
        handed->reasons++;
    return handed;
}

void registry_hand_back(struct registry *registry, struct handed *handed)
{
    if (--handed->reasons > 0)
        return;
    table_remove(&registry->handed, &handed->node);
    free(handed);
}

static uint32_t owned_names(const struct peer *peer, struct span *out)
{
    uint32_t n = 0;
    LIST_FOR (at, &peer->names.entries) {
        const struct name *name = CONTAINER_OF(at, struct queue_entry, in_peer)->name;
        if (name_owner(name) != peer)
            continue;
        if (out)
            out[n] = name_span(name);
        n++;
    }
    return n;
}

const struct span *registry_names(struct peer *peer, uint32_t *n)
{
    if (!peer->names.known_valid) {
        uint32_t owned = owned_names(peer, NULL);
        struct span *known = owned ? realloc(peer->names.known, ((size_t)owned + 1) * sizeof(*known)) : NULL;
        peer->names.n_known = 0;
        if (known) {
            known[0] = peer->unique;
            peer->names.n_known = owned_names(peer, known + 1) + 1;
            peer->names.known = known;
        }
        /* without memory, the next message tries again */
        peer->names.known_valid = known || owned == 0;
    }
    *n = peer->names.n_known ? peer->names.n_known : 1;
    return peer->names.n_known ? peer->names.known : &peer->unique;
}
