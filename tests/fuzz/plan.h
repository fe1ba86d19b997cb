/* SPDX-License-Identifier: MIT */
#ifndef FUZZ_PLAN_H
#define FUZZ_PLAN_H

#include "world.h"

/*
 * A round is a sequence of actions that depends only on the seed and the round's number: neither on the
 * messages of the bus nor on their timing. Only a client's reactions depend on these: it answers calls,
 * always in the way that the call requests.
 */
void plan_round(struct world *w);

/* The plan's view of the state, whatever the bus has done. */
struct plan_slot {
    bool taken;
    bool serves; /* its client has asked for a container's server */
    uint32_t client;
};
extern struct plan_slot plan_slots[SLOTS_MAX];
extern uint32_t plan_n_slots; /* of this round */

/* A random client; NULL: there is none. */
struct client *plan_client(struct world *w);
/* One that has asked for a container's server, if there is one. */
struct client *plan_manager(struct world *w);
/* The round's largest message and longest flood. */
extern uint32_t plan_size_bits, plan_flood_bits;

typedef void (*action)(struct world *w, struct prng *p);
/* act_connection.c */
void act_connect(struct world *w, struct prng *p);
void act_contained(struct world *w, struct prng *p);
void act_loiter(struct world *w, struct prng *p);
void act_kill(struct world *w, struct prng *p);
void act_close(struct world *w, struct prng *p);
void act_shut(struct world *w, struct prng *p);
void act_stop_reading(struct world *w, struct prng *p);
void act_read(struct world *w, struct prng *p);
void act_chunk(struct world *w, struct prng *p);
void act_hold(struct world *w, struct prng *p);
void act_release(struct world *w, struct prng *p);
void act_wild(struct world *w, struct prng *p);
/* act_message.c */
void act_broadcast(struct world *w, struct prng *p);
void act_signal(struct world *w, struct prng *p);
void act_call(struct world *w, struct prng *p);
void act_unknown_type(struct world *w, struct prng *p);
void act_stray_reply(struct world *w, struct prng *p);
void act_again(struct world *w, struct prng *p);
void act_service(struct world *w, struct prng *p);
void act_flood(struct world *w, struct prng *p);
/* act_driver.c */
void act_driver(struct world *w, struct prng *p);
void act_driver_flood(struct world *w, struct prng *p);
void act_add_rule(struct world *w, struct prng *p);
void act_remove_rule(struct world *w, struct prng *p);
void act_request_name(struct world *w, struct prng *p);
void act_release_name(struct world *w, struct prng *p);
void act_monitor(struct world *w, struct prng *p);
/* act_container.c */
void act_add_server(struct world *w, struct prng *p);
void act_stop_server(struct world *w, struct prng *p);
void act_request_header(struct world *w, struct prng *p);
void act_metadata(struct world *w, struct prng *p);
/* act_bus.c */
void act_reload(struct world *w, struct prng *p);
void act_nap(struct world *w, struct prng *p);
void act_look(struct world *w, struct prng *p);
void act_stall(struct world *w, struct prng *p);
void bus_configure(struct world *w, uint32_t number); /* takes another configuration; waits for that */

#endif
