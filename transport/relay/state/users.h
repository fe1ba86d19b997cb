/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_USERS_H
#define OMNIBUS_USERS_H

#include "base/table.h"

struct bus;
struct event;

/* The state shared by the connections of one uid. */
struct user {
    struct table_node node; /* bus.users, by uid */
    uint32_t uid;
    uint32_t references;   /* of connections, and of reports */
    uint32_t n_active;     /* connections that have sent Hello */
    uint32_t n_reports;    /* reports with the control plane: see report.h */
    uint32_t n_lost;       /* connections that the control plane has not forgotten yet */
    uint32_t n_backlogs;   /* connections with a queue: see quota.h */
    uint64_t queued_bytes; /* of all their queues */
    struct event *waiting; /* reports held back from the control plane, the oldest first */
    struct event *latest;
};

struct user *user_find(const struct bus *bus, uint32_t uid); /* NULL: there is none */
/* Returns a reference. NULL: no memory. */
struct user *user_take(struct bus *bus, uint32_t uid);
void user_release(struct bus *bus, struct user *user); /* accepts NULL */
/* Frees all users and the reports held back, at the end of the bus. */
void users_free(struct bus *bus);

#endif
