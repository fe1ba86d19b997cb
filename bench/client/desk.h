/* SPDX-License-Identifier: MIT */
#ifndef BUSBENCH_DESK_H
#define BUSBENCH_DESK_H

/*
 * A desktop's load: half of the clients are services, half call them, one call at a time each. A service
 * says PropertiesChanged with every 4th call and Tick with every 16th. Some calls go to the driver. All have
 * rules as desktops have them; some match, so that a PropertiesChanged reaches eight and a Tick four.
 */

#include <stdint.h>

#define DESK_RULES 10

struct desk {
    int services;
    int index;        /* of this client: the services come first */
    int driver_every; /* so many calls, one goes to the driver */
    uint64_t calls;   /* of each caller; 0: until it is told to stop */
};

void desk_service(void *desk);
void desk_caller(void *desk);

#endif
