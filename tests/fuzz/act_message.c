/* SPDX-License-Identifier: MIT */
#include "plan.h"
#include "send.h"

#define SLOW_FLOOD 500u

static uint32_t pick_size(struct prng *p)
{
    uint32_t bits = prng_between(p, 7, plan_size_bits);
    return (1u << bits) + prng_below(p, 1u << bits);
}

static uint8_t pick_fds(const struct world *w, struct prng *p)
{
    return (uint8_t)(prng_one_in(p, 6) ? prng_between(p, 1, w->settings.max_fds) : 0);
}

/* A client by its unique name, connected or not; or a name that it may own, or one without an owner. */
static uint32_t pick_receiver(struct world *w, struct prng *p)
{
    uint32_t choice = prng_below(p, 100), any = prng_below(p, w->n_clients),
             name = prng_below(p, NAMES_SHARED);
    uint32_t slot = prng_below(p, plan_n_slots);
    struct client *c = plan_client(w);
    if (choice < 70 && c)
        return c->id;
    if (choice < 80)
        return TO_NAME | name_of_slot(slot);
    if (choice < 92)
        return TO_NAME | name;
    return choice < 96 ? any : TO_ABSENT;
}

static struct wish pick_wish(struct world *w, struct prng *p, uint8_t type)
{
    struct wish wish = {.type = type, .topic = prng_below(p, TOPICS), .big = prng_one_in(p, 8)};
    wish.tagged = !prng_one_in(p, 5);
    wish.size = pick_size(p);
    wish.n_fds = pick_fds(w, p);
    wish.forged = prng_one_in(p, 10);
    wish.unknown = prng_one_in(p, 10);
    wish.mode = (enum mode)(prng_one_in(p, 3) ? prng_below(p, MODES) : MODE_RETURN);
    wish.flags = prng_one_in(p, 8) ? WIRE_NO_AUTO_START : 0;
    return wish;
}

void act_broadcast(struct world *w, struct prng *p)
{
    struct client *c = plan_client(w);
    struct wish wish = pick_wish(w, p, WIRE_SIGNAL);
    wish.to = TO_ALL;
    if (c)
        send_wish(w, c, &wish);
}

void act_signal(struct world *w, struct prng *p)
{
    struct client *c = plan_client(w);
    struct wish wish = pick_wish(w, p, WIRE_SIGNAL);
    wish.to = pick_receiver(w, p);
    wish.flags |= prng_one_in(p, 2) ? WIRE_NO_REPLY : 0;
    if (c)
        send_wish(w, c, &wish);
}

void act_call(struct world *w, struct prng *p)
{
    struct client *c = plan_client(w);
    struct wish wish = pick_wish(w, p, WIRE_CALL);
    wish.to = pick_receiver(w, p);
    wish.flags |= prng_one_in(p, 4) ? WIRE_NO_REPLY : 0;
    if (c)
        send_wish(w, c, &wish);
}

void act_unknown_type(struct world *w, struct prng *p)
{
    struct client *c = plan_client(w);
    struct wish wish = pick_wish(w, p, (uint8_t)prng_between(p, 5, 255));
    wish.to = prng_one_in(p, 4) ? TO_ALL : pick_receiver(w, p);
    if (c)
        send_wish(w, c, &wish);
}

/* A reply without a call: no call has this serial. */
void act_stray_reply(struct world *w, struct prng *p)
{
    struct client *c = plan_client(w);
    struct wish wish = pick_wish(w, p, prng_one_in(p, 2) ? WIRE_RETURN : WIRE_ERROR);
    wish.to = pick_receiver(w, p);
    wish.reply_serial = 0x7fffff00u + prng_below(p, 256);
    wish.mode = MODE_TWICE;
    if (c)
        send_wish(w, c, &wish);
}

void act_again(struct world *w, struct prng *p)
{
    struct client *c = plan_client(w);
    (void)p;
    if (c)
        send_again(w, c);
}

/* Any message to an activatable name. */
void act_service(struct world *w, struct prng *p)
{
    struct client *c = plan_client(w);
    uint8_t type = (uint8_t)(prng_one_in(p, 4) ? prng_between(p, 1, 255) : WIRE_CALL);
    uint32_t name = NAMES_SHARED + prng_below(p, NAMES_SERVICES),
             n = prng_one_in(p, 3) ? prng_below(p, 20) : 1;
    for (uint32_t i = 0; i < n; i++) {
        struct wish wish = pick_wish(w, p, type);
        wish.to = TO_NAME | name;
        wish.reply_serial = type == WIRE_RETURN || type == WIRE_ERROR ? 0x7fffff00u : 0;
        wish.mode = wish.reply_serial ? MODE_TWICE : wish.mode;
        if (c && w->settings.services)
            send_wish(w, c, &wish);
    }
}

/* Many small messages at once, to one receiver or to all. */
void act_flood(struct world *w, struct prng *p)
{
    struct client *c = plan_client(w);
    uint32_t bits = prng_between(p, 4, plan_flood_bits), n = (1u << bits) + prng_below(p, 1u << bits);
    struct wish wish = {.type = WIRE_SIGNAL, .topic = prng_below(p, TOPICS)};
    bool calls = prng_one_in(p, 3), tagged = prng_one_in(p, 2);
    wish.to = prng_one_in(p, 4) && !calls ? TO_ALL : pick_receiver(w, p);
    if (wish.to >= TO_NAME && wish.to != TO_ALL && n > SLOW_FLOOD)
        n = SLOW_FLOOD; /* the control plane looks for the name's service each time */
    wish.type = calls ? WIRE_CALL : WIRE_SIGNAL;
    wish.mode = prng_one_in(p, 4) ? MODE_NEVER : MODE_RETURN;
    wish.flags = calls && prng_one_in(p, 2) ? WIRE_NO_REPLY : 0;
    wish.tagged = tagged;
    for (uint32_t i = 0; i < n && c; i++) {
        wish.size = 150 + prng_below(p, 400);
        send_wish(w, c, &wish);
        if (i % 256 == 255)
            pump(w, 0);
    }
}
