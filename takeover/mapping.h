/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_TAKEOVER_MAPPING_H
#define OMNIBUS_TAKEOVER_MAPPING_H

#include "sockets.h"
#include "traffic.h"

/* A unique name whose descriptor is sought, and the process that the daemon says it belongs to; 0: unknown.
 */
struct mapping_wanted {
    uint64_t id;
    uint32_t pid;
};

/*
 * Concludes from the sightings whose connection is whose. A probe goes to its destination, and to those that
 * eavesdrop: a descriptor that got only one probe is its destination's; what is left when these are known
 * belongs to eavesdroppers. A process has to be the one that the kernel has noted for the socket. Returns how
 * many are still unknown.
 */
size_t mapping_conclude(struct traffic *t, const struct sockets *sockets, const struct mapping_wanted *wanted,
                        size_t n);

#endif
