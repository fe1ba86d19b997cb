/* SPDX-License-Identifier: MIT */
#include "floors.h"

#include "connect.h"
#include "fanout.h"
#include "pair.h"
#include "process.h"

#include <stdio.h>

static const struct {
    const char *name;
    enum multicast kind;
} multicasts[] = {{"udp-multicast", MULTICAST_UDP},
                  {"netlink", MULTICAST_NETLINK},
                  {"unix-loop", MULTICAST_LOOP},
                  {"unix-uring", MULTICAST_URING}};

static const char *name_of(const char *of, const char *floor)
{
    static char name[64];
    snprintf(name, sizeof(name), "%s:%s", of, floor);
    return name;
}

static const char *fanout_name(int subs, const char *floor)
{
    char of[32];
    snprintf(of, sizeof(of), "fanout-%d", subs);
    return name_of(of, floor);
}

static void run_route(enum route route)
{
    const char *floor = route_name[route];
    const size_t size = options.size;
    pair_run(name_of("rtt", floor), &(struct pair){.route = route, .echo = true, .one = true, .size = size});
    if (route == ROUTE_SEQPACKET)
        return;
    for (int batch = 0; batch < 2; batch++) {
        options.batch = batch;
        pair_run(name_of(batch ? "pipeline-batch" : "pipeline", floor),
                 &(struct pair){.route = route, .echo = true, .size = size, .window = options.window});
    }
    options.batch = false;
    pair_run(name_of("bandwidth-64K", floor), &(struct pair){.route = route, .size = 64 << 10, .window = 16});
    pair_run(name_of("bandwidth-1M", floor), &(struct pair){.route = route, .size = 1 << 20, .window = 4});
    if (route == ROUTE_EPOLL)
        connect_floor_run(name_of("connect", floor));
    for (int i = 0; route >= ROUTE_EPOLL && i < options.subs.n; i++)
        fanout_run(fanout_name(options.subs.at[i], floor), route, options.subs.at[i], 0, false);
}

static void run_multicast(const char *floor, enum multicast kind)
{
    if (kind == MULTICAST_URING && !uring_works())
        return;
    for (int i = 0; i < options.subs.n; i++)
        multicast_run(fanout_name(options.subs.at[i], floor), kind, options.subs.at[i], false);
    if (kind != MULTICAST_URING)
        multicast_run(name_of("slow-receiver", floor), kind, 4, true);
}

void floors_run(const char *which)
{
    bool all = !which || same(which, "all");
    for (enum route route = ROUTE_DIRECT; route <= ROUTE_URING; route++)
        if ((all || same(which, route_name[route])) && (route != ROUTE_URING || uring_works()))
            run_route(route);
    for (size_t i = 0; i < sizeof(multicasts) / sizeof(*multicasts); i++)
        if (all || same(which, multicasts[i].name) || same(which, "mcast"))
            run_multicast(multicasts[i].name, multicasts[i].kind);
}
