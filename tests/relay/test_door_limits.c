/* SPDX-License-Identifier: MIT */
#include "../../transport/relay/accept/incomplete.h"
#include "hall.h"

#include "../../transport/relay/state/log.h"

#include <errno.h>
#include <sys/resource.h>

/* Of who leaves before Hello the control plane hears nothing. */
static void who_hangs_up_is_forgotten(void)
{
    struct hall h;
    hall_open(&h, true);
    for (int begun = 0; begun < 3; begun++) {
        hall_enter(&h);
        const char *script = hall_script(begun == 2 ? "BEGIN\r\n" : "");
        if (begun) {
            hall_say(&h, "", 1);
            hall_say(&h, script, strlen(script));
        }
        hall_turn(&h);
        CHECK_EQUAL(h.bus.incompletes.n, 1);
        client_close(&h.client);
        hall_turn(&h);
        CHECK_EQUAL(h.bus.incompletes.n, 0);
        CHECK(!table_walk(&h.bus.peers, NULL));
        CHECK(!hall_event(&h));
    }
    hall_close(&h);
}

static bool is_log(struct hall *h, const char *text)
{
    if (!CHECK(hall_event(h)) || !CHECK_EQUAL(h->event.kind, RELAY_EVENT_LOG))
        return false;
    bool right = CHECK_SPAN(((struct span){(const char *)h->event.body, h->event.body_size}), text);
    return right;
}

static void who_takes_too_long_is_shown_out(void)
{
    struct hall h;
    hall_open(&h, true);
    h.bus.limits.auth_timeout = 100000;
    for (int begun = 0; begun < 2; begun++) {
        hall_enter(&h);
        const char *script = hall_script("BEGIN\r\n");
        hall_say(&h, "", 1);
        if (begun)
            hall_say(&h, script, strlen(script));
        hall_turn(&h);
        REQUIRE(h.bus.incompletes.n == 1);
        CHECK(h.bus.tick > 0 && h.bus.tick <= 100000);
        CONTAINER_OF(h.bus.incompletes.all.next, struct incomplete, in_all)->began -= 100000;
        hall_turn(&h);
        if (begun)
            CHECK(!hall_event(&h)); /* the line is about all of an episode */
        else
            is_log(&h, "Connection has not authenticated soon enough, closing it (auth_timeout=100000ms, "
                       "elapsed: 100000ms)");
        if (begun)
            hall_hears(&h, HALL_OK HALL_AGREE);
        CHECK(hall_is_closed(&h));
        CHECK_EQUAL(h.bus.incompletes.n, 0);
    }
    hall_close(&h);
}

static void nobody_enters_while_there_are_too_many(void)
{
    struct hall h;
    hall_open(&h, true);
    h.bus.limits.max_incomplete_connections = 1;
    hall_enter(&h);
    hall_turn(&h);
    int second = hall_connect(&h.address, h.address_size);
    hall_turn(&h);
    CHECK_EQUAL(h.bus.incompletes.n, 1);
    CHECK(!h.bus.accepting);
    client_close(&h.client);
    hall_turn(&h);
    CHECK_EQUAL(h.bus.incompletes.n, 1);
    CHECK_EQUAL(send(second, "x", 1, 0), 1); /* handed up, it counts until it is settled */
    hall_turn(&h);
    CHECK_EQUAL(h.bus.incompletes.n_above, 1);
    CHECK(!h.bus.accepting);
    incomplete_above(&h.bus, -1);
    hall_turn(&h);
    CHECK(h.bus.accepting);
    REQUIRE(hall_event(&h));
    close(h.event.fd);
    close(second);
    hall_close(&h);
}

/* The libc's own words. */
static const char *too_many_files(void)
{
    static char text[128];
    snprintf(text, sizeof(text), "Failed to accept a client connection: %s", strerror(EMFILE));
    return text;
}

static void without_descriptors_it_waits(void)
{
    struct hall h;
    struct rlimit before, none;
    hall_open(&h, true);
    hall_enter(&h);
    getrlimit(RLIMIT_NOFILE, &before);
    none = (struct rlimit){.rlim_cur = 1, .rlim_max = before.rlim_max};
    setrlimit(RLIMIT_NOFILE, &none);
    hall_turn(&h);
    setrlimit(RLIMIT_NOFILE, &before);
    is_log(&h, too_many_files());
    CHECK(!h.bus.accepting && h.bus.tick > 0 && h.bus.tick <= DOOR_PAUSE);
    hall_turn(&h);
    CHECK_EQUAL(h.bus.incompletes.n, 0);
    h.bus.accept_again -= DOOR_PAUSE;
    hall_turn(&h);
    CHECK_EQUAL(h.bus.incompletes.n, 1);
    CHECK(!hall_event(&h));
    hall_close(&h);
}

/* A process may be short of descriptors for days; a minute without a failure ends an episode. */
static void failures_to_accept_have_a_line_an_episode(void)
{
    struct hall h;
    struct rlimit before, none;
    hall_open(&h, true);
    hall_enter(&h);
    getrlimit(RLIMIT_NOFILE, &before);
    none = (struct rlimit){.rlim_cur = 1, .rlim_max = before.rlim_max};
    setrlimit(RLIMIT_NOFILE, &none);
    for (int i = 0; i < 5; i++) {
        hall_turn(&h);
        CHECK(!h.bus.accepting);
        h.bus.accept_again = 1; /* the pause is over */
        hall_turn(&h);
    }
    is_log(&h, too_many_files());
    CHECK(!hall_event(&h));
    h.bus.accept_again = 1;
    h.bus.accept_failed -= LOG_EPISODE;
    hall_turn(&h);
    hall_turn(&h);
    setrlimit(RLIMIT_NOFILE, &before);
    is_log(&h, too_many_files());
    hall_close(&h);
}

static void without_incomplete_connections_one_at_a_time_may_log_in(void)
{
    struct hall h;
    hall_open(&h, true);
    h.bus.limits.max_incomplete_connections = 0;
    hall_enter(&h);
    hall_turn(&h);
    CHECK_EQUAL(h.bus.incompletes.n, 1);
    CHECK(!h.bus.accepting);
    client_close(&h.client);
    hall_turn(&h);
    CHECK_EQUAL(h.bus.incompletes.n, 0);
    CHECK(h.bus.accepting);
    hall_close(&h);
}

/* Who comes and goes faster than the control plane takes note of it has to wait. */
static void nobody_enters_while_too_many_are_untold(void)
{
    struct hall h;
    hall_open(&h, true);
    atomic_store(&h.bus.n_left, DOOR_LEFT_MAX);
    hall_turn(&h);
    hall_enter(&h);
    hall_turn(&h);
    CHECK_EQUAL(h.bus.incompletes.n, 0);
    CHECK(!h.bus.accepting && h.bus.tick >= 0 && h.bus.tick <= DOOR_REST);
    atomic_store(&h.bus.n_left, 0);
    h.bus.accept_again -= DOOR_REST;
    hall_turn(&h);
    CHECK_EQUAL(h.bus.incompletes.n, 1);
    CHECK(!hall_event(&h));
    hall_close(&h);
}

/* Whatever fails, nothing is left behind, and the next one gets in. */
static void without_memory_it_is_closed(void)
{
    struct hall h;
    uint8_t text[1024];
    hall_open(&h, true);
    for (long n = 0; n < 24; n++) {
        hall_enter(&h);
        size_t size = hall_whole(&h.client, text);
        hall_say(&h, text, size);
        check_allocations = n;
        hall_turn(&h);
        check_allocations = -1;
        client_close(&h.client);
        h.bus.accept_again = 0;
        hall_turn(&h);
        while (hall_event(&h))
            continue;
        CHECK_EQUAL(h.bus.incompletes.n, 0);
        CHECK(!table_walk(&h.bus.peers, NULL));
    }
    hall_close(&h);
}

/* The control plane may take events at any time, or never. */
static void who_came_and_left_is_not_worth_telling(void)
{
    for (int taken = 0; taken < 2; taken++) {
        struct plane p;
        struct sockaddr_un address;
        socklen_t size;
        struct relay_limits limits = plane_limits();
        limits.max_completed_connections = limits.max_connections_per_user = 10;
        limits.max_incomplete_connections = 10;
        plane_open(&p);
        relay_set_limits(p.relay, &limits);
        int fd = hall_listen(&address, &size);
        CHECK_EQUAL(relay_listen(p.relay, fd, HALL_NUMBER, HALL_GUID, true), 0);
        relay_commit(p.relay);
        close(fd);
        struct client *c = hall_client(&p.clients[0], &address, size);
        CHECK_EQUAL(relay_incomplete(p.relay), 0);
        if (taken)
            plane_event(&p, RELAY_EVENT_ADMITTED);
        struct client *watcher = hall_client(&p.clients[1], &address, size);
        client_match(watcher, "member='NameOwnerChanged'");
        client_close(c);
        client_expects(watcher, MESSAGE_SIGNAL, "NameOwnerChanged", HALL_BUS);
        struct marshal w = client_call(watcher, HALL_BUS, "ReloadConfig", NULL);
        client_send(watcher, &w);
        plane_event(&p, RELAY_EVENT_ADMITTED);
        CHECK_EQUAL(p.event.peer, 2);
        if (taken)
            plane_event(&p, RELAY_EVENT_LEFT);
        plane_event(&p, RELAY_EVENT_CALL);
        plane_close(&p);
    }
}

static const struct check_test tests[] = {
    TEST(who_hangs_up_is_forgotten),
    TEST(who_takes_too_long_is_shown_out),
    TEST(nobody_enters_while_there_are_too_many),
    TEST(without_descriptors_it_waits),
    TEST(failures_to_accept_have_a_line_an_episode),
    TEST(without_incomplete_connections_one_at_a_time_may_log_in),
    TEST(nobody_enters_while_too_many_are_untold),
    TEST(without_memory_it_is_closed),
    TEST(who_came_and_left_is_not_worth_telling),
};
CHECK_MAIN(tests)
