/* SPDX-License-Identifier: MIT */
#ifndef BUSBENCH_DESKTOP_H
#define BUSBENCH_DESKTOP_H

/*
 * A desktop's load: half of the clients are services, half call them, one call at a time each. A service
 * emits PropertiesChanged with every 4th call and Tick with every 16th. Some calls go to the driver. All have
 * rules as desktops have them; some match, so that a PropertiesChanged reaches eight and a Tick four.
 */

#include <stdint.h>

#define DESK_RULES 10

struct desktop {
    int services;
    int index;        /* of this client: the services come first */
    int driver_every; /* one call in so many goes to the driver */
    uint64_t calls;   /* of each caller; 0: until shared->stop */
};

void desktop_service(void *desktop);
void desktop_caller(void *desktop);

#endif
