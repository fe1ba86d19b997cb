/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_TAKEOVER_OBSTACLES_H
#define OMNIBUS_TAKEOVER_OBSTACLES_H

#include <stdbool.h>
#include <stddef.h>

/* What is in the way at the moment. Some of it passes by itself; connections can be ended (--force). */
struct obstacle {
    int fd; /* of the connection; -1: it is about no connection */
    char text[160];
};

struct obstacles {
    struct obstacle *all;
    size_t n, room;
    bool failed; /* no memory: there may be more */
};

void obstacles_clear(struct obstacles *o);
void obstacles_add(struct obstacles *o, int fd, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static inline bool obstacles_none(const struct obstacles *o)
{
    return o->n == 0 && !o->failed;
}
/* True if each can be removed by ending a connection. */
bool obstacles_can_end(const struct obstacles *o);
void obstacles_print(const struct obstacles *o, const char *before);
void obstacles_free(struct obstacles *o);

#endif
