/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_USERS_H
#define OMNIBUS_USERS_H

#include "base/table.h"

struct bus;
struct event;

/* What the connections of one uid have in common. */
struct user {
    struct table_node node; /* bus.users, by uid */
    uint32_t uid;
    uint32_t references;   /* of connections, and of reports */
    uint32_t n_active;     /* connections that have said Hello */
    uint32_t n_reports;    /* that the control plane has: see report.h */
    uint32_t n_lost;       /* connections that it has yet to forget */
    struct event *waiting; /* reports that it is not given yet, the oldest first */
    struct event *latest;
};

struct user *user_find(const struct bus *bus, uint32_t uid); /* NULL: there is none */
/* A reference; NULL: no memory. */
struct user *user_take(struct bus *bus, uint32_t uid);
void user_release(struct bus *bus, struct user *user); /* NULL is fine */
/* The end of the bus: frees all, and the reports that wait. */
void users_free(struct bus *bus);

#endif
