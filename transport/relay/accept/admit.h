/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_ADMIT_H
#define OMNIBUS_ADMIT_H

#include "accept/peer_creds.h"
#include "state/bus.h"

/* A connection that has authenticated with the credentials that the kernel reports. */
struct admission {
    struct peer *peer; /* allocated by the caller */
    int fd, listener;
    struct peer_creds_user user;
    bool fd_passing;
    bool watched; /* as in bus_attach */
    bool unread;  /* the socket may have more, which no event will report */
    const uint8_t *leftover;
    size_t size;
    const int *fds; /* that came with the leftover */
    uint32_t n_fds;
};

enum admitted {
    ADMIT_DONE, /* the descriptors belong to the peer; without memory both are closed */
    ADMIT_REFUSED,
    ADMIT_UNKNOWN, /* its groups have to be looked up by the control plane: nothing was done */
};

/* Whether a user is at the console: looked up only if the policy has rules that depend on it. */
bool admit_at_console(const struct bus *bus, uint32_t uid);
enum admitted admit_connection(struct bus *bus, const struct admission *admission);

#endif
