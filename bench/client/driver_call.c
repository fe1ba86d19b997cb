/* SPDX-License-Identifier: MIT */
#include "connection.h"
#include "process.h"

#include <stdio.h>
#include <stdlib.h>

#define BUS_PATH "/org/freedesktop/DBus"

void driver_signal(struct connection *c, const struct message *m)
{
    if (m->type != SIGNAL || !same(m->sender, BUS) || !same(m->interface, BUS) || !same(m->signature, "s") ||
        m->body_size < 5)
        die("unexpected message: type %u member %s sender %s error %s", m->type, shown(m->member),
            shown(m->sender), shown(m->error));
    if (same(m->member, "NameAcquired")) {
        c->acquired++;
        snprintf(c->acquired_name, sizeof(c->acquired_name), "%s", message_text(m));
    } else if (same(m->member, "NameLost")) {
        c->lost++;
        snprintf(c->lost_name, sizeof(c->lost_name), "%s", message_text(m));
    } else {
        die("unexpected signal %s of the driver", shown(m->member));
    }
}

uint32_t driver_send(struct connection *c, const char *member, const char *signature,
                     const struct buffer *body)
{
    static struct buffer out;
    header_write(&out, &(struct header){.type = CALL,
                                        .path = BUS_PATH,
                                        .interface = BUS,
                                        .member = member,
                                        .destination = BUS,
                                        .signature = signature,
                                        .body_size = body ? (uint32_t)body->size : 0});
    write_u32(out.data + SERIAL_AT, ++c->serial);
    if (body)
        buffer_put(&out, body->data, body->size);
    connection_send(c, out.data, out.size);
    return c->serial;
}

void driver_reply(struct connection *c, struct message *m, uint32_t serial, const char *member,
                  const char *signature)
{
    for (connection_next(c, m); m->type == SIGNAL; connection_next(c, m))
        driver_signal(c, m);
    if (m->type == ERROR)
        die("%s: error %s: %s", member, shown(m->error), message_text(m));
    if (m->type != RETURN || m->reply_serial != serial || !same(m->sender, BUS))
        die("%s: wrong reply (type %u reply_serial %u, want %u, sender %s)", member, m->type, m->reply_serial,
            serial, shown(m->sender));
    if (c->name[0] && !same(m->destination, c->name))
        die("%s: reply for %s", member, shown(m->destination));
    if (strcmp(m->signature ? m->signature : "", signature))
        die("%s: reply signature %s", member, shown(m->signature));
}

void driver_call(struct connection *c, struct message *m, const char *member, const char *signature,
                 const struct buffer *body, const char *reply_signature)
{
    driver_reply(c, m, driver_send(c, member, signature, body), member, reply_signature);
}

void driver_add_match(struct connection *c, const char *rule)
{
    struct buffer body = {0};
    struct message m;
    buffer_string(&body, rule);
    driver_call(c, &m, "AddMatch", "s", &body, "");
    free(body.data);
}

void driver_request_name(struct connection *c, const char *name)
{
    struct buffer body = {0};
    struct message m;
    unsigned before = c->acquired;
    buffer_string(&body, name);
    buffer_u32(&body, 4); /* DBUS_NAME_FLAG_DO_NOT_QUEUE */
    driver_call(c, &m, "RequestName", "su", &body, "u");
    if (read_u32(m.body) != 1)
        die("RequestName: %u", read_u32(m.body));
    while (c->acquired == before) {
        connection_next(c, &m);
        driver_signal(c, &m);
    }
    if (strcmp(c->acquired_name, name))
        die("NameAcquired %s", c->acquired_name);
    free(body.data);
}
