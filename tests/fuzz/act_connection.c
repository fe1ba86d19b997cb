/* SPDX-License-Identifier: MIT */
#include "handshake.h"
#include "killed.h"
#include "plan.h"
#include "send.h"

#include <sys/socket.h>

#define HANDSHAKE_LEAST 20u /* fewer bytes than a whole handshake */

static uint32_t pick_uid(const struct world *w, struct prng *p)
{
    return w->settings.uids[prng_below(p, w->settings.n_uids)];
}

static int free_slot(struct prng *p)
{
    uint32_t first = prng_below(p, plan_n_slots);
    for (uint32_t i = 0; i < plan_n_slots; i++)
        if (!plan_slots[(first + i) % plan_n_slots].taken)
            return (int)((first + i) % plan_n_slots);
    return -1;
}

/* The bus accepts no connection while too many have not called Hello. */
static struct client *arrive(struct world *w, uint32_t slot, uint32_t uid, uint32_t buffer,
                             struct container_server server)
{
    struct client *c;
    int64_t end = now_ms() + w->settings.patience;
    while (!(c = world_connect(w, slot, uid, server))) {
        reached[REACHED_BACKLOG_FULL]++;
        pump(w, 1);
        if (now_ms() > end)
            fail(w, "the bus accepts no connection");
    }
    int size = (int)buffer;
    if (size && (setsockopt(c->fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)) < 0 ||
                 setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size)) < 0))
        fail(w, "the socket's buffers can't be set");
    w->clients[w->n_clients++] = c;
    w->slots[slot] = c;
    plan_slots[slot] = (struct plan_slot){.taken = true, .client = c->id};
    c->chunks = prng_of(w->settings.seed + w->round, c->id);
    return c;
}

void act_connect(struct world *w, struct prng *p)
{
    int slot = free_slot(p);
    uint32_t uid = pick_uid(w, p), way = prng_below(p, 2) ? 0 : prng_below(p, HANDSHAKES);
    uint32_t buffer = prng_one_in(p, 3) ? 1u << prng_between(p, 11, 16) : 0;
    uint32_t chunk = prng_one_in(p, 6) ? prng_between(p, 1, 40) : 0;
    if (slot < 0 || w->n_clients == CLIENTS_MAX)
        return;
    plan_note(w, (uint32_t)slot, uid, way | buffer << 8 | chunk << 24);
    struct client *c = arrive(w, (uint32_t)slot, uid, buffer, (struct container_server){0});
    c->may_be_cut = w->settings.auth_timeout;
    if (chunk) {
        c->chunk = chunk;
        c->chunk_until = 400;
    }
    handshake_send(c, way, NEVER);
}

/* As the user of a client that may have made a container's server, and through that. */
void act_contained(struct world *w, struct prng *p)
{
    const struct client *manager = plan_manager(w);
    int slot = free_slot(p);
    uint32_t way = prng_below(p, HANDSHAKES);
    if (!manager || slot < 0 || w->n_clients == CLIENTS_MAX)
        return;
    plan_note(w, (uint32_t)slot, manager->id, way);
    struct client *c = arrive(w, (uint32_t)slot, manager->uid, 0, manager->server);
    c->may_be_cut = c->instance[0] || w->settings.auth_timeout; /* with the instance */
    handshake_send(c, way, NEVER);
}

/* Its slot is free again at once, for another client while this one is still in the handshake. */
void act_loiter(struct world *w, struct prng *p)
{
    int slot = free_slot(p);
    uint32_t uid = pick_uid(w, p), way = prng_below(p, HANDSHAKES);
    size_t most = prng_below(p, HANDSHAKE_LEAST);
    bool ends = prng_one_in(p, 2);
    if (slot < 0 || w->n_clients == CLIENTS_MAX)
        return;
    plan_note(w, uid, way, (uint32_t)most << 1 | ends);
    struct client *c = arrive(w, (uint32_t)slot, uid, 0, (struct container_server){0});
    plan_slots[slot].taken = false;
    c->loiterer = true;
    handshake_send(c, way, most);
    if (!ends)
        return;
    reached[REACHED_GREETING_CUT]++;
    c->close_at = c->out.size;
}

void act_kill(struct world *w, struct prng *p)
{
    uint32_t uid = pick_uid(w, p), messages = prng_below(p, 16), cut = prng_below(p, 1000);
    killed_client(w, uid, messages, cut);
}

/* At once, or after its pending output, or within the last message of it. */
void act_close(struct world *w, struct prng *p)
{
    struct client *c = plan_client(w);
    uint32_t how = prng_below(p, 4), back = prng_between(p, 1, 300);
    if (!c)
        return;
    plan_note(w, c->id, how, back);
    plan_slots[c->slot].taken = false;
    if (!client_alive(c))
        return;
    if (how == 0) {
        world_end(w, c);
        return;
    }
    c->may_be_cut = true; /* no more messages are expected from it */
    c->hold_at = NEVER;
    c->close_at = c->out.size;
    if (how == 1)
        return;
    struct wish wish = {.type = WIRE_SIGNAL,
                        .tagged = true,
                        .to = TO_ALL,
                        .size = 400,
                        .topic = back % TOPICS,
                        .n_fds = (uint8_t)(back % 3 ? 0 : 1)};
    c->close_at = NEVER;
    send_more(w, c, &wish);
    if (!client_alive(c))
        return;
    c->close_at = c->out.size - back;
    c->close_half = true;
    c->close_fds = wish.n_fds > 0 && c->fd_passing;
}

void act_shut(struct world *w, struct prng *p)
{
    struct client *c = plan_client(w);
    (void)p;
    if (!c)
        return;
    plan_note(w, c->id, 0, 0);
    plan_slots[c->slot].taken = false;
    if (!client_alive(c) || shutdown(c->fd, SHUT_WR) < 0)
        return;
    c->shut = true;
    c->out_at = c->out.size;
    reached[REACHED_SHUT]++;
}

void act_stop_reading(struct world *w, struct prng *p)
{
    struct client *c = plan_client(w);
    (void)p;
    if (!c)
        return;
    plan_note(w, c->id, 0, 0);
    if (client_alive(c))
        c->reading = false;
}

void act_read(struct world *w, struct prng *p)
{
    struct client *c = plan_client(w);
    uint32_t chunk = 1u << prng_between(p, 5, 18);
    if (!c)
        return;
    plan_note(w, c->id, chunk, 0);
    c->reading = true;
    c->read_chunk = chunk;
}

/* The next bytes go out in small pieces. */
void act_chunk(struct world *w, struct prng *p)
{
    struct client *c = plan_client(w);
    uint32_t chunk = 1u << prng_between(p, 0, 12), pieces = prng_between(p, 10, 300);
    if (!c)
        return;
    plan_note(w, c->id, chunk, pieces);
    c->chunk = chunk;
    c->chunk_until = c->out_at + (size_t)chunk * pieces / 2;
}

/* Writes only a part of its next message for now. */
void act_hold(struct world *w, struct prng *p)
{
    struct client *c = plan_client(w);
    uint32_t more = prng_between(p, 1, 2000);
    if (!c)
        return;
    plan_note(w, c->id, more, 0);
    if (client_alive(c) && c->state == CLIENT_ACTIVE && c->hold_at == NEVER)
        c->hold_at = c->out.size + more;
}

void act_release(struct world *w, struct prng *p)
{
    (void)p;
    for (uint32_t i = 0; i < w->n_clients; i++)
        w->clients[i]->hold_at = NEVER;
}

static void send_malformed(struct world *w, struct client *c, uint32_t how, struct prng *p)
{
    uint8_t noise[64];
    struct wish wish = {.type = WIRE_SIGNAL,
                        .tagged = true,
                        .to = TO_ALL,
                        .size = 300,
                        .topic = how % TOPICS,
                        .n_fds = (uint8_t)(how % 4)};
    for (size_t i = 0; i < sizeof(noise); i++)
        noise[i] = (uint8_t)prng_next(p);
    uint32_t at = prng_below(p, 300), bit = prng_below(p, 8);
    size_t before = c->out.size, attached = c->n_attached;
    if (how == 0) {
        client_send_raw(c, noise, sizeof(noise));
        return;
    }
    send_more(w, c, &wish);
    if (!client_alive(c) || c->out.size <= before + at)
        return;
    if (how < 5) /* one flipped bit, anywhere in a valid message */
        c->out.data[before + at] ^= (uint8_t)(1u << bit);
    else if (how == 5 && c->n_attached > attached) /* fewer or more descriptors than UNIX_FDS */
        c->attached[attached].n = bit;
    else if (how == 6 && c->n_attached > attached) /* the descriptors come with the second byte */
        c->attached[attached].at++;
    else
        memset(c->out.data + before + 8, 0, 4); /* no serial */
}

void act_wild(struct world *w, struct prng *p)
{
    struct client *c = plan_client(w);
    uint32_t how = prng_below(p, 8);
    if (!c)
        return;
    plan_note(w, c->id, how, 0);
    plan_slots[c->slot].taken = false;
    if (!client_alive(c) || c->monitor)
        return;
    c->wild = true;
    w->strangers += c->state != CLIENT_ACTIVE; /* it may be disconnected before it knows its name */
    reached[REACHED_WILD]++;
    send_malformed(w, c, how, p);
}
