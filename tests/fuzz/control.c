/* SPDX-License-Identifier: MIT */
#include "control.h"

#include "handshake.h"
#include "send.h"

static struct {
    struct bytes bytes;
    struct message message;
    uint32_t serial; /* of the pending call */
    bool answered;
} answer;

static char owners[NAMES][24];
static char broken[256]; /* the inconsistency of the chain of owners */
static uint64_t refused_before;

const char *control_owner(uint32_t number)
{
    return owners[number];
}

bool control_missed(struct world *w)
{
    if (!control_ask(w, w->control->unique))
        fail(w, "GetConnectionStats is refused");
    bool missed = control_value(w, "omnibus.MessagesRefused") > refused_before;
    if (broken[0] && !missed)
        fail(w, "%s", broken);
    return missed;
}

void control_forget(struct world *w)
{
    control_missed(w);
    refused_before = control_value(w, "omnibus.MessagesRefused");
    memset(owners, 0, sizeof(owners));
    broken[0] = 0;
}

void control_answered(struct world *w, const struct message *message)
{
    (void)w;
    if (message->reply_serial != answer.serial)
        return;
    answer.bytes.size = 0;
    bytes_add(&answer.bytes, message->body + message->body_size - message->size, message->size);
    wire_read(answer.bytes.data, answer.bytes.size, &answer.message);
    answer.answered = true;
}

const struct message *control_call(struct world *w, const char *member, const char *argument)
{
    int64_t end = now_ms() + w->settings.patience;
    answer.answered = false;
    answer.serial = send_sync(w, w->control, member, argument);
    while (!answer.answered) {
        pump(w, 100);
        if (now_ms() > end)
            fail(w, "the bus does not answer %s", member);
    }
    return answer.message.type == WIRE_RETURN ? &answer.message : NULL;
}

void control_connect(struct world *w)
{
    int64_t end = now_ms() + w->settings.patience;
    while (!(w->control = world_connect(w, 0, 0, (struct container_server){0})) && now_ms() < end)
        ;
    w->control->promiscuous = true;
    w->control->id = 0;
    handshake_send(w->control, 0, NEVER);
    while (w->control->state != CLIENT_ACTIVE) {
        pump(w, 100);
        if (now_ms() > end)
            fail(w, "the bus does not welcome the fuzzer");
    }
    w->by_unique[strtoull(w->control->unique + 3, NULL, 10)] = UNIQUE_SPENT;
    control_call(w, "AddMatch", "type='signal',sender='org.freedesktop.DBus',member='NameOwnerChanged'");
}

bool control_ask(struct world *w, const char *unique)
{
    return control_call(w, unique ? "GetConnectionStats" : "GetStats", unique) != NULL;
}

uint64_t control_value(const struct world *w, const char *key)
{
    const struct message *l = &answer.message;
    size_t at = 8;
    while (at + 8 < l->body_size) {
        at = (at + 7) & ~(size_t)7;
        const char *name = (const char *)l->body + at + 4;
        at += 4 + wire_u32(l->body + at, l->big) + 1;
        char type = (char)l->body[at + 1];
        at += 3;
        size_t align = type == 't' ? 8 : 4;
        at = (at + align - 1) & ~(align - 1);
        if (type != 'u' && type != 't' && type != 'b' && type != 's')
            break;
        if (strcmp(name, key) == 0) {
            uint64_t value = 0;
            memcpy(&value, l->body + at, type == 't' ? 8 : 4);
            return value;
        }
        at += type == 't' ? 8 : type == 's' ? 4 + wire_u32(l->body + at, l->big) + 1 : 4;
    }
    fail(w, "the statistics have no %s", key);
}

/* The string argument behind this one. */
static const char *next_string(const struct message *message, const char *text)
{
    size_t at = (size_t)((const uint8_t *)text - message->body) + strlen(text) + 1;
    return (const char *)message->body + ((at + 3) & ~(size_t)3) + 4;
}

/* The old owner of each change is the new owner of the last one. */
void control_owner_changed(struct world *w, const struct message *message)
{
    const char *name = wire_string(message);
    const char *old = next_string(message, name), *new = next_string(message, old);
    uint32_t number = name_number(name);
    if (strcmp(old, new) == 0)
        fail(w, "NameOwnerChanged says that %s went from %s to %s", name, old, new);
    if (number == UINT32_MAX)
        return;
    if (strcmp(owners[number], old) != 0)
        snprintf(broken, sizeof(broken), "NameOwnerChanged says that %s was owned by %s, and it was by %s",
                 name, old, owners[number]);
    snprintf(owners[number], sizeof(owners[number]), "%s", new);
}
