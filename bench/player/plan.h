/* SPDX-License-Identifier: MIT */
#ifndef PLAYER_PLAN_H
#define PLAYER_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#define NO_EVENT UINT32_MAX
#define NO_LINE 0u /* of what is not in the trace */

/* Something to wait for or to count, see ../plan.py. How often it happened is in shared memory. */
struct event {
    uint32_t line, least, most;
    const char *answer, *key;
    uint32_t next;    /* in its bucket */
    uint32_t waiting; /* the first connection of this process that waits for it */
};

/* What a connection does next. */
struct op {
    uint32_t connection, line, n_waits, broadcasts, own, reply, serial, reply_serial, size, fds;
    const uint32_t *waits;
    uint64_t t; /* microseconds */
    char kind;
    bool start;
    uint8_t flags;
    const char *dest, *path, *interface, *member, *error, *body, *group;
    uint32_t next; /* of the same connection */
};

struct plan {
    uint32_t n_connections, n_events, n_ops, n_buckets;
    struct event *events;
    struct op *ops;
    uint32_t *buckets;
    uint32_t *first; /* the first op of each connection */
};

void plan_read(struct plan *plan, const char *path); /* dies with file and line */
uint32_t plan_find(const struct plan *plan, const char *key);

#endif
