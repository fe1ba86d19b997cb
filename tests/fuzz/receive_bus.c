/* SPDX-License-Identifier: MIT */
#include "receive_bus.h"

#include "control.h"

/* NameAcquired and NameLost arrive in order, and before any message addressed to the name. */
static void receive_name(struct world *w, struct client *c, const struct message *message, bool acquired)
{
    const char *name = wire_string(message);
    uint32_t number = name ? name_number(name) : UINT32_MAX;
    if (!name)
        fail(w, "%s got %s without a name", c->unique, message->text[WIRE_MEMBER]);
    if (number == UINT32_MAX)
        return;
    if (!c->asked[number])
        fail(w, "%s got %s for %s, for which it never asked", c->unique, message->text[WIRE_MEMBER], name);
    if (c->owns[number] == acquired)
        fail(w, "%s got %s for %s twice", c->unique, message->text[WIRE_MEMBER], name);
    c->owns[number] = acquired;
    c->changes[number]++;
    reached[acquired ? REACHED_NAMES_OWNED : REACHED_NAMES_LOST]++;
}

static void receive_signal(struct world *w, struct client *c, const struct message *message)
{
    const char *member = message->text[WIRE_MEMBER], *to = message->text[WIRE_DESTINATION];
    if (c == w->control && member && strcmp(member, "NameOwnerChanged") == 0)
        control_owner_changed(w, message);
    if (!to) {
        if (!c->promiscuous && c != w->control && c->rules.n == 0)
            fail(w, "%s got a signal of the bus without a rule", c->unique);
        return;
    }
    if (strcmp(to, c->unique) != 0) {
        if (!c->promiscuous)
            fail(w, "%s got %s of the bus for %s", c->unique, member, to);
        return;
    }
    if (strcmp(member, "NameAcquired") == 0 && wire_string(message) && wire_string(message)[0] != ':')
        receive_name(w, c, message, true);
    else if (strcmp(member, "NameLost") == 0 && wire_string(message) && wire_string(message)[0] != ':')
        receive_name(w, c, message, false);
}

static void named(struct world *w, struct client *c, const struct message *message)
{
    const char *name = wire_string(message);
    if (message->type == WIRE_ERROR) {
        reached[REACHED_HELLO_REFUSED]++;
        c->may_be_cut = true;
        world_end(w, c);
        return;
    }
    if (!name)
        fail(w, "the reply to Hello has no name");
    c->state = CLIENT_ACTIVE;
    world_named(w, c, name);
}

static void begin_watching(const struct world *w, struct client *c)
{
    reached[REACHED_MONITORS]++;
    c->since = calloc(CLIENTS_MAX, sizeof(*c->since));
    for (uint32_t i = 0; i < w->n_clients && c->since; i++)
        c->since[i] = w->clients[i]->order;
}

/* The reply is "oays": instance, path of the socket with its NUL, address. */
static void take_server(const struct world *w, struct client *c, const struct message *message)
{
    const char *path = (const char *)message->body + 4;
    uint32_t n = message->body_size < 8 ? UINT32_MAX : wire_u32(message->body, message->big);
    size_t at = ((size_t)n + 5 + 3) & ~(size_t)3;
    if (n >= INSTANCE_TEXT || at + 4 > message->body_size)
        fail(w, "%s got an answer to AddServer without an instance", c->unique);
    uint32_t size = wire_u32(message->body + at, message->big);
    if (size > sizeof(c->server.socket) || at + 4 + size > message->body_size ||
        message->body[at + 4 + size - 1] != 0)
        fail(w, "%s got an answer to AddServer without a socket", c->unique);
    memcpy(c->server.instance, path, n + 1);
    memcpy(c->server.socket, message->body + at + 4, size);
    reached[REACHED_SERVERS]++;
}

static void take_verb(struct world *w, struct client *c, struct record *call, const struct message *message)
{
    bool success = message->type == WIRE_RETURN;
    uint32_t result = success && message->body_size == 4 ? wire_u32(message->body, message->big) : 0;
    switch ((enum verb)call->verb) {
    case VERB_ADD_RULE:
        rules_added(&c->rules, call->argument, success);
        reached[REACHED_RULES_ADDED] += success;
        break;
    case VERB_REMOVE_RULE:
        rules_removed(&c->rules, call->argument, success);
        reached[REACHED_RULES_REMOVED] += success;
        break;
    case VERB_REQUEST:
        if (success && (result < 1 || result > 4))
            fail(w, "%s was answered %u to RequestName", c->unique, result);
        reached[REACHED_NAMES_QUEUED] += success && result == 2;
        break;
    case VERB_RELEASE:
        if (success && (result < 1 || result > 3))
            fail(w, "%s was answered %u to ReleaseName", c->unique, result);
        break;
    case VERB_MONITOR:
        if (success)
            begin_watching(w, c);
        else
            c->wild = true; /* its rules were assumed to be gone */
        break;
    case VERB_ADD_SERVER:
        if (success)
            take_server(w, c, message);
        break;
    case VERB_REQUEST_HEADER:
        if (success)
            c->header = HEADER_PRESENT;
        break;
    case VERB_SYNC:
        c->synced++;
        if (c == w->control)
            control_answered(w, message);
        break;
    case VERB_NONE:
        break;
    }
}

static void take_answer(struct world *w, struct client *c, const struct message *message)
{
    struct record *call = client_record(c, message->reply_serial);
    const char *error = message->type == WIRE_ERROR ? message->text[WIRE_ERROR_NAME] : NULL;
    if (!call)
        fail(w, "%s got an answer to %u, which it never sent", c->unique, message->reply_serial);
    const char *text = error ? wire_string(message) : NULL;
    if (error)
        reached_error(error, text ? text : "");
    else
        reached[REACHED_DRIVER_ANSWERED]++;
    if (!error && call->to != TO_DRIVER)
        fail(w, "%s got a reply of the bus to a message for others", c->unique);
    if (call->expected == 0) {
        if (!error)
            return; /* some are answered nevertheless */
        if (++call->refused > 1 + call->twice)
            fail(w, "%s got two errors for message %u", c->unique, message->reply_serial);
        if (call->delivered && !call->twice)
            fail(w, "%s got the error %s (%s) for message %u, which was delivered", c->unique, error, text,
                 message->reply_serial);
        return;
    }
    if (++call->answered > call->expected)
        fail(w, "%s got one more answer to call %u: %s %s", c->unique, message->reply_serial,
             error ? error : "", text ? text : "");
    take_verb(w, c, call, message);
}

static void receive_answer(struct world *w, struct client *c, const struct message *message)
{
    const char *to = message->text[WIRE_DESTINATION];
    if (c->state == CLIENT_WAITING && message->reply_serial == 1) {
        struct record *hello = client_record(c, 1);
        if (++hello->answered > 1)
            fail(w, "client %u was answered Hello twice", c->id);
        named(w, c, message);
        return;
    }
    if (!to || strcmp(to, c->unique) != 0) {
        if (!c->promiscuous)
            fail(w, "%s got an answer of the bus for %s", c->unique, to ? to : "none");
        return;
    }
    if (!c->monitor || message->type == WIRE_RETURN)
        take_answer(w, c, message);
}

void receive_bus(struct world *w, struct client *c, const struct message *message)
{
    if (c->wild) {
        if (c->state == CLIENT_WAITING && message->reply_serial == 1)
            named(w, c, message);
        return;
    }
    if (message->type == WIRE_SIGNAL)
        receive_signal(w, c, message);
    else if (message->type == WIRE_RETURN || message->type == WIRE_ERROR)
        receive_answer(w, c, message);
    else
        fail(w, "%s got a message of type %u of the bus", c->unique, message->type);
}
