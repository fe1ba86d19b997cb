/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_LOAD_H
#define OMNIBUS_LOAD_H

#include "connection.h"
#include "options.h"
#include "process.h"

#include <stdatomic.h>

/* Clients that load a bus and check what comes of it. Whatever is not as it has to be ends all of them. */

#define PATH "/org/omnibus/load"
#define INTERFACE "org.omnibus.Load"
#define RULE "type='signal',interface='" INTERFACE "',member='%s'"
#define MAX_CLIENTS 12
#define MAX_MESSAGES (1u << 17) /* that one client may send */

struct load {
    int clients, count, deadline;
    uint32_t seed;
};

extern struct load load;

bool order_run(void);   /* many clients, and everything that sends messages round by way of the bus */
bool match_run(void);   /* AddMatch, then a call that emits a signal */
bool monitor_run(void); /* a monitor that comes and goes while others talk */

/* xorshift: below n, n > 0. */
uint32_t random_below(uint32_t *state, uint32_t n);
uint32_t random_begin(int number);

/* A message whose body is words of 32 bits; the serial is the caller's affair. */
void words_send(struct connection *c, struct header *header, uint32_t serial, const uint32_t *words, int n);
uint32_t word(const struct message *m, int at);

/* A method of the bus with one text, for whose answer the caller looks. */
uint32_t driver_ask(struct connection *c, const char *member, const char *text);
void become_monitor(struct connection *c);
void pause_for(uint32_t microseconds);
/* The next message if one is there. */
bool next_here(struct connection *c, struct message *m);

#endif
