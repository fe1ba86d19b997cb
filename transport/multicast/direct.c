/* SPDX-License-Identifier: MIT */
#include "direct.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

struct direct {
    int group;
    uint32_t max_members;
    bool trust_everybody;
};

int direct_begin(struct bus *bus, int group, uint32_t max_members, bool trust_everybody)
{
    bus->direct = calloc(1, sizeof(*bus->direct));
    if (!bus->direct) {
        close(group);
        return -ENOMEM;
    }
    *bus->direct = (struct direct){group, max_members, trust_everybody};
    return 0;
}

void direct_end(struct bus *bus)
{
    if (bus->direct)
        close(bus->direct->group);
    free(bus->direct);
    bus->direct = NULL;
}
