/* SPDX-License-Identifier: MIT */
#include "send.h"

#define BUS "org.freedesktop.DBus"

/* The destination of a message: a planned name, for which the fuzzer may have to wait. */
static const char *destination(struct world *w, uint32_t to, char name[NAME_TEXT])
{
    if (to == TO_ALL)
        return NULL;
    if (to == TO_DRIVER)
        return BUS;
    if (to == TO_ABSENT)
        return "fuzz.without.owner";
    if (to_is_name(to)) {
        name_text(to & ~TO_NAME, name);
        return name;
    }
    struct client *c = w->clients[to];
    int64_t end = now_ms() + w->settings.patience;
    while (client_alive(c) && !c->loiterer && !c->unique[0] && now_ms() < end)
        pump(w, 1);
    return c->unique[0] ? c->unique : ":1.4000000000";
}

/* The certain owner of the name, unless it releases the name; UINT32_MAX: none. */
static uint32_t owner_of(const struct world *w, uint32_t to)
{
    uint32_t number = to & ~TO_NAME;
    if (!to_is_name(to) || number < name_of_slot(0))
        return UINT32_MAX;
    const struct client *owner = w->slots[number - name_of_slot(0)];
    return client_alive(owner) && owner->owns[number] ? owner->id : UINT32_MAX;
}

static uint64_t must_reach(const struct world *w, const struct record *record, const struct client *sender)
{
    uint64_t must = 0;
    for (uint32_t i = 0; i < SLOTS_MAX && w->settings.wide && !w->reloaded; i++) {
        const struct client *c = w->slots[i];
        if (client_alive(c) && c->state == CLIENT_ACTIVE && !c->wild && !c->shut && !c->monitor &&
            (record->n_fds == 0 || c->fd_passing) && rules_must_match(&c->rules, record, sender))
            must |= (uint64_t)1 << i;
    }
    return must;
}

static void send_record(struct world *w, struct client *c, struct record *record, struct message *message,
                        uint32_t size)
{
    struct bytes header = {0}, body = {0};
    struct topic topic;
    topic_of(record->topic, &topic);
    message->type = record->type;
    message->flags = record->flags;
    message->big = record->big;
    message->n_fds = record->n_fds;
    if (record->type != WIRE_RETURN && record->type != WIRE_ERROR) {
        message->text[WIRE_PATH] = topic.path;
        message->text[WIRE_INTERFACE] = topic.interface;
        message->text[WIRE_MEMBER] = topic.member;
    }
    if (record->type == WIRE_ERROR)
        message->text[WIRE_ERROR_NAME] = "fuzz.Error";
    if (record->tagged) {
        message->text[WIRE_SIGNATURE] = RECORD_SIGNATURE;
        uint32_t least = (uint32_t)wire_put_header(&header, message, 0) + record_body_least(record);
        if (!record->twice)
            record->filler = size > least ? size - least : 0;
        header.size = 0;
    }
    record_body(record, c->id, message->serial, &body);
    record->order = ++c->order;
    wire_put_header(&header, message, (uint32_t)body.size);
    client_send(c, header.data, header.size, body.data, body.size, message->serial, record->n_fds);
    bytes_free(&header);
    bytes_free(&body);
    reached[REACHED_MESSAGES_SENT]++;
    (void)w;
}

void send_wish(struct world *w, struct client *c, const struct wish *wish)
{
    plan_note(w, c->id,
              wish->type | (uint32_t)wish->flags << 8 | (uint32_t)wish->mode << 16 |
                  (uint32_t)wish->topic << 24,
              wish->to);
    plan_note(w, wish->size, wish->n_fds,
              wish->tagged | (uint32_t)wish->big << 1 | (uint32_t)wish->forged << 2 |
                  (uint32_t)wish->unknown << 3);
    send_more(w, c, wish);
}

void send_more(struct world *w, struct client *c, const struct wish *wish)
{
    char name[NAME_TEXT];
    if (!client_alive(c))
        return;
    const char *to = destination(w, wish->to, name);
    if (!client_alive(c))
        return;
    struct record *record = records_add(&c->planned);
    *record = (struct record){.type = wish->type,
                              .flags = wish->flags,
                              .big = wish->big,
                              .tagged = wish->tagged,
                              .mode = (uint8_t)wish->mode,
                              .n_fds = c->fd_passing ? wish->n_fds : 0,
                              .topic = (uint16_t)wish->topic,
                              .to = wish->to,
                              .argument = wish->reply_serial,
                              .owner = owner_of(w, wish->to)};
    if (record->owner != UINT32_MAX)
        record->changes = w->clients[record->owner]->changes[wish->to & ~TO_NAME];
    record->expected = wish->type == WIRE_CALL && !(wish->flags & WIRE_NO_REPLY);
    if (wish->to == TO_ALL && wish->type == WIRE_SIGNAL)
        record->must = must_reach(w, record, c);
    record->clients = w->n_clients;
    if (record->n_fds > 0 && w->settings.fd_timeout && c->uid != 0)
        c->may_be_cut = true;
    if (wish->type > WIRE_SIGNAL)
        reached[REACHED_UNKNOWN_TYPES]++;
    struct message message = {.serial = c->planned.n, .reply_serial = wish->reply_serial};
    message.text[WIRE_DESTINATION] = to;
    message.text[WIRE_SENDER] = wish->forged ? ":1.1" : NULL;
    message.text[WIRE_CONTAINER_INSTANCE] = wish->forged ? "/fuzz/forged" : NULL;
    message.unknown = wish->unknown ? "unknown to the specification" : NULL;
    send_record(w, c, record, &message, wish->size);
}

void send_again(struct world *w, struct client *c)
{
    plan_note(w, c->id, 77, 0);
    if (!client_alive(c) || c->planned.n < 2 || c->state != CLIENT_ACTIVE)
        return;
    struct record *record = &c->planned.at[c->planned.n - 1];
    if (record->n_fds > 0 || record->verb != VERB_NONE || to_is_name(record->to) || record->twice)
        return;
    char name[NAME_TEXT];
    const char *to = destination(w, record->to, name);
    record = &c->planned.at[c->planned.n - 1];
    record->twice = true;
    record->expected *= 2;
    struct message message = {.serial = c->planned.n, .reply_serial = record->argument};
    message.text[WIRE_DESTINATION] = to;
    send_record(w, c, record, &message, 0);
}

void send_answer(struct world *w, struct client *c, struct client *caller, uint32_t serial, enum mode mode)
{
    if (!client_alive(c) || c->monitor)
        return;
    struct record *record = records_add(&c->reactions);
    *record = (struct record){.type = mode == MODE_ERROR ? WIRE_ERROR : WIRE_RETURN,
                              .flags = WIRE_NO_REPLY,
                              .tagged = serial % 4 != 0,
                              .to = caller->id,
                              .mode = (uint8_t)mode,
                              .argument = serial};
    struct message message = {.serial = SERIAL_REACTION + c->reactions.n - 1, .reply_serial = serial};
    message.text[WIRE_DESTINATION] = caller->unique;
    send_record(w, c, record, &message, 100 + serial * 37 % 400);
}

static struct record *call_driver(struct client *c, struct records *records, uint32_t first,
                                  const char *interface, const char *member, const char *signature,
                                  const struct bytes *body, uint8_t flags)
{
    struct bytes header = {0};
    struct record *record = records_add(records);
    record->type = WIRE_CALL;
    record->flags = flags;
    record->to = TO_DRIVER;
    record->order = ++c->order;
    record->expected = !(flags & WIRE_NO_REPLY);
    struct message message = {.type = WIRE_CALL, .flags = flags, .serial = first + records->n - 1};
    message.text[WIRE_PATH] = "/org/freedesktop/DBus";
    message.text[WIRE_INTERFACE] = interface ? interface : BUS;
    message.text[WIRE_MEMBER] = member;
    message.text[WIRE_DESTINATION] = BUS;
    message.text[WIRE_SIGNATURE] = signature;
    wire_put_header(&header, &message, body ? (uint32_t)body->size : 0);
    client_send(c, header.data, header.size, body ? body->data : NULL, body ? body->size : 0, message.serial,
                0);
    bytes_free(&header);
    reached[REACHED_MESSAGES_SENT]++;
    return record;
}

struct record *send_driver(struct world *w, struct client *c, const char *interface, const char *member,
                           const char *signature, const struct bytes *body, uint8_t flags)
{
    (void)w;
    if (!client_alive(c))
        return NULL;
    return call_driver(c, &c->planned, 1, interface, member, signature, body, flags);
}

uint32_t send_sync(struct world *w, struct client *c, const char *member, const char *argument)
{
    (void)w;
    struct bytes body = {0};
    if (argument)
        wire_put_string(&body, false, argument);
    const char *interface =
        strstr(member, "Stats") || strstr(member, "MatchRules") ? BUS ".Debug.Stats" : NULL;
    call_driver(c, &c->reactions, SERIAL_REACTION, interface, member, argument ? "s" : NULL, &body, 0)->verb =
        VERB_SYNC;
    bytes_free(&body);
    return SERIAL_REACTION + c->reactions.n - 1;
}
