/* SPDX-License-Identifier: MIT */
#include "../../transport/relay/accept/incomplete.h"
#include "accept_fixture.h"

#include "../../transport/relay/state/log.h"

#include <errno.h>
#include <sys/resource.h>

/* A client that leaves before Hello is not reported to the control plane. */
static void client_that_hangs_up_is_forgotten(void)
{
    struct accept_fixture h;
    accept_open(&h, true);
    for (int begun = 0; begun < 3; begun++) {
        accept_connect(&h);
        const char *script = accept_handshake(begun == 2 ? "BEGIN\r\n" : "");
        if (begun) {
            accept_send(&h, "", 1);
            accept_send(&h, script, strlen(script));
        }
        accept_turn(&h);
        CHECK_EQUAL(h.bus.incompletes.n, 1);
        client_close(&h.client);
        accept_turn(&h);
        CHECK_EQUAL(h.bus.incompletes.n, 0);
        CHECK(!table_walk(&h.bus.peers, NULL));
        CHECK(!accept_event(&h));
    }
    accept_close(&h);
}

static bool is_log(struct accept_fixture *h, const char *text)
{
    if (!CHECK(accept_event(h)) || !CHECK_EQUAL(h->event.kind, RELAY_EVENT_LOG))
        return false;
    bool right = CHECK_SPAN(((struct span){(const char *)h->event.body, h->event.body_size}), text);
    return right;
}

static void handshake_beyond_auth_timeout_is_disconnected(void)
{
    struct accept_fixture h;
    accept_open(&h, true);
    h.bus.limits.auth_timeout = 100000;
    for (int begun = 0; begun < 2; begun++) {
        accept_connect(&h);
        const char *script = accept_handshake("BEGIN\r\n");
        accept_send(&h, "", 1);
        if (begun)
            accept_send(&h, script, strlen(script));
        accept_turn(&h);
        REQUIRE(h.bus.incompletes.n == 1);
        CHECK(h.bus.tick > 0 && h.bus.tick <= 100000);
        CONTAINER_OF(h.bus.incompletes.all.next, struct incomplete, in_all)->began -= 100000;
        accept_turn(&h);
        if (begun)
            CHECK(!accept_event(&h)); /* one line covers the whole episode */
        else
            is_log(&h, "Connection has not authenticated soon enough, closing it (auth_timeout=100000ms, "
                       "elapsed: 100000ms)");
        if (begun)
            accept_receives(&h, ACCEPT_OK ACCEPT_AGREE);
        CHECK(accept_is_closed(&h));
        CHECK_EQUAL(h.bus.incompletes.n, 0);
    }
    accept_close(&h);
}

static void no_connection_is_accepted_at_the_limit_of_incomplete(void)
{
    struct accept_fixture h;
    accept_open(&h, true);
    h.bus.limits.max_incomplete_connections = 1;
    accept_connect(&h);
    accept_turn(&h);
    int second = accept_dial(&h.address, h.address_size);
    accept_turn(&h);
    CHECK_EQUAL(h.bus.incompletes.n, 1);
    CHECK(!h.bus.accepting);
    client_close(&h.client);
    accept_turn(&h);
    CHECK_EQUAL(h.bus.incompletes.n, 1);
    CHECK_EQUAL(send(second, "x", 1, 0),
                1); /* a handed-up handshake counts until the control plane decides */
    accept_turn(&h);
    CHECK_EQUAL(h.bus.incompletes.n_above, 1);
    CHECK(!h.bus.accepting);
    incomplete_above(&h.bus, -1);
    accept_turn(&h);
    CHECK(h.bus.accepting);
    REQUIRE(accept_event(&h));
    close(h.event.fd);
    close(second);
    accept_close(&h);
}

/* The libc's text. */
static const char *too_many_files(void)
{
    static char text[128];
    snprintf(text, sizeof(text), "Failed to accept a client connection: %s", strerror(EMFILE));
    return text;
}

static void accepting_pauses_without_descriptors(void)
{
    struct accept_fixture h;
    struct rlimit before, none;
    accept_open(&h, true);
    accept_connect(&h);
    getrlimit(RLIMIT_NOFILE, &before);
    none = (struct rlimit){.rlim_cur = 1, .rlim_max = before.rlim_max};
    setrlimit(RLIMIT_NOFILE, &none);
    accept_turn(&h);
    setrlimit(RLIMIT_NOFILE, &before);
    is_log(&h, too_many_files());
    CHECK(!h.bus.accepting && h.bus.tick > 0 && h.bus.tick <= DOOR_PAUSE);
    accept_turn(&h);
    CHECK_EQUAL(h.bus.incompletes.n, 0);
    h.bus.accept_again -= DOOR_PAUSE;
    accept_turn(&h);
    CHECK_EQUAL(h.bus.incompletes.n, 1);
    CHECK(!accept_event(&h));
    accept_close(&h);
}

/* A process may lack descriptors for days; a minute without a failure ends an episode. */
static void failed_accepts_are_logged_once_per_episode(void)
{
    struct accept_fixture h;
    struct rlimit before, none;
    accept_open(&h, true);
    accept_connect(&h);
    getrlimit(RLIMIT_NOFILE, &before);
    none = (struct rlimit){.rlim_cur = 1, .rlim_max = before.rlim_max};
    setrlimit(RLIMIT_NOFILE, &none);
    for (int i = 0; i < 5; i++) {
        accept_turn(&h);
        CHECK(!h.bus.accepting);
        h.bus.accept_again = 1; /* the pause is over */
        accept_turn(&h);
    }
    is_log(&h, too_many_files());
    CHECK(!accept_event(&h));
    h.bus.accept_again = 1;
    h.bus.accept_failed -= LOG_EPISODE;
    accept_turn(&h);
    accept_turn(&h);
    setrlimit(RLIMIT_NOFILE, &before);
    is_log(&h, too_many_files());
    accept_close(&h);
}

static void limit_of_zero_incomplete_admits_one_at_a_time(void)
{
    struct accept_fixture h;
    accept_open(&h, true);
    h.bus.limits.max_incomplete_connections = 0;
    accept_connect(&h);
    accept_turn(&h);
    CHECK_EQUAL(h.bus.incompletes.n, 1);
    CHECK(!h.bus.accepting);
    client_close(&h.client);
    accept_turn(&h);
    CHECK_EQUAL(h.bus.incompletes.n, 0);
    CHECK(h.bus.accepting);
    accept_close(&h);
}

/* Clients that connect and leave faster than the control plane takes the reports have to wait. */
static void no_connection_is_accepted_with_too_many_unreported(void)
{
    struct accept_fixture h;
    accept_open(&h, true);
    atomic_store(&h.bus.n_left, DOOR_LEFT_MAX);
    accept_turn(&h);
    accept_connect(&h);
    accept_turn(&h);
    CHECK_EQUAL(h.bus.incompletes.n, 0);
    CHECK(!h.bus.accepting && h.bus.tick >= 0 && h.bus.tick <= DOOR_REST);
    atomic_store(&h.bus.n_left, 0);
    h.bus.accept_again -= DOOR_REST;
    accept_turn(&h);
    CHECK_EQUAL(h.bus.incompletes.n, 1);
    CHECK(!accept_event(&h));
    accept_close(&h);
}

/* Whichever allocation fails, nothing leaks, and the next client is accepted. */
static void connection_without_memory_is_closed(void)
{
    struct accept_fixture h;
    uint8_t text[1024];
    accept_open(&h, true);
    for (long n = 0; n < 24; n++) {
        accept_connect(&h);
        size_t size = accept_handshake_and_hello(&h.client, text);
        accept_send(&h, text, size);
        check_allocations = n;
        accept_turn(&h);
        check_allocations = -1;
        client_close(&h.client);
        h.bus.accept_again = 0;
        accept_turn(&h);
        while (accept_event(&h))
            continue;
        CHECK_EQUAL(h.bus.incompletes.n, 0);
        CHECK(!table_walk(&h.bus.peers, NULL));
    }
    accept_close(&h);
}

/* Whenever the control plane takes events, or never. */
static void short_lived_peers_are_not_reported(void)
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
        int fd = accept_listen(&address, &size);
        CHECK_EQUAL(relay_listen(p.relay, fd, ACCEPT_NUMBER, ACCEPT_GUID, true, false), 0);
        relay_commit(p.relay);
        close(fd);
        struct client *c = accept_client(&p.clients[0], &address, size);
        CHECK_EQUAL(relay_incomplete(p.relay), 0);
        if (taken)
            plane_event(&p, RELAY_EVENT_ADMITTED);
        struct client *watcher = accept_client(&p.clients[1], &address, size);
        client_match(watcher, "member='NameOwnerChanged'");
        client_close(c);
        client_expects(watcher, MESSAGE_SIGNAL, "NameOwnerChanged", ACCEPT_BUS);
        struct marshal w = client_call(watcher, ACCEPT_BUS, "ReloadConfig", NULL);
        client_send(watcher, &w);
        plane_event(&p, RELAY_EVENT_ADMITTED);
        CHECK_EQUAL(p.event.peer, 1);
        if (taken)
            plane_event(&p, RELAY_EVENT_LEFT);
        plane_event(&p, RELAY_EVENT_CALL);
        plane_close(&p);
    }
}

static const struct check_test tests[] = {
    TEST(client_that_hangs_up_is_forgotten),
    TEST(handshake_beyond_auth_timeout_is_disconnected),
    TEST(no_connection_is_accepted_at_the_limit_of_incomplete),
    TEST(accepting_pauses_without_descriptors),
    TEST(failed_accepts_are_logged_once_per_episode),
    TEST(limit_of_zero_incomplete_admits_one_at_a_time),
    TEST(no_connection_is_accepted_with_too_many_unreported),
    TEST(connection_without_memory_is_closed),
    TEST(short_lived_peers_are_not_reported),
};
CHECK_MAIN(tests)
