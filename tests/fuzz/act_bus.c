/* SPDX-License-Identifier: MIT */
#include "control.h"
#include "plan.h"
#include "send.h"

#include <signal.h>
#include <unistd.h>

/* A client that has read nothing for 2000 milliseconds has stalled, which is checked every 500. */
#define STALLED 2700
/* One that has read nothing for 30 seconds is disconnected, if its queue is full. */
#define STUCK 31500

/* The configuration's file is a link, which is replaced in one step. */
static void link_configuration(struct world *w, uint32_t number)
{
    char target[32], link[256], next[256];
    snprintf(target, sizeof(target), "conf.%u", number);
    snprintf(link, sizeof(link), "%s/bus.conf", w->settings.directory);
    snprintf(next, sizeof(next), "%s/bus.conf.new", w->settings.directory);
    unlink(next);
    if (symlink(target, next) < 0 || rename(next, link) < 0)
        fail(w, "can't link %s", link);
}

void bus_configure(struct world *w, uint32_t number)
{
    link_configuration(w, number);
    if (!control_call(w, "ReloadConfig", NULL))
        fail(w, "ReloadConfig is refused");
    reached[REACHED_RELOADED]++;
}

/* Does not wait for it: the clients continue meanwhile. */
void act_reload(struct world *w, struct prng *p)
{
    uint32_t number = prng_below(p, w->settings.configurations);
    bool by_signal = prng_one_in(p, 2);
    plan_note(w, number, by_signal, 0);
    w->reloaded = true;
    for (uint32_t i = 0; i < w->n_clients; i++)
        for (uint32_t k = 0; k < w->clients[i]->planned.n; k++)
            w->clients[i]->planned.at[k].must = 0;
    link_configuration(w, number);
    reached[REACHED_RELOADED]++;
    if (by_signal)
        kill(w->settings.bus, SIGHUP);
    else
        send_sync(w, w->control, "ReloadConfig", NULL);
}

static void nap(struct world *w, uint32_t milliseconds)
{
    int64_t end = now_ms() + milliseconds, left;
    while ((left = end - now_ms()) > 0)
        pump(w, (int)left);
}

void act_nap(struct world *w, struct prng *p)
{
    uint32_t milliseconds = prng_between(p, 1, 12);
    plan_note(w, milliseconds, 0, 0);
    nap(w, milliseconds);
}

static void look(struct world *w, const struct client *c)
{
    if (!client_alive(c) || c->state != CLIENT_ACTIVE || c->monitor || !control_ask(w, c->unique))
        return;
    reached[REACHED_PAUSED] += control_value(w, "omnibus.Paused");
    reached[REACHED_STALLED] += control_value(w, "omnibus.Stalled");
    reached[REACHED_QUEUED] += control_value(w, "OutgoingMessages") > 0;
    reached[REACHED_PARKED] += control_value(w, "omnibus.MessagesParked") > 0;
}

void act_look(struct world *w, struct prng *p)
{
    (void)p;
    for (uint32_t i = 0; i < w->n_clients; i++)
        look(w, w->clients[i]);
}

/* Delays the end of a message with a descriptor. */
static void hold_descriptor(struct world *w, struct client *c)
{
    struct wish wish = {.type = WIRE_SIGNAL, .tagged = true, .size = 500, .to = TO_ALL, .n_fds = 1};
    if (!c)
        return;
    send_wish(w, c, &wish);
    if (client_alive(c) && c->hold_at == NEVER)
        c->hold_at = c->out.size - 50;
}

/* Lets a client read nothing until it has stalled, and sends it more then. */
void act_stall(struct world *w, struct prng *p)
{
    struct client *c = plan_client(w), *other = plan_client(w);
    struct wish wish = {.type = WIRE_SIGNAL, .tagged = true, .size = 700};
    uint32_t n = prng_between(p, 300, 1500);
    bool stuck = prng_one_in(p, 12) && !w->settings.wide;
    if (!c || !other)
        return;
    wish.to = c->id;
    c->reading = false;
    c->may_be_cut |= stuck;
    hold_descriptor(w, plan_client(w));
    for (uint32_t round = 0; round < 2; round++) {
        for (uint32_t i = 0; i < n; i++)
            send_wish(w, other, &wish);
        if (round == 0)
            nap(w, stuck ? STUCK : STALLED);
    }
    act_look(w, p);
    act_release(w, p);
}
