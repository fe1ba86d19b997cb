/* SPDX-License-Identifier: MIT */
#include "traffic.h"

#include <stdlib.h>

#define BUS_NAME "org.freedesktop.DBus"
#define HANDSHAKE_MAX 65536u
#define MAX_FDS (1u << 20)
#define MAX_SIGHTINGS (1u << 22)
#define NOT_KNOWN UINT64_MAX

static void traffic_changed(struct traffic *t, const char *what)
{
    t->changes++;
    t->change = what;
}

bool unique_id(struct span name, uint64_t *id)
{
    uint64_t value = 0;
    if (name.n < 4 || name.n > 3 + 19 || memcmp(name.s, ":1.", 3) != 0)
        return false;
    for (uint32_t i = 3; i < name.n; i++) {
        if (name.s[i] < '0' || name.s[i] > '9')
            return false;
        value = 10 * value + (uint64_t)(name.s[i] - '0');
    }
    *id = value;
    return name.n == 4 || name.s[3] != '0';
}

bool traffic_init(struct traffic *t)
{
    *t = (struct traffic){.observer = NOT_KNOWN};
    return table_init(&t->calls) == 0 && table_init(&t->by_id) == 0;
}

static void traffic_forget(struct traffic *t, struct traffic_client *client)
{
    if (!client)
        return;
    if (client->known && client->id != NOT_KNOWN)
        table_remove(&t->by_id, &client->node);
    stream_free(&client->in);
    stream_free(&client->out);
    *client = (struct traffic_client){.id = NOT_KNOWN};
}

void traffic_name(struct traffic *t, int fd, uint64_t id)
{
    struct traffic_client *client = fd < 0 ? NULL : traffic_client(t, (uint64_t)fd);
    if (!client || client->id != NOT_KNOWN)
        return;
    client->id = id;
    table_insert(&t->by_id, &client->node, hash_number(&t->by_id.key, id));
}

static struct traffic_client *traffic_find(const struct traffic *t, uint64_t id)
{
    struct table_node *node = table_first(&t->by_id, hash_number(&t->by_id.key, id));
    for (; node; node = table_again(node)) {
        struct traffic_client *client = CONTAINER_OF(node, struct traffic_client, node);
        if (client->id == id)
            return client;
    }
    return NULL;
}

int traffic_fd(const struct traffic *t, uint64_t id)
{
    const struct traffic_client *client = traffic_find(t, id);
    return client ? client->fd : -1;
}

void traffic_free(struct traffic *t)
{
    for (size_t fd = 0; fd < t->n; fd++) {
        traffic_forget(t, t->clients[fd]);
        free(t->clients[fd]);
    }
    for (struct table_node *node; (node = table_any(&t->calls));) {
        table_remove(&t->calls, node);
        free(CONTAINER_OF(node, struct traffic_call, node));
    }
    table_free(&t->calls);
    table_free(&t->by_id);
    free(t->clients);
    free(t->sightings);
}

static bool traffic_reserve(struct traffic *t, size_t fd)
{
    if (fd < t->n)
        return true;
    size_t n = 2 * fd + 64;
    struct traffic_client **clients =
        fd < MAX_FDS ? realloc(t->clients, n * sizeof(struct traffic_client *)) : NULL;
    if (!clients)
        return false;
    memset(clients + t->n, 0, (n - t->n) * sizeof(*clients));
    t->clients = clients;
    t->n = n;
    return true;
}

void traffic_open(struct traffic *t, int fd, bool accepted)
{
    if (fd < 0 || !traffic_reserve(t, (size_t)fd)) {
        t->failed = true;
        return;
    }
    if (!t->clients[fd])
        t->clients[fd] = calloc(1, sizeof(*t->clients[fd]));
    struct traffic_client *client = t->clients[fd];
    if (!client) {
        t->failed = true;
        return;
    }
    traffic_forget(t, client);
    client->known = true;
    client->fd = fd;
    client->handshake = accepted;
    client->fd_passing = !accepted; /* of others it is assumed */
    t->n_accepted += accepted;
    if (accepted)
        traffic_changed(t, "a client has connected");
}

void traffic_close(struct traffic *t, int fd)
{
    struct traffic_client *client = fd < 0 ? NULL : traffic_client(t, (uint64_t)fd);
    if (!client)
        return;
    traffic_forget(t, client);
    size_t kept = 0;
    for (size_t i = 0; i < t->n_sightings; i++) {
        if (t->sightings[i].fd != fd)
            t->sightings[kept++] = t->sightings[i];
    }
    t->n_sightings = kept;
    traffic_changed(t, "a client has left");
}

static size_t line_end(const uint8_t *bytes, size_t n, struct span mark)
{
    for (size_t at = 0; at + mark.n <= n; at++) {
        if (memcmp(bytes + at, mark.s, mark.n) == 0)
            return at + mark.n;
    }
    return 0;
}

size_t handshake_end(const uint8_t *bytes, size_t n)
{
    return line_end(bytes, n, SPAN("\r\nBEGIN\r\n"));
}

/* A call to the bus itself. */
static void traffic_driver_call(struct traffic *t, const struct message *m)
{
    static const char *const changing[] = {"Hello",       "AddMatch",    "RemoveMatch",
                                           "RequestName", "ReleaseName", "BecomeMonitor"};
    for (size_t i = 0; i < sizeof(changing) / sizeof(*changing); i++) {
        if (span_equal(m->member, span_of(changing[i])))
            traffic_changed(t, changing[i]);
    }
    t->reconfigured |= span_equal(m->member, SPAN("UpdateActivationEnvironment")) ||
                       span_equal(m->member, SPAN("ReloadConfig"));
}

static void traffic_received(void *context, const struct message *m)
{
    struct traffic *t = context;
    if (m->type == MESSAGE_METHOD_CALL && span_equal(m->destination, SPAN(BUS_NAME)))
        traffic_driver_call(t, m);
}

static void traffic_handshake(struct traffic *t, struct traffic_client *client)
{
    struct stream *in = &client->in;
    size_t end = handshake_end(in->bytes, in->size);
    if (end == 0 && in->size > HANDSHAKE_MAX)
        stream_reset(in); /* the daemon has given it up */
    if (end == 0)
        return;
    client->handshake = false;
    client->reads = true;
    client->fd_passing = line_end(in->bytes, end, SPAN("\r\nNEGOTIATE_UNIX_FD\r\n")) > 0;
    stream_enter(in, end, traffic_received, t);
}

void traffic_read(struct traffic *t, int fd, const struct traffic_read *read)
{
    struct traffic_client *client = fd < 0 ? NULL : traffic_client(t, (uint64_t)fd);
    if (!client)
        return;
    if (read->n == 0)
        traffic_changed(t, "a client is leaving");
    stream_add(&client->in, read->bytes, read->n, traffic_received, t);
    if (client->handshake) {
        traffic_handshake(t, client);
        return;
    }
    if (!client->in.in_step)
        traffic_changed(t, "a client was heard in the middle of a message");
    if (read->n_fds > 0)
        client->fds_end = client->in.begin + client->in.size;
    if (!client->reads && read->first)
        client->fd_passing = read->control;
    client->reads = true;
    t->failed |= client->in.failed;
}

static void traffic_saw(struct traffic *t, int fd, uint64_t id)
{
    if (t->n_sightings == t->room) {
        size_t room = 2 * t->room + 64;
        struct traffic_sighting *all =
            room < MAX_SIGHTINGS ? realloc(t->sightings, room * sizeof(*all)) : NULL;
        if (!all) {
            t->failed = true;
            return;
        }
        t->sightings = all;
        t->room = room;
    }
    t->sightings[t->n_sightings++] = (struct traffic_sighting){id, fd};
}

/* Where the messages of a name are read from; NULL: that is not known yet. */
static struct traffic_client *traffic_source(const struct traffic *t, struct span name)
{
    uint64_t id;
    return unique_id(name, &id) ? traffic_find(t, id) : NULL;
}

/* What is passed on, or answered by the bus, was read as a whole. */
static void traffic_synchronise(struct traffic *t, const struct message *m)
{
    bool answer = span_equal(m->sender, SPAN(BUS_NAME)) && m->reply_serial != 0;
    struct traffic_client *source = traffic_source(t, answer ? m->destination : m->sender);
    if (!source || source->in.in_step || source->in.size == 0)
        return;
    struct stream_sought sought = {.type = m->type, .serial = m->serial, .member = m->member};
    if (answer)
        sought = (struct stream_sought){
            .type = MESSAGE_METHOD_CALL, .serial = m->reply_serial, .destination = SPAN(BUS_NAME)};
    stream_find(&source->in, &sought, traffic_received, t);
}

static struct hash call_hash(const struct traffic *t, uint64_t caller, uint32_t serial)
{
    return hash_number(&t->calls.key, caller << 32 ^ serial);
}

static struct traffic_call *traffic_find_call(struct traffic *t, uint64_t caller, uint32_t serial, int fd)
{
    struct table_node *node = table_first(&t->calls, call_hash(t, caller, serial));
    for (; node; node = table_again(node)) {
        struct traffic_call *call = CONTAINER_OF(node, struct traffic_call, node);
        if (call->caller == caller && call->serial == serial && (fd < 0 || call->fd == fd))
            return call;
    }
    return NULL;
}

static void traffic_note_call(struct traffic *t, uint64_t caller, uint32_t serial, int fd)
{
    if (t->calls.count >= TRAFFIC_MAX_CALLS || traffic_find_call(t, caller, serial, fd))
        return;
    struct traffic_call *call = calloc(1, sizeof(*call));
    if (!call) {
        t->failed = true;
        return;
    }
    *call = (struct traffic_call){.caller = caller, .serial = serial, .fd = fd};
    table_insert(&t->calls, &call->node, call_hash(t, caller, serial));
}

static void traffic_note_reply(struct traffic *t, uint64_t caller, uint32_t serial)
{
    for (struct traffic_call *call; (call = traffic_find_call(t, caller, serial, -1));) {
        table_remove(&t->calls, &call->node);
        free(call);
    }
}

struct delivery {
    struct traffic *t;
    int fd;
};

static void traffic_delivered(void *context, const struct message *m)
{
    const struct delivery *delivery = context;
    struct traffic *t = delivery->t;
    uint64_t sender, destination;
    bool has_sender = unique_id(m->sender, &sender);
    bool probe = span_equal(m->interface, SPAN(PROBE_INTERFACE)) && span_equal(m->member, SPAN(PROBE_MEMBER));
    if (probe && has_sender && sender == t->observer && unique_id(m->destination, &destination))
        traffic_saw(t, delivery->fd, destination);
    if (m->type == MESSAGE_METHOD_CALL && has_sender && !(m->flags & MESSAGE_NO_REPLY_EXPECTED))
        traffic_note_call(t, sender, m->serial, delivery->fd);
    if (m->reply_serial != 0 && unique_id(m->destination, &destination))
        traffic_note_reply(t, destination, m->reply_serial);
    t->activated |= span_equal(m->member, SPAN("ActivationRequest"));
    traffic_synchronise(t, m);
}

void traffic_write(struct traffic *t, int fd, const uint8_t *bytes, size_t n, bool first)
{
    struct traffic_client *client = fd < 0 ? NULL : traffic_client(t, (uint64_t)fd);
    if (!client)
        return;
    struct delivery delivery = {t, fd};
    /* Until a message is seen: the daemon begins each with a call of its own. */
    if (first && (!client->out.in_step || client->out.broken))
        stream_reset(&client->out);
    stream_add(&client->out, bytes, n, traffic_delivered, &delivery);
    t->failed |= client->out.failed;
}
