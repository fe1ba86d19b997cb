/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_COUNTED_H
#define OMNIBUS_COUNTED_H

#include "base/json.h"
#include "state/bus.h"

/* What went directly: of one connection, or of all together. */
struct counted {
    uint64_t sent, received;
    uint64_t broadcasts; /* of those that were sent */
    uint32_t calls;      /* without a reply so far */
};

struct counted direct_counted(const struct bus *bus, const struct peer *peer); /* NULL: of all */
/* Into an object: members, direct, direct_deliveries, spilled, and asked, messages that were not, by reason.
 */
void direct_export(const struct bus *bus, struct json *json);

#endif
