/* SPDX-License-Identifier: MIT */

/* The end of the data plane: the cost of freeing a table is proportional to its size. */

#include "../../transport/relay/api/lifecycle.h"
#include "check.h"

#include "../../transport/relay/state/bus.h"

#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

/* Quadratic teardown of this many objects takes minutes, linear teardown some tens of milliseconds. */
#define OBJECTS 200000u
#define MOST 3.0 /* seconds of processor time, with sanitizers */

struct site {
    struct bus bus;
    struct events events;
    struct peer *peer; /* the sender and receiver of everything */
};

static double spent(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static struct peer *enter(struct bus *bus, uint64_t id)
{
    struct relay_credentials credentials = {.uid = 1000, .loginfo = "test"};
    struct peer *peer = peer_new(id, -1, &credentials);
    if (CHECK(peer)) {
        table_insert(&bus->peers, &peer->node, hash_number(&bus->peers.key, id));
        peer->user = user_take(bus, peer->credentials.uid);
    }
    return peer;
}

static void site_open(struct site *s)
{
    memset(s, 0, sizeof(*s));
    s->events.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    CHECK_EQUAL(lifecycle_begin(&s->bus, &s->events, "0123456789abcdef0123456789abcdef"), 0);
    s->peer = enter(&s->bus, 0);
}

static void site_close_in_time(struct site *s)
{
    double begin = spent();
    lifecycle_end(&s->bus);
    double took = spent() - begin;
    if (!CHECK(took < MOST))
        printf("# it took %.1f s\n", took);
    close(s->events.fd);
}

static bool park(struct site *s, const char *destination)
{
    struct marshal w = {0};
    struct marshal_header header = {.type = MESSAGE_SIGNAL,
                                    .serial = 1,
                                    .path = SPAN("/t"),
                                    .interface = SPAN("t.t"),
                                    .member = SPAN("T"),
                                    .destination = span_of(destination)};
    struct message m;
    marshal_begin(&w, &header);
    bool made = marshal_end(&w) && message_parse(&m, w.data, (uint32_t)w.size) == MESSAGE_OK;
    struct held *held = made ? held_new(&m, NULL, s->peer->account, 0) : NULL;
    marshal_free(&w);
    return held && parking_add(&s->bus.parking, s->peer, held);
}

static void messages_parked_for_many_names(void)
{
    struct site s;
    char name[32];
    site_open(&s);
    for (uint32_t i = 0; i < OBJECTS; i++) {
        snprintf(name, sizeof(name), "t.n%u", i);
        REQUIRE(park(&s, name));
    }
    site_close_in_time(&s);
}

static void messages_parked_for_one_name(void)
{
    struct site s;
    site_open(&s);
    for (uint32_t i = 0; i < OBJECTS; i++)
        REQUIRE(park(&s, "t.n"));
    CHECK_EQUAL(s.bus.registry.handed.count, 1);
    site_close_in_time(&s);
}

static void names_with_owners(void)
{
    struct site s;
    char name[32];
    site_open(&s);
    for (uint32_t i = 0; i < OBJECTS; i++) {
        int n = snprintf(name, sizeof(name), "t.n%u", i);
        REQUIRE(registry_set_queue(&s.bus.registry, (struct span){name, (uint32_t)n}, &s.peer, 1) == 0);
    }
    site_close_in_time(&s);
}

static void calls_without_reply(void)
{
    struct site s;
    site_open(&s);
    for (uint32_t i = 0; i < OBJECTS; i++)
        REQUIRE(replies_add(&s.bus.replies, s.peer, s.peer, i + 1, 0));
    site_close_in_time(&s);
}

static void connections(void)
{
    struct site s;
    site_open(&s);
    for (uint32_t i = 1; i < OBJECTS; i++)
        REQUIRE(enter(&s.bus, i));
    site_close_in_time(&s);
}

static const struct check_test tests[] = {
    TEST(messages_parked_for_many_names),
    TEST(messages_parked_for_one_name),
    TEST(names_with_owners),
    TEST(calls_without_reply),
    TEST(connections),
};
CHECK_MAIN(tests)
