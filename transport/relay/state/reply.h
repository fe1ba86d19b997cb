/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_REPLY_H
#define OMNIBUS_REPLY_H

#include "base/list.h"
#include "base/table.h"

struct peer;

/* A pending reply: the callee may send the caller one reply to serial. */
struct reply {
    struct table_node node; /* replies.table, by caller, callee and serial */
    struct list in_caller;  /* peer.calls */
    struct list in_callee;  /* peer.owed, the oldest first */
    struct list in_time;    /* replies.by_time, the oldest first; unlinked: it never times out */
    struct peer *caller, *callee;
    uint32_t serial;
    int64_t since; /* monotonic milliseconds; 0: no timeout was configured */
    int64_t noted; /* coarse monotonic milliseconds; 0: by a program before an upgrade */
};

struct replies {
    struct table table;
    struct list by_time;
    struct table_node *spare; /* removed nodes, for reuse */
    uint32_t n_spare;
};

/* True if the caller still accepts a reply. */
bool reply_awaited(const struct peer *caller);
int replies_init(struct replies *replies);
void replies_free(struct replies *replies); /* after all peers are gone */
struct reply *replies_find(const struct replies *replies, const struct peer *caller,
                           const struct peer *callee, uint32_t serial);
struct reply *replies_add(struct replies *replies, struct peer *caller, struct peer *callee, uint32_t serial,
                          int64_t now); /* NULL: no memory */
void replies_remove(struct replies *replies, struct reply *reply);

#endif
