/* SPDX-License-Identifier: MIT */
#ifndef BUSBENCH_FANOUT_H
#define BUSBENCH_FANOUT_H

#include "connection.h"
#include "options.h"
#include "relay.h"

enum multicast { MULTICAST_NONE, MULTICAST_UDP, MULTICAST_NETLINK, MULTICAST_LOOP, MULTICAST_URING };

/* One sender of signals, many subscribers. */
struct fanout {
    enum route route;
    enum multicast multicast; /* instead of a route */
    int subs, idle;
    int index;    /* of the subscriber that is being spawned */
    int burst;    /* half of the window: at most two bursts are under way */
    bool answers; /* each signal is answered by all, over the bus, before the next */
    bool blast;   /* no flow control, and receiver 0 is slow */
    int n_tx;
    int tx[MAX_PROCESSES], rx[MAX_PROCESSES];
    size_t size;
    struct pids paid;
};

void fanout_run(const char *name, enum route route, int subs, int idle, bool answers);
void fanout_send(void *fanout);       /* the sender */
void fanout_subscriber(void *fanout); /* through a bus or a relay */
void fanout_idle(void *fanout);       /* many clients with rules that don't match, in one process */

void fanout_check(const struct message *m, const char *sender);
void fanout_burst_read(const struct fanout *f,
                       uint64_t n); /* notifies the sender, if n signals end a burst */

void fanout_answer(struct connection *c, uint64_t number);                 /* the subscriber's */
void fanout_take_answers(struct connection *c, int subs, uint64_t number); /* the sender waits for them */

void multicast_run(const char *name, enum multicast kind, int subs, bool blast);
bool multicast_send(const struct fanout *f, const void *data, size_t size);
void multicast_subscriber(void *fanout);

#endif
