/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_ADMIT_H
#define OMNIBUS_ADMIT_H

#include "accept/identity.h"
#include "state/bus.h"

/* A connection that has authenticated as who the kernel says it is. */
struct admission {
    struct peer *peer; /* a place for it */
    int fd, listener;
    struct identity_user user;
    bool fd_passing;
    bool watched; /* as in bus_attach */
    bool unread;  /* there may be more in the socket, of which no event will tell */
    const uint8_t *leftover;
    size_t size;
    const int *fds; /* that came with it */
    uint32_t n_fds;
};

enum admitted {
    ADMIT_DONE, /* the descriptors belong to the peer; without memory both are gone */
    ADMIT_REFUSED,
    ADMIT_UNKNOWN, /* its groups have to be looked up: nothing was done */
};

enum admitted admit_connection(struct bus *bus, const struct admission *admission);

#endif
