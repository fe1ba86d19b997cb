/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_ADMIT_H
#define OMNIBUS_ADMIT_H

#include "bus.h"

/* A connection that has authenticated as who the kernel says it is. */
struct admission {
    int fd, listener;
    int64_t began;
    bool fd_passing;
    bool watched; /* epoll knows the descriptor */
    const uint8_t *leftover;
    size_t size;
    const int *fds; /* that came with it */
    uint32_t n_fds;
};

enum admitted {
    ADMIT_DONE, /* the descriptors belong to the peer, or are closed if there was no memory for that */
    ADMIT_REFUSED,
    ADMIT_UNKNOWN, /* its groups have to be looked up: nothing was done */
};

enum admitted admit_connection(struct bus *bus, const struct admission *admission);

#endif
