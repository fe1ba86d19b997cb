/* SPDX-License-Identifier: MIT */
#include "desktop_client.h"

#include "options.h"
#include "payload.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* The services that this client subscribes to; all have the same number of subscribers. */
static int namespace_service(const struct desktop *desktop, int n)
{
    return (desktop->index * NAMESPACE_RULES + n) % desktop->services;
}

static int sender_service(const struct desktop *desktop, int n)
{
    return (desktop->index * SENDER_RULES + n) % desktop->services;
}

static void add_rules(struct desktop_client *client)
{
    const struct desktop *desktop = client->desktop;
    char rule[256];
    for (int i = 0; i < NAMESPACE_RULES; i++) {
        const char *format =
            "type='signal',path_namespace='/org/busbench/desk/%d',interface='%s',member='PropertiesChanged'";
        snprintf(rule, sizeof(rule), format, namespace_service(desktop, i), PROPERTIES);
        driver_add_match(&client->c, rule);
    }
    for (int i = 0; i < WATCH_RULES; i++) {
        const char *format = "type='signal',sender='" BUS "',path='/org/freedesktop/DBus',interface='" BUS
                             "',member='NameOwnerChanged',arg0='org.busbench.Watched%d.Name%d'";
        snprintf(rule, sizeof(rule), format, desktop->index, i);
        driver_add_match(&client->c, rule);
    }
    for (int i = 0; i < SENDER_RULES; i++) {
        const char *format = "type='signal',sender='%s',interface='%s'";
        snprintf(rule, sizeof(rule), format, shared->name[sender_service(desktop, i)], TICKS);
        driver_add_match(&client->c, rule);
    }
    snprintf(rule, sizeof(rule), "type='signal',interface='org.busbench.Rare%d',member='Never'",
             desktop->index);
    driver_add_match(&client->c, rule);
}

void desktop_open(struct desktop_client *client)
{
    const struct desktop *desktop = client->desktop;
    connection_open(&client->c);
    snprintf(shared->name[desktop->index], sizeof(shared->name[0]), "%s", client->c.name);
    for (int i = 0; i < desktop->services; i++)
        while (!shared->name[i][0])
            usleep(1000);
    add_rules(client);
    process_ready();
}

void desktop_receive(struct desktop_client *client, const struct message *m)
{
    const struct desktop *desktop = client->desktop;
    bool tick = same(m->interface, TICKS);
    enum topic topic = tick ? TOPIC_TICK : TOPIC_PROPERTIES;
    int service = -1, n;
    if (m->path && sscanf(m->path, "/org/busbench/desk/%d/", &n) == 1 && n >= 0 && n < desktop->services)
        service = n;
    if (m->type != SIGNAL || service < 0 || !same(m->sender, shared->name[service]) ||
        !same(m->member, tick ? "Tick" : "PropertiesChanged") || (!tick && !same(m->interface, PROPERTIES)))
        die("unexpected message: type %u member %s sender %s error %s", m->type, shown(m->member),
            shown(m->sender), shown(m->error));
    bool wanted = false;
    for (int i = 0; i < (tick ? SENDER_RULES : NAMESPACE_RULES); i++)
        wanted |= service == (tick ? sender_service(desktop, i) : namespace_service(desktop, i));
    if (!wanted)
        die("MISDELIVERED: %s of service %d", m->member, service);
    payload_check(m, options.size, client->heard.number[service][topic]++);
}

static void check_heard(const struct desktop_client *client, int service, enum topic topic)
{
    uint64_t said = atomic_load(&shared->said[service][topic]);
    uint64_t heard = client->heard.number[service][topic];
    if (heard != said)
        die("LOST: received %llu of the %llu signals of service %d", (unsigned long long)heard,
            (unsigned long long)said, service);
}

void desktop_finish(struct desktop_client *client)
{
    struct message m;
    uint32_t serial = driver_send(&client->c, "GetId", NULL, NULL);
    for (connection_next(&client->c, &m); m.type == SIGNAL; connection_next(&client->c, &m))
        desktop_receive(client, &m);
    if (m.type != RETURN || m.reply_serial != serial)
        die("GetId: wrong reply");
    for (int i = 0; i < NAMESPACE_RULES; i++)
        check_heard(client, namespace_service(client->desktop, i), TOPIC_PROPERTIES);
    for (int i = 0; i < SENDER_RULES; i++)
        check_heard(client, sender_service(client->desktop, i), TOPIC_TICK);
}
