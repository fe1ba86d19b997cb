/* SPDX-License-Identifier: MIT */
#include "desktop.h"

#include "clock.h"
#include "desktop_client.h"
#include "pair.h"
#include "payload.h"

#include <stdio.h>
#include <stdlib.h>

#define PROPERTIES_EVERY 4
#define TICK_EVERY 16
#define IDLE_RULE "type='signal',interface='org.busbench.Passing',member='By'"

/* Writes the pending messages: one at a time, as client libraries do. */
static void flush_output(struct desktop_client *client)
{
    connection_send(&client->c, client->out.data, client->out.size);
    client->out.size = 0;
}

static void emit(struct desktop_client *client, enum topic topic)
{
    static struct buffer header;
    char path[64];
    int self = client->desktop->index;
    uint64_t number = atomic_fetch_add(&shared->said[self][topic], 1);
    snprintf(path, sizeof(path), "/org/busbench/desk/%d/object%llu", self, (unsigned long long)number % 10);
    header_write(&header, &(struct header){.type = SIGNAL,
                                           .flags = NO_REPLY,
                                           .path = path,
                                           .interface = topic == TOPIC_TICK ? TICKS : PROPERTIES,
                                           .member = topic == TOPIC_TICK ? "Tick" : "PropertiesChanged",
                                           .signature = "ay",
                                           .body_size = (uint32_t)options.size});
    write_u32(header.data + SERIAL_AT, ++client->c.serial);
    buffer_put(&client->out, header.data, header.size);
    payload_put(&client->out, options.size, number);
    if (!options.batch)
        flush_output(client);
}

static void answer(struct desktop_client *client, const struct message *m)
{
    static struct buffer header;
    payload_check(m, options.size, payload_number(m));
    header_write(&header, &(struct header){.type = RETURN,
                                           .flags = NO_REPLY,
                                           .reply_serial = m->serial,
                                           .destination = m->sender,
                                           .signature = "ay",
                                           .body_size = m->body_size});
    write_u32(header.data + SERIAL_AT, ++client->c.serial);
    buffer_put(&client->out, header.data, header.size);
    buffer_put(&client->out, m->body, m->body_size);
    flush_output(client);
}

void desktop_service(void *argument)
{
    struct desktop desktop = *(struct desktop *)argument;
    struct desktop_client client = {.desktop = &desktop};
    struct message m;
    desktop_open(&client);
    for (uint64_t n = 1;;) {
        connection_next(&client.c, &m);
        atomic_fetch_add_explicit(&shared->got[desktop.index], 1, memory_order_relaxed);
        if (m.type != CALL) {
            desktop_receive(&client, &m);
            continue;
        }
        if (!same(m.path, PATH) || !same(m.interface, INTERFACE) || !same(m.member, "Echo"))
            die("wrong call: member %s sender %s", shown(m.member), shown(m.sender));
        if (payload_number(&m) == QUIT)
            break;
        /* before the reply, so that the caller's next step comes after them */
        if (n % PROPERTIES_EVERY == 0)
            emit(&client, TOPIC_PROPERTIES);
        if (n % TICK_EVERY == 0)
            emit(&client, TOPIC_TICK);
        answer(&client, &m);
        n++;
    }
    desktop_finish(&client);
}

static void await(struct desktop_client *client, struct message *m, uint32_t serial, const char *sender)
{
    for (;;) {
        connection_next(&client->c, m);
        atomic_fetch_add_explicit(&shared->got[client->desktop->index], 1, memory_order_relaxed);
        if (m->type != SIGNAL)
            break;
        desktop_receive(client, m);
    }
    if (m->type == ERROR)
        die("error reply %s: %s", shown(m->error), message_text(m));
    if (m->type != RETURN || m->reply_serial != serial || !same(m->sender, sender) ||
        !same(m->destination, client->c.name))
        die("wrong reply: type %u sender %s", m->type, shown(m->sender));
}

static void call_service(struct desktop_client *client, int service, uint64_t number, uint8_t flags)
{
    static struct buffer header;
    header_write(&header, &(struct header){.type = CALL,
                                           .flags = flags,
                                           .path = PATH,
                                           .interface = INTERFACE,
                                           .member = "Echo",
                                           .destination = shared->name[service],
                                           .signature = "ay",
                                           .body_size = (uint32_t)options.size});
    write_u32(header.data + SERIAL_AT, ++client->c.serial);
    payload_put(&header, options.size, number);
    connection_send(&client->c, header.data, header.size);
}

static void call_driver(struct desktop_client *client, uint64_t number)
{
    static const char *const members[] = {"AddMatch", "GetNameOwner", "RemoveMatch", "NameHasOwner"};
    struct buffer body = {0};
    struct message m;
    const char *member = members[number % 4];
    buffer_string(&body, number % 2 ? client->c.name : IDLE_RULE);
    await(client, &m, driver_send(&client->c, member, "s", &body), BUS);
    atomic_fetch_add_explicit(&shared->got[client->desktop->index], 1, memory_order_relaxed); /* the call */
    if (same(member, "GetNameOwner") && !same(message_text(&m), client->c.name))
        die("GetNameOwner: %s", message_text(&m));
    free(body.data);
}

/* Waits until all callers have their last reply; all signals caused by the calls precede it. */
static void wait_for_callers(const struct desktop *desktop)
{
    uint32_t done;
    atomic_fetch_add(&shared->step_done, 1);
    futex_wake(&shared->step_done);
    while ((done = atomic_load(&shared->step_done)) < (uint32_t)desktop->services)
        futex_wait(&shared->step_done, done, 100);
}

void desktop_caller(void *argument)
{
    struct desktop desktop = *(struct desktop *)argument;
    struct desktop_client client = {.desktop = &desktop};
    struct message m;
    uint32_t random = (uint32_t)desktop.index;
    uint64_t every = (uint64_t)desktop.driver_every;
    desktop_open(&client);
    for (uint64_t n = 0; desktop.calls ? n < desktop.calls : !atomic_load(&shared->stop); n++) {
        if (n % every == every - 1) {
            call_driver(&client, n / every);
            continue;
        }
        random = random * 1664525 + 1013904223;
        int service = (int)((random >> 8) % (uint32_t)desktop.services);
        uint64_t begin = clock_ns();
        call_service(&client, service, n, 0);
        await(&client, &m, client.c.serial, shared->name[service]);
        payload_check(&m, options.size, n);
        if (atomic_load(&shared->step))
            histogram_add(&shared->times, clock_ns() - begin);
    }
    wait_for_callers(&desktop);
    call_service(&client, desktop.index - desktop.services, QUIT, NO_REPLY);
    desktop_finish(&client);
}
