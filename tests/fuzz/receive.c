/* SPDX-License-Identifier: MIT */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "receive.h"

#include "killed.h"
#include "receive_bus.h"
#include "send.h"

#include <unistd.h>

/* Takes a line of the handshake. False: no complete line so far. */
static bool receive_line(struct world *w, struct client *c)
{
    const uint8_t *end = memmem(c->in.data, c->in.size, "\r\n", 2);
    if (!end)
        return false;
    if (--c->lines == 0) {
        if (c->in.size < 3 || memcmp(c->in.data, c->fd_passing ? "AGR" : "OK ", 3) != 0) {
            if (!c->loiterer && !c->wild)
                fail(w, "client %u is not welcome: %.*s", c->id, (int)(end - c->in.data), c->in.data);
            c->wild = true;
        }
        c->state = CLIENT_WAITING;
    }
    bytes_drop(&c->in, (size_t)(end + 2 - c->in.data));
    return true;
}

static const char *link_of(int fd)
{
    static char target[256], path[64];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    ssize_t n = readlink(path, target, sizeof(target) - 1);
    target[n > 0 ? n : 0] = 0;
    return target;
}

/* Checks that the descriptors are those that were sent with this message. */
static void check_fds(struct world *w, struct client *c, const struct message *message,
                      const struct client *sender)
{
    int fds[CLIENT_FDS];
    if (message->n_fds > CLIENT_FDS || !client_take_fds(c, message->n_fds, fds))
        fail(w, "%s got a message with %u descriptors, and %u came", c->unique, message->n_fds, c->n_fds);
    for (uint32_t i = 0; i < message->n_fds; i++) {
        uint32_t content[3] = {0};
        bool read = pread(fds[i], content, sizeof(content), 0) == sizeof(content);
        if (sender && !sender->wild &&
            (!read || content[0] != sender->id || content[1] != message->serial || content[2] != i))
            fail(w, "%s got another descriptor with message %u of %s: %u of %u of client %u (read %d, %s)",
                 c->unique, message->serial, sender->unique, content[2], content[1], content[0], read,
                 link_of(fds[i]));
        close(fds[i]);
    }
    reached[REACHED_FDS_RECEIVED] += message->n_fds;
}

static bool is_for(const struct world *w, const struct client *c, const struct message *message,
                   const struct record *record, const struct client *sender)
{
    const char *to = message->text[WIRE_DESTINATION];
    if (record->to == TO_ALL)
        return !to && rules_may_match(&c->rules, record, sender);
    if (!to)
        return false;
    if (to_is_name(record->to)) {
        uint32_t number = record->to & ~TO_NAME;
        char name[NAME_TEXT];
        name_text(number < NAMES ? number : 0, name);
        return number < NAMES && strcmp(to, name) == 0 && c->owns[number];
    }
    (void)w;
    return record->to == c->id && strcmp(to, c->unique) == 0;
}

static void check_content(struct world *w, struct client *c, const struct message *message,
                          const struct record *record, const struct client *sender)
{
    static struct bytes body;
    const char *signature = message->text[WIRE_SIGNATURE];
    record_body(record, sender->id, message->serial, &body);
    if (message->type != record->type || message->flags != record->flags || message->big != record->big ||
        message->n_fds != record->n_fds || message->reply_serial != record->argument)
        fail(w, "%s got message %u of %s with another header", c->unique, message->serial, sender->unique);
    if (message->unknown || (signature != NULL) != record->tagged)
        fail(w, "%s got message %u of %s with other fields: signature %s, unknown %s", c->unique,
             message->serial, sender->unique, signature ? signature : "none",
             message->unknown ? message->unknown : "none");
    if (message->body_size != body.size || (body.size && memcmp(message->body, body.data, body.size) != 0))
        fail(w, "%s got message %u of %s with another body", c->unique, message->serial, sender->unique);
}

/* Checks the instance of the sender, which the bus adds for those who have asked, and no client can forge. */
static void check_instance(const struct world *w, const struct client *c, const struct message *message,
                           const struct client *sender)
{
    const char *instance = message->text[WIRE_CONTAINER_INSTANCE];
    const char *wanted = sender->instance[0] ? sender->instance : "/";
    if (c->promiscuous)
        return;
    if (!instance && c->header == HEADER_PRESENT)
        fail(w, "%s got message %u of %s without an instance", c->unique, message->serial, sender->unique);
    if (instance && (c->header == HEADER_NONE || strcmp(instance, wanted) != 0))
        fail(w, "%s got message %u of %s with the instance %s, not %s", c->unique, message->serial,
             sender->unique, instance, c->header == HEADER_NONE ? "none" : wanted);
    reached[REACHED_INSTANCES] += instance != NULL;
}

/* Checks that it follows all earlier messages of the same sender to the same receiver. */
static void check_order(struct world *w, struct client *c, struct record *record, const struct client *sender,
                        bool ours)
{
    bool named = to_is_name(record->to) && !c->monitor;
    uint32_t *last =
        named ? &c->last_named[sender->id * NAMES + (record->to & ~TO_NAME)] : &c->last[sender->id];
    /* an eavesdropper sees a message at the time of its delivery */
    if (record->twice || (!ours && !c->monitor))
        return;
    /* a new monitor may see messages in flight after later ones */
    if (c->monitor && (!c->since || record->order <= c->since[sender->id]))
        return;
    if (record->order <= *last)
        fail(w, "%s%s got a message of %s behind a later one: %u after %u (type %u, to %x, mode %u)",
             c->unique,
             c->monitor       ? ", a monitor,"
             : c->promiscuous ? ", which eavesdrops,"
                              : "",
             sender->unique, record->order, *last, record->type, record->to, record->mode);
    *last = record->order;
    /* the client owned the name all the time: a different destination, but the same receiver */
    bool same = named && record->owner == c->id && record->changes == c->changes[record->to & ~TO_NAME];
    if (same && !c->promiscuous) {
        if (record->order <= c->last[sender->id])
            fail(w,
                 "%s got a message of %s by name (%x) behind a later one: %u behind %u (type %u, flags %u)",
                 c->unique, sender->unique, record->to, record->order, c->last[sender->id], record->type,
                 record->flags);
        c->last[sender->id] = record->order;
    }
}

static void take_reply(struct world *w, struct client *c, const struct message *message,
                       const struct record *record, struct client *sender)
{
    if (record->mode == MODE_TWICE && w->settings.strays)
        return;
    struct record *call = client_record(c, message->reply_serial);
    if (!call || call->type != WIRE_CALL)
        fail(w, "%s got a reply of %s to %u, which is no call", c->unique, sender->unique,
             message->reply_serial);
    if (!to_is_name(call->to) && call->to != sender->id)
        fail(w, "%s got a reply of %s to a call that it did not get", c->unique, sender->unique);
    if (w->settings.strays && call->answered == call->expected)
        return; /* the bus has answered it already */
    if (++call->answered > call->expected)
        fail(w, "%s got one more reply to call %u, of %s", c->unique, message->reply_serial, sender->unique);
    reached[REACHED_CALLS_ANSWERED]++;
}

static void take_call(struct world *w, struct client *c, const struct message *message,
                      const struct record *record, struct client *sender)
{
    if (record->mode == MODE_NEVER || record->flags & WIRE_NO_REPLY)
        return;
    if (record->mode == MODE_LATER && !w->settling) {
        if (c->later.n + 2 > c->later.room) {
            c->later.room = 2 * c->later.room + 16;
            c->later.at = realloc(c->later.at, c->later.room * sizeof(*c->later.at));
            if (!c->later.at)
                abort();
        }
        c->later.at[c->later.n++] = sender->id;
        c->later.at[c->later.n++] = message->serial;
        return;
    }
    send_answer(w, c, sender, message->serial, record->mode == MODE_ERROR ? MODE_ERROR : MODE_RETURN);
    if (record->mode == MODE_TWICE)
        send_answer(w, c, sender, message->serial, MODE_TWICE);
}

/* Its valid replies still count. */
static void receive_wild(struct client *c, const struct message *message)
{
    struct record *call = client_record(c, message->reply_serial);
    if ((message->type == WIRE_RETURN || message->type == WIRE_ERROR) && call &&
        call->answered < call->expected)
        call->answered++;
}

static void receive_client(struct world *w, struct client *c, const struct message *message,
                           struct client *sender)
{
    check_fds(w, c, message, sender);
    if (sender->wild || c->wild) {
        receive_wild(c, message);
        return;
    }
    struct record *record = client_record(sender, message->serial);
    if (!record)
        fail(w, "%s got message %u of %s, which sent none", c->unique, message->serial, sender->unique);
    if (record->to != TO_DRIVER)
        check_content(w, c, message, record, sender);
    check_instance(w, c, message, sender);
    bool ours = is_for(w, c, message, record, sender);
    if (!ours && !c->promiscuous)
        fail(w, "%s got message %u of %s, which is not for it but for %x (%s)%s", c->unique, message->serial,
             sender->unique, record->to,
             message->text[WIRE_DESTINATION] ? message->text[WIRE_DESTINATION] : "all",
             to_is_name(record->to) && c->asked[record->to & ~TO_NAME] ? "; it has asked for that name" : "");
    check_order(w, c, record, sender, ours);
    if (!ours || c->monitor) {
        reached[REACHED_OVERHEARD]++;
        return;
    }
    if (record->to == TO_ALL) {
        reached[REACHED_BROADCASTS_RECEIVED]++;
        record->must &= ~((uint64_t)1 << c->slot);
        return;
    }
    if (++record->delivered > 1 + record->twice)
        fail(w, "%s got message %u of %s twice", c->unique, message->serial, sender->unique);
    if (record->refused && !record->twice)
        fail(w, "%s got message %u of %s, of which the bus said that it did not", c->unique, message->serial,
             sender->unique);
    if (message->type == WIRE_RETURN || message->type == WIRE_ERROR) {
        if (message->reply_serial)
            take_reply(w, c, message, record, sender);
    } else if (message->type == WIRE_CALL) {
        take_call(w, c, message, record, sender);
    }
}

/* From a service, or from a killed process. */
static void receive_stranger(struct world *w, struct client *c, const struct message *message)
{
    check_fds(w, c, message, NULL);
    const char *to = message->text[WIRE_DESTINATION];
    if (c->wild || c->monitor || (c->promiscuous && (!to || strcmp(to, c->unique) != 0)))
        return;
    if (message->type == WIRE_RETURN && message->reply_serial) {
        struct record *call = client_record(c, message->reply_serial);
        if (!call || !to_is_name(call->to) || !name_is_service(call->to & ~TO_NAME))
            fail(w, "%s got a reply of the unknown %s", c->unique, message->text[WIRE_SENDER]);
        if (++call->answered > call->expected)
            fail(w, "%s got one more reply to call %u, of a service", c->unique, message->reply_serial);
        reached[REACHED_STARTED]++;
        return;
    }
    const char *interface = message->text[WIRE_INTERFACE];
    if (w->strangers == 0 && (!interface || strcmp(interface, KILLED) != 0))
        fail(w, "%s got a message of the unknown %s", c->unique, message->text[WIRE_SENDER]);
}

/* Reads the input of clients that don't know their names, whatever the plan. False: there are none. */
static bool name_clients(struct world *w)
{
    bool any = false;
    for (uint32_t i = 0; i < w->n_clients; i++) {
        struct client *c = w->clients[i];
        bool unnamed = c->state == CLIENT_GREETING || c->state == CLIENT_WAITING;
        if (!unnamed || c->fd < 0 || c->receiving || c->loiterer)
            continue;
        any = true;
        if (client_read(c))
            receive(w, c);
    }
    return any;
}

/* The sender may not have read its own reply to Hello yet. */
static struct client *find_sender(struct world *w, const struct message *message)
{
    const char *unique = message->text[WIRE_SENDER], *interface = message->text[WIRE_INTERFACE];
    struct client *sender = world_find(w, unique);
    if (unique[0] != ':' || (interface && strcmp(interface, KILLED) == 0))
        return sender;
    for (int i = 0; !sender && i < 100 && name_clients(w); i++) {
        sender = world_find(w, unique);
        if (!sender)
            usleep(1000);
    }
    return sender;
}

static const char *or_none(const char *text)
{
    return text ? text : "-";
}

static void trace(const struct client *c, const struct message *l)
{
    fprintf(stderr, "%s receives type %u, serial %u, reply to %u, %u descriptors: %s of %s for %s: %s\n",
            c->unique, l->type, l->serial, l->reply_serial, l->n_fds, or_none(l->text[WIRE_MEMBER]),
            l->text[WIRE_SENDER], or_none(l->text[WIRE_DESTINATION]), or_none(wire_string(l)));
}

static void receive_message(struct world *w, struct client *c, const struct message *message)
{
    const char *from = message->text[WIRE_SENDER];
    c->n_received++;
    reached[REACHED_MESSAGES_RECEIVED]++;
    if (!from)
        fail(w, "%s got a message without a sender", c->unique);
    if (w->settings.trace)
        trace(c, message);
    struct client *sender = find_sender(w, message);
    if (strcmp(from, "org.freedesktop.DBus") == 0) {
        check_fds(w, c, message, NULL); /* the pidfd of GetConnectionCredentials */
        receive_bus(w, c, message);
    } else if (sender) {
        receive_client(w, c, message, sender);
    } else {
        receive_stranger(w, c, message);
    }
}

void receive(struct world *w, struct client *c)
{
    size_t at = 0;
    c->receiving = true;
    while (c->state == CLIENT_GREETING && receive_line(w, c))
        ;
    while (c->state != CLIENT_GREETING && c->state != CLIENT_DEAD) {
        struct message message;
        size_t size = wire_frame(c->in.data + at, c->in.size - at);
        if (size == 0 || (size != SIZE_MAX && size > c->in.size - at))
            break;
        if (size == SIZE_MAX || !wire_read(c->in.data + at, size, &message))
            fail(w, "client %u got what is no message", c->id);
        receive_message(w, c, &message);
        at += size;
    }
    if (at > 0 && c->fd >= 0)
        bytes_drop(&c->in, at);
    c->receiving = false;
}
