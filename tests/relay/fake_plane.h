/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_TEST_FAKE_PLANE_H
#define OMNIBUS_TEST_FAKE_PLANE_H

/* A data plane with the fake group, of which its clients become members. */

#include "fake_group.h"
#include "plane_fixture.h"

/* A plane without the group so far. */
static inline void fake_prepare(struct plane *p)
{
    fake_begin();
    plane_prepare(p);
}

static inline void fake_start(struct plane *p)
{
    struct relay_limits limits = plane_limits();
    limits.max_completed_connections = limits.max_connections_per_user = PLANE_CLIENTS;
    limits.max_names_per_connection = PLANE_CLIENTS;
    CHECK_EQUAL(relay_set_limits(p->relay, &limits), 0);
    p->listener = 0;
    CHECK_EQUAL(relay_start(p->relay), 0);
}

/* A plane with the group. */
static inline void fake_open(struct plane *p)
{
    fake_prepare(p);
    CHECK_EQUAL(relay_set_group(p->relay, fake_group.fd, FAKE_MEMBERS, true), 0);
    fake_start(p);
}

#endif
