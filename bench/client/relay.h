/* SPDX-License-Identifier: MIT */
#ifndef BUSBENCH_RELAY_H
#define BUSBENCH_RELAY_H

#include "process.h"

/* The connection between the clients. */
enum route { ROUTE_BUS, ROUTE_DIRECT, ROUTE_SEQPACKET, ROUTE_EPOLL, ROUTE_SPIN, ROUTE_URING };

extern const char *const route_name[];

/* The floor of any relaying daemon: receives and sends without parsing. With two ends each goes to the
   other, with more the first to all others. */
struct relay {
    enum route route;
    int n;
    int fd[MAX_PROCESSES];
};

pid_t relay_spawn(struct relay *relay); /* closes its ends here */
int relay_targets(const struct relay *relay, int from, int *first);
void relay_socketpair(int type, int ends[2]);

bool uring_works(void);
void uring_relay(void *relay);
void uring_open(unsigned depth);
void uring_send_all(const int *fd, int n, const void *data, size_t size);

#endif
