/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_LOAD_H
#define OMNIBUS_LOAD_H

#include "connection.h"
#include "options.h"
#include "process.h"

#include <stdatomic.h>

/* Clients that load a bus and check every message. A violation ends all of them. */

#define PATH "/org/omnibus/load"
#define INTERFACE "org.omnibus.Load"
#define RULE "type='signal',interface='" INTERFACE "',member='%s'"
#define MAX_CLIENTS 12
#define MAX_MESSAGES (1u << 17) /* limit of one client */

struct load {
    int clients, count, deadline;
    uint32_t seed;
};

extern struct load load;

bool order_run(void);   /* many clients, and everything that makes messages go through the bus */
bool match_run(void);   /* AddMatch, then a call that emits a signal */
bool monitor_run(void); /* a monitor that comes and goes under load */

/* xorshift: below n, n > 0. */
uint32_t random_below(uint32_t *state, uint32_t n);
uint32_t random_begin(int number);

/* Sends a message with a body of 32-bit words; the caller chooses the serial. */
void words_send(struct connection *c, struct header *header, uint32_t serial, const uint32_t *words, int n);
uint32_t word(const struct message *m, int at);

/* Calls a driver method with one string; the caller awaits the reply. */
uint32_t driver_ask(struct connection *c, const char *member, const char *text);
void become_monitor(struct connection *c);
void pause_for(uint32_t microseconds);
/* The next message, if one has arrived. */
bool next_here(struct connection *c, struct message *m);

#endif
