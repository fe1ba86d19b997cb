/* SPDX-License-Identifier: MIT */
#include "state/bus.h"

#include "state/inbox.h"
#include "state/monitor_rules.h"

#include <sys/epoll.h>

struct peer *bus_peer(const struct bus *bus, uint64_t id)
{
    struct table_node *node = table_first(&bus->peers, hash_number(&bus->peers.key, id));
    for (; node; node = table_again(node)) {
        struct peer *peer = CONTAINER_OF(node, struct peer, node);
        if (peer->id == id)
            return peer;
    }
    return NULL;
}

/* Parses ":1." and a number without leading zeros. */
static bool unique_id(struct span name, uint64_t *id)
{
    if (name.n < 4 || name.n > 22 || !span_starts(name, SPAN(":1.")) || (name.s[3] == '0' && name.n > 4))
        return false;
    uint64_t value = 0;
    for (uint32_t i = 3; i < name.n; i++) {
        if (name.s[i] < '0' || name.s[i] > '9')
            return false;
        value = value * 10 + (uint64_t)(name.s[i] - '0');
    }
    *id = value;
    return true;
}

static struct peer *peer_unless_monitor(struct peer *peer)
{
    return peer && !peer->monitor ? peer : NULL;
}

struct peer *bus_find(const struct bus *bus, struct span name)
{
    uint64_t id;
    if (name.n > 0 && name.s[0] == ':')
        return unique_id(name, &id) ? peer_unless_monitor(bus_peer(bus, id)) : NULL;
    return name_owner(registry_find(&bus->registry, name));
}

bool bus_is_hello(const struct message *m)
{
    return m->type == MESSAGE_METHOD_CALL && span_equal(m->destination, BUS_NAME) &&
           span_equal(m->member, SPAN("Hello")) && (!m->interface.s || span_equal(m->interface, BUS_NAME));
}

bool bus_watch(struct bus *bus, struct peer *peer, int fd)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET, .data.ptr = &peer->source};
    return epoll_ctl(bus->epoll, EPOLL_CTL_ADD, fd, &event) == 0;
}

void bus_attach(struct bus *bus, struct peer *peer, bool watched)
{
    table_insert(&bus->peers, &peer->node, hash_number(&bus->peers.key, peer->id));
    peer->user = user_take(bus, peer->credentials.uid);
    if (peer->user && (watched || bus_watch(bus, peer, peer->fd)))
        inbox_resume(bus, peer);
    else
        bus_lose(bus, peer, RELAY_GONE_MEMORY);
}

uint32_t bus_matches(const struct bus *bus)
{
    return match_index_count(bus->matches) + match_index_count(bus->monitors.rules);
}

void bus_count_matches(struct bus *bus, struct peer *peer)
{
    uint32_t all = bus_matches(bus), own = match_list_count(peer->matches);
    if (peer->monitor)
        own += match_list_count(peer->monitor->list);
    if (own > peer->statistics.peak_matches)
        peer->statistics.peak_matches = own;
    if (own > bus->totals.peak_matches_of_one)
        bus->totals.peak_matches_of_one = own;
    if (all > bus->totals.peak_matches)
        bus->totals.peak_matches = all;
}
