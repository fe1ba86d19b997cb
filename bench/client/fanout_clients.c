/* SPDX-License-Identifier: MIT */
#include "fanout.h"

#include "clock.h"
#include "marks.h"
#include "pair.h"
#include "payload.h"
#include "process.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define BURSTS 8u /* the slots of shared->done */

void fanout_check(const struct message *m, const char *sender)
{
    if (m->type != SIGNAL || !same(m->sender, sender) || !same(m->path, PATH) ||
        !same(m->interface, INTERFACE) || !same(m->member, "Tick") || !same(m->signature, "ay") ||
        m->destination)
        die("wrong signal: type %u sender %s member %s destination %s", m->type, shown(m->sender),
            shown(m->member), shown(m->destination));
}

void fanout_burst_read(const struct fanout *f, uint64_t n)
{
    if (n % (uint64_t)f->burst)
        return;
    _Atomic uint32_t *done = &shared->done[(n / (uint64_t)f->burst - 1) % BURSTS];
    if ((atomic_fetch_add(done, 1) + 1) % (uint32_t)f->subs == 0)
        futex_wake(done);
}

static void subscribe(struct connection *c)
{
    char rule[256];
    connection_open(c);
    while (!shared->name[0][0]) /* the sender's */
        usleep(1000);
    snprintf(rule, sizeof(rule), "type='signal',sender='%s',path='%s',interface='%s',member='Tick'",
             shared->name[0], PATH, INTERFACE);
    driver_add_match(c, rule);
}

void fanout_subscriber(void *argument)
{
    struct fanout *f = argument;
    struct connection c = {0};
    struct message m;
    uint64_t number = 0;
    process_user(f->index + 1);
    if (f->route == ROUTE_BUS)
        subscribe(&c);
    else
        connection_direct(&c, f->rx[f->index], f->index);
    process_ready();
    for (;;) {
        connection_next(&c, &m);
        fanout_check(&m, shared->name[0]);
        if (payload_number(&m) == QUIT)
            break;
        payload_check(&m, f->size, number++);
        if (f->answers)
            fanout_answer(&c, number - 1);
        else
            fanout_burst_read(f, number);
    }
    atomic_store(&shared->got[f->index], number);
}

static void idle_rule(char *rule, size_t size, int client, int n)
{
    const char *kind = options.rule_kind;
    if (same(kind, "path"))
        snprintf(rule, size, "type='signal',path='/org/busbench/idle/c%d/r%d',interface='%s',member='Tick'",
                 client, n, INTERFACE);
    else if (same(kind, "sender"))
        snprintf(rule, size, "type='signal',sender='org.busbench.Idle.C%dR%d',interface='%s',member='Tick'",
                 client, n, INTERFACE);
    else if (same(kind, "namespace"))
        snprintf(rule, size,
                 "type='signal',path_namespace='/org/busbench/idle/c%d/r%d',interface='%s',member='Tick'",
                 client, n, INTERFACE);
    else if (same(kind, "arg0"))
        snprintf(rule, size, "type='signal',interface='%s',member='Tick',arg0='org.busbench.C%dR%d'",
                 INTERFACE, client, n);
    else if (same(kind, "interface"))
        snprintf(rule, size, "type='signal',interface='org.busbench.Idle.C%d.R%d',member='Tick'", client, n);
    else
        die("no rule kind %s", kind);
}

static void open_idle(struct connection *c, int client)
{
    struct message m;
    char rule[256];
    connection_open(c);
    uint32_t first = c->serial + 1;
    for (int i = 0; i < options.rules; i++) {
        struct buffer body = {0};
        idle_rule(rule, sizeof(rule), client, i);
        buffer_string(&body, rule);
        driver_send(c, "AddMatch", "s", &body);
        free(body.data);
    }
    for (int i = 0; i < options.rules; i++)
        driver_reply(c, &m, first + (uint32_t)i, "AddMatch", "");
}

void fanout_idle(void *argument)
{
    struct fanout *f = argument;
    struct connection *clients = calloc((size_t)f->idle, sizeof(*clients));
    if (!clients)
        die("out of memory");
    for (int i = 0; i < f->idle; i++)
        open_idle(&clients[i], i);
    process_ready();
    while (!atomic_load(&shared->stop))
        futex_wait(&shared->stop, 0, 1000);
    for (int i = 0; i < f->idle; i++)
        if (clients[i].at != clients[i].size || connection_fill(&clients[i], 4096, MSG_DONTWAIT))
            die("MISDELIVERED: a message reached an idle client");
}

struct sender {
    struct fanout *f;
    struct connection c;
    struct buffer header, out;
    uint32_t base; /* the serial of the first signal */
    uint64_t number, bursts;
};

static void flush(struct sender *s)
{
    if (!s->out.size)
        return;
    if (!s->f->multicast)
        connection_send(&s->c, s->out.data, s->out.size);
    else if (!multicast_send(s->f, s->out.data, s->out.size))
        atomic_fetch_add(&shared->send_errors, 1);
    s->out.size = 0;
}

static void emit(struct sender *s, uint64_t number)
{
    size_t at = s->out.size;
    buffer_put(&s->out, s->header.data, s->header.size);
    write_u32(s->out.data + at + SERIAL_AT, s->base + (uint32_t)s->number);
    payload_put(&s->out, s->f->size, number);
    if (!options.batch || s->f->multicast)
        flush(s);
}

/* Waits until at most `under_way` bursts have not been read by all. */
static void wait_for_readers(const struct sender *s, uint64_t under_way)
{
    uint64_t first = s->bursts > 2 ? s->bursts - 2 : 0;
    for (uint64_t i = first; i + under_way < s->bursts; i++) {
        uint32_t goal = (uint32_t)s->f->subs * (uint32_t)(i / BURSTS + 1), done;
        while ((done = atomic_load(&shared->done[i % BURSTS])) < goal)
            futex_wait(&shared->done[i % BURSTS], done, 1000);
    }
}

/* Each is answered by all before the next is sent. */
static void send_answered(struct sender *s, double seconds)
{
    uint64_t end = clock_ns() + clock_span(seconds);
    for (; clock_ns() < end; s->number++) {
        emit(s, s->number);
        flush(s);
        fanout_take_answers(&s->c, s->f->subs, s->number);
    }
}

static void send_for(struct sender *s, double seconds)
{
    uint64_t end = clock_ns() + clock_span(seconds);
    while (clock_ns() < end) {
        if (!s->f->blast)
            wait_for_readers(s, 1);
        for (int i = 0; i < s->f->burst; i++, s->number++)
            emit(s, s->number);
        flush(s);
        s->bursts++;
    }
    if (!s->f->blast)
        wait_for_readers(s, 0);
}

void fanout_send(void *argument)
{
    struct sender s = {.f = argument};
    struct fanout *f = s.f;
    struct result *result = &shared->result;
    if (f->route == ROUTE_BUS && !f->multicast)
        connection_open(&s.c);
    else
        connection_direct(&s.c, f->tx[0], 100);
    if (f->multicast == MULTICAST_URING)
        uring_open(256);
    snprintf(shared->name[0], sizeof(shared->name[0]), "%s", s.c.name);
    process_ready();
    header_write(&s.header, &(struct header){.type = SIGNAL,
                                             .flags = NO_REPLY,
                                             .path = PATH,
                                             .interface = INTERFACE,
                                             .member = "Tick",
                                             .sender = s.c.direct ? s.c.name : NULL,
                                             .signature = "ay",
                                             .body_size = (uint32_t)f->size});
    s.base = s.c.serial + 1;
    void (*work)(struct sender *, double) = f->answers ? send_answered : send_for;
    work(&s, options.warm);
    struct cost cost = clock_cost(&f->paid);
    mark_begin();
    uint64_t first = s.number, begin = clock_ns();
    work(&s, options.seconds);
    result->seconds = (double)(clock_ns() - begin) / 1e9;
    mark_end();
    result->cost = clock_cost_since(&f->paid, &cost);
    result->n = s.number - first;
    atomic_store(&shared->sent, s.number);
    atomic_store(&shared->stop, f->blast);
    if (f->blast)
        return;
    emit(&s, QUIT);
    flush(&s);
}
