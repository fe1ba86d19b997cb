/* SPDX-License-Identifier: MIT */
#include "plan.h"

#include "resume/state_write.h"
#include "state/inbox.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* docs/understanding/state.md has the contents of each section. */

#define AMNESTY 600000 /* milliseconds in which calls from before may be answered */
#define SPARE_IDS 64u  /* connections that came and left again while nothing was asked */

struct writing {
    struct state_writer *w;
    const struct plan *plan;
};

/* The client at the descriptor of a unique name. Each was found, or nothing is written. */
static const struct traffic_client *client_of(const struct plan *plan, uint64_t id)
{
    int fd = traffic_fd(plan->traffic, id);
    return fd < 0 ? NULL : traffic_client(plan->traffic, (uint64_t)fd);
}

static void plan_fail(struct writing *p, int error)
{
    if (p->w->error == 0)
        p->w->error = error;
}

static void write_bus(struct writing *p)
{
    const struct plan *plan = p->plan;
    struct state_reader draft = state_section(&plan->draft, RELAY_STATE_BUS);
    state_get_bytes(&draft);
    state_get64(&draft);
    uint64_t parked = state_get64(&draft), latest = 0;
    if (draft.failed)
        plan_fail(p, -EINVAL);
    for (uint32_t i = 0; i < plan->snapshot->n_ids; i++)
        latest = plan->snapshot->ids[i] > latest ? plan->snapshot->ids[i] : latest;
    state_put_text(p->w, span_of(plan->snapshot->guid));
    uint64_t next = latest + plan->traffic->n_accepted + SPARE_IDS;
    state_put64(p->w, next);
    state_put64(p->w, parked);
    state_put32(p->w, 0); /* its serials begin anew */
    state_put32(p->w, 0);
    state_put8(p->w, 0);
    for (int i = 0; i < 12; i++)
        state_put64(p->w, 0);
    for (int i = 0; i < 4; i++)
        state_put32(p->w, 0);
    state_put64(p->w, next);
    state_put64(p->w, (uint64_t)(plan->now + AMNESTY));
}

static void write_descriptor(struct writing *p, int fd)
{
    const struct socket_entry *entry = fd < 0 ? NULL : sockets_at(p->plan->sockets, (uint64_t)fd);
    if (!entry) {
        plan_fail(p, -EBADF);
        return;
    }
    state_put32(p->w, (uint32_t)fd);
    state_put64(p->w, entry->device);
    state_put64(p->w, entry->inode);
}

/* Doors first, then clients by id: their places are known from that. */
static void write_descriptors(struct writing *p)
{
    const struct snapshot *snapshot = p->plan->snapshot;
    state_put32(p->w, p->plan->n_doors + snapshot->n_ids);
    for (uint32_t i = 0; i < p->plan->n_doors; i++)
        write_descriptor(p, p->plan->doors[i].fd);
    for (uint32_t i = 0; i < snapshot->n_ids; i++)
        write_descriptor(p, traffic_fd(p->plan->traffic, snapshot->ids[i]));
}

static void write_doors(struct writing *p)
{
    state_put32(p->w, p->plan->n_doors);
    for (uint32_t i = 0; i < p->plan->n_doors; i++) {
        state_put32(p->w, i);
        state_put32(p->w, i);
        state_put8(p->w, 1);
        state_put_text(p->w, span_of(p->plan->doors[i].guid));
    }
}

/* The door that a client came from: accept(2) gives its name to the new socket. */
static uint32_t door_of(const struct plan *plan, const struct socket_entry *entry)
{
    for (uint32_t i = 0; i < plan->n_doors; i++) {
        const struct socket_entry *door = sockets_at(plan->sockets, (uint64_t)plan->doors[i].fd);
        if (door && door->name_size == entry->name_size &&
            memcmp(&door->name, &entry->name, door->name_size) == 0)
            return i;
    }
    return STATE_NONE;
}

static void write_credentials(struct writing *p, const struct socket_peer *peer)
{
    state_put32(p->w, peer->uid);
    state_put32(p->w, peer->pid);
    state_put32(p->w, peer->n_gids);
    for (uint32_t i = 0; i < peer->n_gids; i++)
        state_put32(p->w, peer->gids[i]);
    state_put_bytes(p->w, peer->label, peer->label_size);
    state_put_text(p->w, span_of(peer->loginfo));
}

static void write_peer(struct writing *p, uint32_t place, uint64_t id)
{
    const struct plan *plan = p->plan;
    const struct traffic_client *client = client_of(plan, id);
    const struct socket_entry *entry = client ? sockets_at(plan->sockets, (uint64_t)client->fd) : NULL;
    if (!entry || entry->kind != SOCKET_CLIENT) {
        plan_fail(p, -EBADF);
        return;
    }
    const struct socket_peer *peer = &entry->peer;
    bool privileged = peer->uid == 0 || peer->uid == plan->process->uid;
    state_put64(p->w, id);
    state_put32(p->w, STATE_PEER_ACTIVE | (client->fd_passing ? STATE_PEER_FD_PASSING : 0) |
                          (privileged ? STATE_PEER_PRIVILEGED : 0) |
                          (peer->at_console ? STATE_PEER_AT_CONSOLE : 0) |
                          (client->in.size > 0 ? STATE_PEER_BEGUN : 0));
    write_credentials(p, peer);
    state_put32(p->w, plan->n_doors + place);
    state_put32(p->w, door_of(plan, entry));
    state_put64(p->w, 0);
    state_put32(p->w, 0);
    state_put32(p->w, 0);
    state_put32(p->w, INBOX_READ_SHORT);
    state_put64(p->w, 0);
    state_put_bytes(p->w, client->in.bytes, client->in.size);
    state_put32(p->w, 0);
    state_put32(p->w, 0);
    for (int i = 0; i < 9; i++)
        state_put64(p->w, 0);
    state_put32(p->w, 0);
    state_put32(p->w, 0);
}

static void write_peers(struct writing *p)
{
    const struct snapshot *snapshot = p->plan->snapshot;
    state_put32(p->w, snapshot->n_ids);
    for (uint32_t i = 0; i < snapshot->n_ids; i++)
        write_peer(p, i, snapshot->ids[i]);
}

/* The number of rules from one on that have the same peer; they follow one another. */
static uint32_t rules_of_one(const struct snapshot *s, uint32_t from)
{
    uint32_t n = 1;
    while (from + n < s->n_rules && s->rules[from + n].peer == s->rules[from].peer)
        n++;
    return n;
}

static void write_rules(struct writing *p)
{
    const struct snapshot *s = p->plan->snapshot;
    uint32_t n_peers = 0;
    for (uint32_t i = 0; i < s->n_rules; i += rules_of_one(s, i))
        n_peers += snapshot_has(s, s->rules[i].peer);
    state_put32(p->w, n_peers);
    for (uint32_t i = 0, n; i < s->n_rules; i += n) {
        n = rules_of_one(s, i);
        if (!snapshot_has(s, s->rules[i].peer))
            continue;
        state_put64(p->w, s->rules[i].peer);
        state_put32(p->w, n);
        for (uint32_t k = i; k < i + n; k++) {
            state_put32(p->w, s->rules[k].copies);
            state_put_bytes(p->w, s->rules[k].text, s->rules[k].size);
        }
    }
}

/* Flags of requests are not known: 0. The places are in the order of the names. */
static void write_names(struct writing *p)
{
    const struct snapshot *s = p->plan->snapshot;
    uint32_t n_names = 0, *places = calloc(s->n_ids > 0 ? s->n_ids : 1, sizeof(*places));
    if (!places) {
        plan_fail(p, -ENOMEM);
        return;
    }
    for (uint32_t i = 0; i < s->n_names; i++)
        n_names += s->names[i].n > 0;
    state_put32(p->w, n_names);
    for (uint32_t i = 0; i < s->n_names; i++) {
        const struct snapshot_name *name = &s->names[i];
        if (name->n == 0)
            continue;
        state_put_text(p->w, span_of(name->text));
        state_put32(p->w, name->n);
        for (uint32_t k = 0; k < name->n; k++) {
            uint32_t place = snapshot_place(s, name->queue[k]);
            if (place == STATE_NONE) {
                plan_fail(p, -ESTALE);
                break;
            }
            state_put64(p->w, name->queue[k]);
            state_put32(p->w, 0);
            state_put32(p->w, places[place]++);
        }
    }
    free(places);
}

/* A pending reply, if it is one: its callee has a name, and did not only overhear the call. */
static bool pending(const struct plan *plan, const struct traffic_call *call, uint64_t *callee)
{
    const struct traffic_client *client = traffic_client(plan->traffic, (uint64_t)call->fd);
    if (!client || client->id == UINT64_MAX || !snapshot_has(plan->snapshot, client->id) ||
        !snapshot_has(plan->snapshot, call->caller))
        return false;
    *callee = client->id;
    return !snapshot_eavesdrops(plan->snapshot, client->id);
}

static void write_replies(struct writing *p)
{
    const struct table *calls = &p->plan->traffic->calls;
    uint64_t callee;
    uint32_t n = 0;
    for (struct table_node *node = NULL; (node = table_walk(calls, node));)
        n += pending(p->plan, CONTAINER_OF(node, struct traffic_call, node), &callee);
    state_put32(p->w, n);
    for (struct table_node *node = NULL; (node = table_walk(calls, node));) {
        const struct traffic_call *call = CONTAINER_OF(node, struct traffic_call, node);
        if (!pending(p->plan, call, &callee))
            continue;
        state_put64(p->w, call->caller);
        state_put64(p->w, callee);
        state_put32(p->w, call->serial);
        state_put64(p->w, (uint64_t)p->plan->now);
    }
}

static const uint8_t *find(const uint8_t *at, const uint8_t *end, const char *text)
{
    size_t n = strlen(text);
    for (; (size_t)(end - at) >= n; at++) {
        if (memcmp(at, text, n) == 0)
            return at + n;
    }
    return NULL;
}

/* The draft's, but for the time since which clients wait, and their number. */
static void write_control(struct writing *p)
{
    struct state_reader r = state_section(&p->plan->draft, RELAY_STATE_CONTROL);
    const uint8_t *at = r.at;
    char text[64];
    const struct {
        const char *key;
        double value;
        int digits;
    } fields[] = {{"\"frozen\":", (double)p->plan->now / 1000, 6},
                  {"\"connections\":", p->plan->snapshot->n_ids, 0}};
    for (size_t i = 0; i < sizeof(fields) / sizeof(*fields); i++) {
        const uint8_t *value = find(at, r.end, fields[i].key);
        if (!value)
            continue;
        state_put(p->w, at, (size_t)(value - at));
        int n = snprintf(text, sizeof(text), "%.*f", fields[i].digits, fields[i].value);
        state_put(p->w, text, (size_t)n);
        for (at = value; at < r.end && *at != ',' && *at != '}'; at++)
            ;
    }
    state_put(p->w, at, (size_t)(r.end - at));
}

static void write_draft(struct writing *p, uint32_t type)
{
    const struct state_place *place = &p->plan->draft.places[type];
    if (place->content)
        state_put(p->w, place->content, place->size);
    else
        plan_fail(p, -EINVAL);
}

static const struct {
    uint32_t type;
    void (*write)(struct writing *p); /* NULL: the draft's */
} plan_sections[] = {
    {RELAY_STATE_BUS, write_bus},
    {RELAY_STATE_LIMITS, NULL},
    {RELAY_STATE_POLICY, NULL},
    {RELAY_STATE_CATALOG, NULL},
    {RELAY_STATE_DOORS, write_doors},
    {RELAY_STATE_PEERS, write_peers},
    {RELAY_STATE_RULES, write_rules},
    {RELAY_STATE_MONITORS, NULL},
    {RELAY_STATE_REPLIES, write_replies},
    {RELAY_STATE_QUEUES, NULL},
    {RELAY_STATE_MESSAGES, NULL},
    {RELAY_STATE_HELD, NULL},
    {RELAY_STATE_PARKED, NULL},
    {RELAY_STATE_AWAITED, NULL},
    {RELAY_STATE_HANDSHAKES, NULL},
    {RELAY_STATE_FDS, NULL},
    {RELAY_STATE_DESCRIPTORS, write_descriptors},
    {RELAY_STATE_NAMES, write_names},
    {RELAY_STATE_HANDED_UP, NULL},
    {RELAY_STATE_CONTROL, write_control},
};

int plan_write(const struct plan *plan, int fd)
{
    struct writing p = {malloc(sizeof(*p.w)), plan};
    uint64_t size;
    if (!p.w)
        return -ENOMEM;
    state_write_begin(p.w, fd);
    for (size_t i = 0; i < sizeof(plan_sections) / sizeof(*plan_sections); i++) {
        uint32_t type = plan_sections[i].type;
        /* ours are of version 1; the draft says its own */
        uint16_t version =
            plan_sections[i].write && type != RELAY_STATE_CONTROL ? 1 : plan->draft.places[type].version;
        state_section_begin(p.w, (uint16_t)type, version, true);
        if (plan_sections[i].write)
            plan_sections[i].write(&p);
        else
            write_draft(&p, type);
        state_section_end(p.w);
    }
    int error = state_write_end(p.w, &size);
    free(p.w);
    return error;
}
