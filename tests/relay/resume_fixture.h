/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_TEST_RESUME_FIXTURE_H
#define OMNIBUS_TEST_RESUME_FIXTURE_H

/*
 * What a test needs to play both processes of an upgrade in one: the sections of the control plane, and a bus
 * that lets go of its descriptors, as if its process had executed another program.
 */

#include "../../transport/relay/accept/door.h"
#include "../../transport/relay/accept/handshake.h"
#include "../../transport/relay/base/crc32.h"
#include "../../transport/relay/resume/in_order.h"
#include "../../transport/relay/resume/state.h"
#include "../../transport/relay/state/held.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Bytes that grow; without memory the program ends. */
struct resume_bytes {
    uint8_t *data;
    size_t size;
};

static inline void resume_put(struct resume_bytes *b, const void *bytes, size_t size)
{
    b->data = realloc(b->data, b->size + size + 1);
    if (!b->data)
        abort();
    if (size > 0)
        memcpy(b->data + b->size, bytes, size);
    b->size += size;
}

static inline void resume_number(struct resume_bytes *b, uint64_t value, unsigned size)
{
    uint8_t bytes[8];
    for (unsigned i = 0; i < size; i++)
        bytes[i] = (uint8_t)(value >> (8 * i));
    resume_put(b, bytes, size);
}

static inline void resume_text(struct resume_bytes *b, const void *text, size_t size)
{
    resume_number(b, size, 4);
    resume_put(b, text, size);
}

/* The content becomes a section; it is freed. */
static inline struct resume_bytes resume_section(uint16_t type, uint16_t version, uint16_t flags,
                                                 struct resume_bytes content)
{
    struct resume_bytes head = {0};
    struct crc32 crc;
    crc32_begin(&crc);
    resume_number(&head, type, 2);
    resume_number(&head, version, 2);
    resume_number(&head, flags, 2);
    resume_number(&head, 0, 2);
    resume_number(&head, content.size, 8);
    uint32_t sum = content.size ? crc32_add(&crc, 0, content.data, content.size) : 0;
    resume_number(&head, crc32_add(&crc, sum, head.data, head.size), 4);
    resume_put(&head, content.data, content.size);
    free(content.data);
    return head;
}

static inline int resume_by_text(const void *a, const void *b)
{
    return strcmp((*(struct name *const *)a)->text, (*(struct name *const *)b)->text);
}

/* The place of a queue entry among the names of its peer. */
static inline uint32_t resume_place(const struct queue_entry *entry)
{
    uint32_t place = 0;
    LIST_FOR (at, &entry->peer->names.entries) {
        if (at == &entry->in_peer)
            break;
        place++;
    }
    return place;
}

/* The section of names that a control plane would write, whose table is the data plane's; by name. */
static inline struct resume_bytes resume_names(const struct bus *bus)
{
    struct resume_bytes b = {0};
    const struct table *table = &bus->registry.names;
    struct name **all = calloc((size_t)table->count + 1, sizeof(struct name *));
    uint32_t n = 0;
    if (!all)
        abort();
    for (struct table_node *node = NULL; (node = table_walk(table, node));)
        all[n++] = CONTAINER_OF(node, struct name, node);
    qsort(all, n, sizeof(struct name *), resume_by_text);
    resume_number(&b, n, 4);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t places = 0;
        LIST_FOR (at, &all[i]->queue)
            places++;
        resume_text(&b, all[i]->text, all[i]->size);
        resume_number(&b, places, 4);
        LIST_FOR (at, &all[i]->queue) {
            const struct queue_entry *entry = CONTAINER_OF(at, struct queue_entry, in_name);
            resume_number(&b, entry->peer->id, 8);
            resume_number(&b, 0, 4);
            resume_number(&b, resume_place(entry), 4);
        }
    }
    free(all);
    return resume_section(RELAY_STATE_NAMES, 1, STATE_CRITICAL, b);
}

static inline void resume_forget_fds(struct fds *fds)
{
    for (uint32_t i = 0; fds && i < fds->n; i++)
        fds->fd[i] = -1;
}

static inline void resume_forget_peer(struct peer *peer)
{
    peer->fd = -1;
    for (uint32_t i = 0; i < peer->input.n_fds; i++)
        peer->input.fds[i] = -1;
    for (struct delivery *at = peer->output.queue.first; at; at = at->next)
        resume_forget_fds(at->out->fds);
    if (peer->calls.held)
        resume_forget_fds(peer->calls.held->fds);
    LIST_FOR (at, &peer->calls.parked)
        resume_forget_fds(CONTAINER_OF(at, struct parked, in_sender)->held->fds);
}

/* The bus can be freed then without closing what the state has. */
static inline void resume_forget(struct bus *bus)
{
    for (struct table_node *node = NULL; (node = table_walk(&bus->peers, node));)
        resume_forget_peer(CONTAINER_OF(node, struct peer, node));
    LIST_FOR (at, &bus->doors)
        CONTAINER_OF(at, struct door, in_doors)->fd = -1;
    LIST_FOR (at, &bus->incompletes.all) {
        struct peer *peer = CONTAINER_OF(at, struct peer, incomplete.in_all);
        if (peer->handshake)
            peer->handshake->fd = -1;
    }
}

/* True if two states are equal. Otherwise says in which section they differ. */
static inline bool resume_same(const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size)
{
    size_t at = 0, head = STATE_HEADER;
    while (at < a_size && at < b_size && a[at] == b[at])
        at++;
    if (at == a_size && at == b_size)
        return true;
    for (uint64_t size; head + STATE_SECTION_HEADER <= at; head += STATE_SECTION_HEADER + (size_t)size) {
        memcpy(&size, a + head + 8, sizeof(size));
        if (at - head < STATE_SECTION_HEADER + size)
            break;
    }
    fprintf(stderr, "# of %zu and %zu bytes the first %zu are equal; section %u from %zu on\n", a_size,
            b_size, at, head < a_size ? a[head] : 0, head);
    return false;
}

/* What is not written but made anew, of one peer. */
struct resume_account {
    uint64_t id, bytes, fds, peak_bytes, queued_bytes, queued_fds, user_bytes;
    uint32_t n_claims, n_made, n_parked, n_names, user_active, user_backlogs;
};

/* Of all peers, by id; to be freed. */
static inline struct resume_account *resume_accounts(const struct bus *bus, uint32_t *n)
{
    struct peer **peers = peers_in_order(bus, n);
    struct resume_account *all = calloc((size_t)*n + 1, sizeof(*all));
    if (!peers || !all)
        abort();
    for (uint32_t i = 0; i < *n; i++) {
        struct peer *peer = peers[i];
        all[i] = (struct resume_account){.id = peer->id,
                                         .bytes = peer->account->bytes,
                                         .fds = peer->account->fds,
                                         .peak_bytes = peer->account->peak_bytes,
                                         .queued_bytes = peer->output.queued_bytes,
                                         .queued_fds = peer->output.queued_fds,
                                         .user_bytes = peer->user->queued_bytes,
                                         .n_claims = peer->names.n_claims,
                                         .n_made = peer->calls.n_made,
                                         .n_parked = peer->calls.n_parked,
                                         .user_active = peer->user->n_active,
                                         .user_backlogs = peer->user->n_backlogs};
        registry_names(peer, &all[i].n_names);
    }
    free(peers);
    return all;
}

#endif
