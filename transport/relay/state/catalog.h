/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_CATALOG_H
#define OMNIBUS_CATALOG_H

#include "base/follower.h"
#include "base/span.h"
#include "base/table.h"

#include <stddef.h>

/*
 * The catalogue: the names of all services that can be started, as the control plane has read them.
 *
 * The control plane reads the service directories and makes the catalogue with a follower of all that it has
 * read. As long as the follower sees no change, the data plane answers by the catalogue: whether a name can
 * be started, and which names can. After a change it hands the question up, and the control plane reads
 * again. So a file counts at once, nothing is listed or examined before something has changed, and only one
 * plane knows how services are described.
 */
struct catalog_entry {
    struct table_node node;
    struct span name;
};

struct catalog {
    struct follower *follower; /* NULL: changes are not noticed, so it is never current */
    struct table names;
    struct catalog_entry *entries;
    size_t size;    /* of list */
    uint8_t list[]; /* the answer of ListActivatableNames, marshalled in little endian: as */
};

/* Takes ownership of the follower, unless it fails. -EINVAL: the list is none; -ENOMEM. */
int catalog_new(struct catalog **out, struct follower *follower, const uint8_t *list, size_t size);
void catalog_free(struct catalog *catalog);
/* True if it says what the service directories have now. NULL: there is none. */
bool catalog_is_current(const struct catalog *catalog);
bool catalog_has(const struct catalog *catalog, struct span name);

#endif
