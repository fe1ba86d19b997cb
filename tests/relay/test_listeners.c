/* SPDX-License-Identifier: MIT */

/* org.omnibus.Listeners1 across an upgrade, and its bounds; tests/bus/test_listeners.py has its meaning. */

#include "upgrade_fixture.h"

#include "driver_fixture.h"

#include "../../transport/relay/resume/state_read.h"
#include "../../transport/relay/send/listeners.h"
#include "../../transport/relay/wire/wire.h"

#define LISTENERS "org.omnibus.Listeners1"
#define RULE "type='signal',sender=':1.0'"

static void ask(struct client *c, const char *member)
{
    struct marshal w = {0};
    struct marshal_header header = {.type = MESSAGE_METHOD_CALL,
                                    .serial = ++c->serial,
                                    .path = SPAN("/org/freedesktop/DBus"),
                                    .interface = SPAN(LISTENERS),
                                    .member = span_of(member),
                                    .destination = SPAN(BUS)};
    marshal_begin(&w, &header);
    client_send(c, &w);
}

/* Connects as root does. */
static struct client *connect_observer(struct plane *p)
{
    plane_attach_as(p, 0, true);
    return plane_greet(p, 0);
}

/* The next message tells of one rule of :1.1. */
static void is_told(struct client *c, const char *rule, uint32_t copies)
{
    struct message m;
    REQUIRE(client_expect(c, &m));
    CHECK_SPAN(m.interface, LISTENERS);
    CHECK_SPAN(m.member, "Changed");
    CHECK_SPAN(m.signature, "a(ssu)");
    const uint8_t *body = m.data + m.body_offset;
    bool swap = m.big_endian != WIRE_HOST_BIG_ENDIAN;
    CHECK_SPAN(((struct span){(const char *)body + 12, wire_load32(body + 8, swap)}), ":1.1");
    uint32_t size = wire_load32(body + 20, swap);
    CHECK_SPAN(((struct span){(const char *)body + 24, size}), rule);
    CHECK_EQUAL(wire_load32(body + 24 + ((size + 4) & ~3u), swap), copies);
    client_drop(c, &m);
}

static void observers_go_on(void)
{
    struct plane p;
    plane_open(&p);
    struct client *observer = connect_observer(&p), *listener = plane_connect(&p, 1);
    ask(observer, "Watch");
    client_expects(observer, MESSAGE_METHOD_RETURN, NULL, BUS);
    client_match(listener, RULE);
    is_told(observer, RULE, 1);
    REQUIRE(plane_upgrade(&p, 2));
    client_match(listener, RULE);
    is_told(observer, RULE, 2);
    ask(observer, "Unwatch");
    client_expects(observer, MESSAGE_METHOD_RETURN, NULL, BUS);
    client_match(listener, RULE);
    REQUIRE(client_sync(observer));
    plane_close(&p);
}

/* So that a program that knows of no observers can read the state. */
static void state_without_observers_has_no_section(void)
{
    struct plane p;
    struct upgrade_state one = {.fd = -1};
    struct state_view view;
    char why[256];
    plane_open(&p);
    struct client *observer = connect_observer(&p);
    ask(observer, "Watch");
    ask(observer, "Unwatch");
    for (int i = 0; i < 2; i++)
        client_expects(observer, MESSAGE_METHOD_RETURN, NULL, BUS);
    REQUIRE(upgrade_freeze(&p) && upgrade_dump(&p, &one));
    REQUIRE(CHECK_EQUAL(state_open(&view, one.bytes, one.size, true, why, sizeof(why)), 0));
    CHECK(!view.places[RELAY_STATE_OBSERVERS].content);
    upgrade_end(&one);
    plane_close(&p);
}

static void observers_are_limited(void)
{
    static struct list others[LISTENERS_MAX];
    struct plane p;
    plane_prepare(&p);
    for (uint32_t i = 0; i < LISTENERS_MAX; i++)
        list_append(&p.relay->bus.observers, &others[i]);
    CHECK_EQUAL(relay_start(p.relay), 0);
    struct client *observer = connect_observer(&p);
    ask(observer, "Watch");
    client_expects(observer, MESSAGE_ERROR, ERROR("LimitsExceeded"), BUS);
    CHECK(!list_linked(&bus_peer(&p.relay->bus, 0)->in_observers));
    list_unlink(&others[0]);
    ask(observer, "Watch");
    client_expects(observer, MESSAGE_METHOD_RETURN, NULL, BUS);
    ask(observer, "Watch"); /* once more counts once */
    client_expects(observer, MESSAGE_METHOD_RETURN, NULL, BUS);
    for (uint32_t i = 0; i < LISTENERS_MAX; i++)
        list_unlink(&others[i]);
    plane_close(&p);
}

static void connection_of_an_instance_is_refused(void)
{
    struct plane p;
    plane_open(&p);
    struct client *contained = plane_connect_to(&p, 1, "/c7");
    ask(contained, "Watch");
    client_expects(contained, MESSAGE_ERROR, ERROR("AccessDenied"), BUS);
    plane_close(&p);
}

static const struct check_test tests[] = {
    TEST(observers_go_on),
    TEST(state_without_observers_has_no_section),
    TEST(observers_are_limited),
    TEST(connection_of_an_instance_is_refused),
};
CHECK_MAIN(tests)
