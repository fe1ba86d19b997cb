/* SPDX-License-Identifier: MIT */
#include "pair.h"

#include "clock.h"
#include "connection.h"
#include "marks.h"
#include "payload.h"
#include "process.h"

#include <stdio.h>
#include <unistd.h>

static void take_part(struct connection *c, struct pair *p, int which)
{
    process_user(which);
    if (which == 0 && options.service_address)
        options.address = options.service_address;
    if (p->route == ROUTE_BUS) {
        connection_open(c);
    } else {
        close(p->fd[!which]);
        connection_direct(c, p->fd[which], 100 + which);
    }
    snprintf(shared->name[which], sizeof(shared->name[which]), "%s", c->name);
}

/* One client's end: its pending output collects in `out`. */
struct end {
    struct pair *pair;
    struct connection c;
    const char *peer; /* NULL: a client of another bus, which is not known yet */
    char linked_peer[48];
    struct buffer header, out;
};

static void flush_output(struct end *e)
{
    if (e->out.size)
        connection_send(&e->c, e->out.data, e->out.size);
    e->out.size = 0;
}

static void answer(struct end *e, const struct message *m, uint64_t number)
{
    size_t at = e->out.size;
    payload_check(m, e->pair->size, number);
    buffer_put(&e->out, e->header.data, e->header.size);
    write_u32(e->out.data + at + SERIAL_AT, ++e->c.serial);
    write_u32(e->out.data + at + REPLY_SERIAL_AT, m->serial);
    if (e->pair->echo)
        buffer_put(&e->out, m->body, m->body_size);
    else
        buffer_put(&e->out, &number, sizeof(number));
    if (!options.batch)
        flush_output(e);
}

static void check_call(const struct end *e, const struct message *m)
{
    /* A link calls the owner of the name. */
    const bool by_name = options.wellknown && !options.service_address && !e->c.direct;
    const char *called = by_name ? WELL_KNOWN : e->c.name;
    if (m->type != CALL || !same(m->sender, e->peer) || !same(m->destination, called) ||
        !same(m->path, PATH) || !same(m->interface, INTERFACE) || !same(m->member, "Echo") ||
        !same(m->signature, "ay"))
        die("wrong call: type %u sender %s destination %s member %s", m->type, shown(m->sender),
            shown(m->destination), shown(m->member));
}

static void begin_answers(struct end *e, const char *peer)
{
    snprintf(e->linked_peer, sizeof(e->linked_peer), "%s", peer);
    e->peer = e->linked_peer;
    header_write(&e->header, &(struct header){.type = RETURN,
                                              .flags = NO_REPLY,
                                              .reply_serial = 1,
                                              .destination = e->peer,
                                              .sender = e->c.direct ? e->c.name : NULL,
                                              .signature = e->pair->echo ? "ay" : "t",
                                              .body_size = e->pair->echo ? (uint32_t)e->pair->size : 8});
}

void pair_server(void *argument)
{
    struct end e = {.pair = argument};
    struct message m;
    uint64_t number = 0;
    size_t want;
    take_part(&e.c, e.pair, 0);
    if (options.wellknown && !e.c.direct)
        driver_request_name(&e.c, WELL_KNOWN);
    process_ready();
    if (!options.service_address)
        begin_answers(&e, shared->name[1]);
    for (bool quit = false; !quit;) {
        while (!quit && connection_buffered(&e.c, &m, &want)) {
            if (m.type == SIGNAL && !e.c.direct) {
                driver_signal(&e.c, &m);
                continue;
            }
            if (!e.peer)
                begin_answers(&e, shown(m.sender));
            check_call(&e, &m);
            quit = payload_number(&m) == QUIT;
            if (!quit)
                answer(&e, &m, number++);
        }
        flush_output(&e);
        if (!quit)
            connection_fill(&e.c, want, 0);
    }
    atomic_store(&shared->got[0], number);
}

struct caller {
    struct end end;
    uint32_t base; /* the serial of the first call */
    uint64_t asked, answered;
    uint64_t begin, measured_from, first, harm; /* measured_from 0: warming up */
    struct cost cost;
    struct latency latency;
};

static void call(struct caller *r, uint64_t number)
{
    struct end *e = &r->end;
    size_t at = e->out.size;
    buffer_put(&e->out, e->header.data, e->header.size);
    write_u32(e->out.data + at + SERIAL_AT, r->base + (uint32_t)r->asked);
    payload_put(&e->out, e->pair->size, number);
    r->asked++;
    if (!options.batch)
        flush_output(e);
}

static void check_reply(const struct caller *r, const struct message *m)
{
    const struct end *e = &r->end;
    uint32_t serial = r->base + (uint32_t)r->answered;
    uint64_t number;
    if (m->type == ERROR)
        die("error reply %s: %s", shown(m->error), message_text(m));
    if (m->type != RETURN || !same(m->sender, e->peer) || !same(m->destination, e->c.name))
        die("wrong reply: type %u sender %s destination %s", m->type, shown(m->sender),
            shown(m->destination));
    if (m->reply_serial != serial)
        die("LOST OR REORDERED: reply to %u, want %u", m->reply_serial, serial);
    if (!same(m->signature, e->pair->echo ? "ay" : "t"))
        die("reply signature %s", shown(m->signature));
    if (e->pair->echo) {
        payload_check(m, e->pair->size, r->answered);
        return;
    }
    memcpy(&number, m->body, sizeof(number));
    if (m->body_size != sizeof(number) || number != r->answered)
        die("LOST OR REORDERED: the reply's body");
}

/* Takes at least one reply, then all that have arrived. */
static void take_replies(struct caller *r)
{
    struct message m;
    size_t want;
    for (bool got = false;;) {
        if (connection_buffered(&r->end.c, &m, &want)) {
            check_reply(r, &m);
            r->answered++;
            got = true;
        } else if (got) {
            return;
        } else {
            connection_fill(&r->end.c, want, 0);
        }
    }
}

static void measure(struct caller *r)
{
    const struct pair *p = r->end.pair;
    uint64_t window = p->one ? 1 : (uint64_t)p->window;
    for (;;) {
        uint64_t at = clock_ns();
        /* once warm, all pending calls end before the measured time begins */
        bool warm = at - r->begin > clock_span(options.warm);
        if (!r->measured_from && warm && r->asked == r->answered) {
            r->cost = clock_cost(&p->paid);
            r->harm = atomic_load(&shared->harm);
            r->first = r->answered;
            mark_begin();
            at = r->measured_from = clock_ns();
        }
        bool over = r->measured_from && at - r->measured_from > clock_span(options.seconds);
        bool hold = over || (warm && !r->measured_from);
        while (!hold && r->asked - r->answered < window)
            call(r, r->asked);
        flush_output(&r->end);
        if (r->asked != r->answered)
            take_replies(r);
        else if (over)
            return;
        if (p->one && r->measured_from && !over)
            latency_add(&r->latency, clock_ns() - at);
    }
}

/* Waits until a link has given the service's name to a stand-in, which is the peer here. */
static void await_linked_peer(struct end *e)
{
    struct buffer name = {0};
    struct message m;
    buffer_string(&name, WELL_KNOWN);
    for (uint32_t owned = 0; !owned; usleep(1000)) {
        driver_call(&e->c, &m, "NameHasOwner", "s", &name, "b");
        memcpy(&owned, m.body, sizeof(owned));
    }
    driver_call(&e->c, &m, "GetNameOwner", "s", &name, "s");
    snprintf(e->linked_peer, sizeof(e->linked_peer), "%s", message_text(&m));
    e->peer = e->linked_peer;
}

void pair_client(void *argument)
{
    struct caller r = {.end = {.pair = argument}};
    struct pair *p = argument;
    struct end *e = &r.end;
    take_part(&e->c, p, 1);
    process_ready();
    e->peer = shared->name[0];
    if (options.service_address)
        await_linked_peer(e);
    header_write(&e->header,
                 &(struct header){.type = CALL,
                                  .path = PATH,
                                  .interface = INTERFACE,
                                  .member = "Echo",
                                  .destination = options.wellknown && !e->c.direct ? WELL_KNOWN : e->peer,
                                  .sender = e->c.direct ? e->c.name : NULL,
                                  .signature = "ay",
                                  .body_size = (uint32_t)p->size});
    r.base = e->c.serial + 1;
    r.begin = clock_ns();
    measure(&r);
    struct result *result = &shared->result;
    result->seconds = (double)(clock_ns() - r.measured_from) / 1e9;
    mark_end();
    result->cost = clock_cost_since(&p->paid, &r.cost);
    result->harm = atomic_load(&shared->harm) - r.harm;
    result->n = r.answered - r.first;
    result->bytes = result->n * p->size;
    if (p->one)
        latency_finish(&r.latency, &result->us);
    e->header.data[2] = NO_REPLY;
    call(&r, QUIT);
    flush_output(e);
    atomic_store(&shared->got[1], r.answered);
}
