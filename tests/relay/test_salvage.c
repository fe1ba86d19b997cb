/* SPDX-License-Identifier: MIT */

/* A bus that ends at any moment: see salvage_fixture.h. */

#include "salvage_fixture.h"

#include "../../transport/relay/match/match_internal.h"
#include "../../transport/relay/route/input.h"
#include "../../transport/relay/state/inbox.h"

static bool prepare(struct traffic *t)
{
    traffic_open(t);
    struct message m;
    call(t, ":1.1"); /* is answered while the bus ends */
    if (!client_expect(t->b, &m))
        return false;
    if (!without_thread(&t->p))
        return false;
    reply(t->b, &m);
    client_drop(t->b, &m);
    call(t, ":1.1");
    for (uint32_t i = 1; i <= SIGNALS; i++)
        numbered(t->a, i);
    call(t, BUS);
    call_big(t, 1, ":1.1");
    call(t, ":1.1");
    send_fd(t->a, ":1.2");
    begin_long(t, ":1.2");
    t->sent = SIGNALS + 2;
    return true;
}

static void at_each_moment(void)
{
    if (is_emulated())
        SKIP(EMULATED);
    crash_at_each(prepare);
}

/* The descriptors of a read are the peer's already, and the note does not say so yet. */
static void take_read(struct bus *bus)
{
    struct read_note *reading = &bus->under_way.reading;
    struct peer *peer = atomic_load(&reading->peer);
    if (!peer || reading->claimed || reading->call.moved == 0)
        return;
    CHECK_EQUAL(input_received(peer, reading), 0);
    reading->claimed = false;
}

static void within_each_read(void)
{
    if (is_emulated())
        SKIP(EMULATED);
    crash.half_done = take_read;
    at_each_moment();
    crash.half_done = NULL;
}

/* Goes on with what an idle bus leaves. */
static bool renew(struct traffic *t, void (*half_done)(struct bus *bus))
{
    struct upgrade_state state = {.fd = memfd_create("omnibus-state", MFD_CLOEXEC | MFD_ALLOW_SEALING)};
    char why[256] = "";
    crash.half_done = half_done;
    bool done = run_to(t, 1000000, state.fd) && upgrade_map(&state);
    crash.half_done = NULL;
    if (done) {
        upgrade_leave(&t->p);
        done = CHECK_EQUAL(relay_restore(&t->p.relay, state.bytes, state.size, false, why, sizeof(why)), 0);
    }
    if (why[0])
        printf("# %s\n", why);
    upgrade_end(&state);
    if (done)
        upgrade_thaw(&t->p);
    return done;
}

static bool two_clients(struct traffic *t)
{
    memset(t, 0, sizeof(*t));
    plane_open(&t->p);
    t->a = plane_connect(&t->p, 0);
    t->b = plane_connect(&t->p, 1);
    return without_thread(&t->p);
}

/* Half a message came with a descriptor, and then the connection was lost. */
static void lose_begun(struct bus *bus)
{
    struct peer *peer = bus_peer(bus, 0);
    static int fds[1];
    fds[0] = peer->fd;
    CHECK_EQUAL(inbox_begin(peer, (const uint8_t *)"l", 1, fds, 1), 0);
    peer->input.begun = true;
    peer->input.n_fds_begun = 1;
    peer->life = PEER_CLOSING;
}

static void lost_with_half_a_message(void)
{
    if (is_emulated())
        SKIP(EMULATED);
    struct traffic t;
    if (two_clients(&t) && renew(&t, lose_begun) && CHECK_EQUAL(relay_start(t.p.relay), 0)) {
        client_closed(t.a);
        client_sync(t.b);
    }
    plane_close(&t.p);
}

/* A call is kept for the control plane, and its sender is not stopped yet. */
static void unstop(struct bus *bus)
{
    CHECK(bus_peer(bus, 0)->calls.held);
    bus_peer(bus, 0)->calls.stopped = false;
}

static void before_its_sender_is_stopped(void)
{
    if (is_emulated())
        SKIP(EMULATED);
    struct traffic t;
    if (two_clients(&t)) {
        struct marshal w = client_call(t.a, BUS, "ListActivatableNames", NULL);
        client_send(t.a, &w);
        if (renew(&t, unstop)) {
            CHECK(bus_peer(&t.p.relay->bus, 0)->calls.stopped);
            upgrade_take(&t.p, RELAY_EVENT_CALL);
        }
    }
    plane_close(&t.p);
}

/* The call is answered, and its sender is still stopped. */
static void end_call(struct bus *bus)
{
    struct peer *peer = bus_peer(bus, 0);
    CHECK(peer->calls.held && peer->calls.stopped);
    peer_end_call(peer);
}

static void before_its_sender_goes_on(void)
{
    if (is_emulated())
        SKIP(EMULATED);
    struct traffic t;
    if (two_clients(&t)) {
        struct marshal w = client_call(t.a, BUS, "ListActivatableNames", NULL);
        client_send(t.a, &w);
        if (renew(&t, end_call) && CHECK_EQUAL(relay_start(t.p.relay), 0))
            client_sync(t.a);
    }
    plane_close(&t.p);
}

/* The first of two match rules is in its list, and is not counted yet. */
static void uncount(struct bus *bus)
{
    struct match_rule *rule =
        (struct match_rule *)(uintptr_t)match_list_next(bus_peer(bus, 0)->matches, NULL);
    CHECK_EQUAL(rule->copies, 1);
    rule->copies = 0;
}

static void before_a_rule_is_counted(void)
{
    if (is_emulated())
        SKIP(EMULATED);
    struct traffic t;
    memset(&t, 0, sizeof(t));
    plane_open(&t.p);
    t.a = plane_connect(&t.p, 0);
    client_match(t.a, "type='signal',member='A'");
    client_match(t.a, "type='signal',member='B'");
    if (without_thread(&t.p) && renew(&t, uncount))
        CHECK_EQUAL(match_list_count(bus_peer(&t.p.relay->bus, 0)->matches), 1);
    plane_close(&t.p);
}

/* An observer may have missed a change: it is told so, and is none any more. */
static void before_an_observer_is_told(void)
{
    if (is_emulated())
        SKIP(EMULATED);
    struct traffic t;
    if (two_clients(&t)) {
        struct bus *bus = &t.p.relay->bus;
        list_append(&bus->observers, &bus_peer(bus, 0)->in_observers);
        CHECK(renew(&t, NULL) && CHECK_EQUAL(relay_start(t.p.relay), 0));
        client_expects(t.a, MESSAGE_SIGNAL, "Lost", BUS);
        CHECK(list_empty(&t.p.relay->bus.observers));
    }
    plane_close(&t.p);
}

/* Lets the bus end by a fault of its own while it reads from a, and makes the next one. */
static bool fault(struct traffic *t)
{
    struct upgrade_state state = {.fd = memfd_create("omnibus-state", MFD_CLOEXEC | MFD_ALLOW_SEALING)};
    char why[256];
    t->p.relay->bus.crash_note = (struct crash_note){.in_data_plane = 1, .signal = SIGSEGV};
    call(t, BUS);
    bool done = run_to(t, 1, state.fd) && upgrade_map(&state);
    if (done) {
        upgrade_keep_seed(&state);
        upgrade_leave(&t->p);
        done = CHECK_EQUAL(relay_restore(&t->p.relay, state.bytes, state.size, false, why, sizeof(why)), 0);
    }
    upgrade_end(&state);
    if (done)
        upgrade_thaw(&t->p);
    return done;
}

/* A client whose messages end the bus twice is closed, others are not. */
static void twice_with_one_client(void)
{
    if (is_emulated())
        SKIP(EMULATED);
    struct traffic t;
    memset(&t, 0, sizeof(t));
    plane_open(&t.p);
    t.a = plane_connect(&t.p, 0);
    t.b = plane_connect(&t.p, 1);
    if (without_thread(&t.p) && fault(&t)) {
        const struct crashes *crashes = &t.p.relay->bus.crashes;
        CHECK_EQUAL(crashes->n, 1);
        CHECK_EQUAL(crashes->all[0].peer, 0);
        CHECK_EQUAL(crashes->all[0].signal, SIGSEGV);
        CHECK(fault(&t) && CHECK_EQUAL(relay_start(t.p.relay), 0));
        CHECK_EQUAL(t.p.relay->bus.crashes.n, 2);
        client_closed(t.a);
        client_sync(t.b);
    }
    plane_close(&t.p);
}

static void when_idle(void)
{
    if (is_emulated())
        SKIP(EMULATED);
    crash_at(1000000, prepare);
    CHECK(survived);
}

static const struct check_test tests[] = {
    TEST(at_each_moment),
    TEST(within_each_read),
    TEST(lost_with_half_a_message),
    TEST(before_its_sender_is_stopped),
    TEST(before_its_sender_goes_on),
    TEST(before_a_rule_is_counted),
    TEST(before_an_observer_is_told),
    TEST(twice_with_one_client),
    TEST(when_idle),
};
CHECK_MAIN(tests)
