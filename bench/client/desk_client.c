/* SPDX-License-Identifier: MIT */
#include "desk_client.h"

#include "options.h"
#include "payload.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* The services that this client listens to; all are listened to equally often. */
static int namespace_service(const struct desk *desk, int n)
{
    return (desk->index * NAMESPACE_RULES + n) % desk->services;
}

static int sender_service(const struct desk *desk, int n)
{
    return (desk->index * SENDER_RULES + n) % desk->services;
}

static void add_rules(struct desk_client *client)
{
    const struct desk *desk = client->desk;
    char rule[256];
    for (int i = 0; i < NAMESPACE_RULES; i++) {
        const char *format =
            "type='signal',path_namespace='/org/busbench/desk/%d',interface='%s',member='PropertiesChanged'";
        snprintf(rule, sizeof(rule), format, namespace_service(desk, i), PROPERTIES);
        driver_add_match(&client->c, rule);
    }
    for (int i = 0; i < WATCH_RULES; i++) {
        const char *format = "type='signal',sender='" BUS "',path='/org/freedesktop/DBus',interface='" BUS
                             "',member='NameOwnerChanged',arg0='org.busbench.Watched%d.Name%d'";
        snprintf(rule, sizeof(rule), format, desk->index, i);
        driver_add_match(&client->c, rule);
    }
    for (int i = 0; i < SENDER_RULES; i++) {
        const char *format = "type='signal',sender='%s',interface='%s'";
        snprintf(rule, sizeof(rule), format, shared->name[sender_service(desk, i)], TICKS);
        driver_add_match(&client->c, rule);
    }
    snprintf(rule, sizeof(rule), "type='signal',interface='org.busbench.Rare%d',member='Never'", desk->index);
    driver_add_match(&client->c, rule);
}

void desk_open(struct desk_client *client)
{
    const struct desk *desk = client->desk;
    connection_open(&client->c);
    snprintf(shared->name[desk->index], sizeof(shared->name[0]), "%s", client->c.name);
    for (int i = 0; i < desk->services; i++)
        while (!shared->name[i][0])
            usleep(1000);
    add_rules(client);
    process_ready();
}

void desk_hear(struct desk_client *client, const struct message *m)
{
    const struct desk *desk = client->desk;
    bool tick = same(m->interface, TICKS);
    enum topic topic = tick ? TOPIC_TICK : TOPIC_PROPERTIES;
    int service = -1, n;
    if (m->path && sscanf(m->path, "/org/busbench/desk/%d/", &n) == 1 && n >= 0 && n < desk->services)
        service = n;
    if (m->type != SIGNAL || service < 0 || !same(m->sender, shared->name[service]) ||
        !same(m->member, tick ? "Tick" : "PropertiesChanged") || (!tick && !same(m->interface, PROPERTIES)))
        die("unexpected message: type %u member %s sender %s error %s", m->type, shown(m->member),
            shown(m->sender), shown(m->error));
    bool wanted = false;
    for (int i = 0; i < (tick ? SENDER_RULES : NAMESPACE_RULES); i++)
        wanted |= service == (tick ? sender_service(desk, i) : namespace_service(desk, i));
    if (!wanted)
        die("MISDELIVERED: %s of service %d", m->member, service);
    payload_check(m, options.size, client->heard.number[service][topic]++);
}

static void check_heard(const struct desk_client *client, int service, enum topic topic)
{
    uint64_t said = atomic_load(&shared->said[service][topic]);
    uint64_t heard = client->heard.number[service][topic];
    if (heard != said)
        die("LOST: heard %llu of the %llu signals of service %d", (unsigned long long)heard,
            (unsigned long long)said, service);
}

void desk_finish(struct desk_client *client)
{
    struct message m;
    uint32_t serial = driver_send(&client->c, "GetId", NULL, NULL);
    for (connection_next(&client->c, &m); m.type == SIGNAL; connection_next(&client->c, &m))
        desk_hear(client, &m);
    if (m.type != RETURN || m.reply_serial != serial)
        die("GetId: wrong reply");
    for (int i = 0; i < NAMESPACE_RULES; i++)
        check_heard(client, namespace_service(client->desk, i), TOPIC_PROPERTIES);
    for (int i = 0; i < SENDER_RULES; i++)
        check_heard(client, sender_service(client->desk, i), TOPIC_TICK);
}
