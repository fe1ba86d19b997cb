/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* memmem */
#include "plane_fixture.h"

#include "../../transport/relay/base/json.h"

#include <errno.h>

#define BUS "org.freedesktop.DBus"

static bool plane_export(struct plane *p, uint32_t kind, const uint64_t *peers, uint32_t n)
{
    CHECK_EQUAL(relay_export(p->relay, kind, peers, n), 0);
    CHECK_EQUAL(relay_commit(p->relay), 0);
    return plane_event(p, RELAY_EVENT_EXPORT) && CHECK_EQUAL(p->event.serial, kind);
}

static bool plane_says(const struct plane *p, const char *text)
{
    bool found = memmem(p->event.body, p->event.body_size, text, strlen(text));
    if (!found)
        printf("# no %s in %.*s\n", text, (int)p->event.body_size, (const char *)p->event.body);
    return CHECK(found);
}

static void export_selects_connections(void)
{
    struct plane p;
    const uint64_t chosen[] = {2, 77, 0};
    plane_open(&p);
    for (uint64_t id = 0; id < 3; id++)
        plane_connect(&p, id);
    REQUIRE(plane_export(&p, RELAY_EXPORT_CONNECTIONS, chosen, 3));
    plane_says(&p, "[{\"id\":2,");
    plane_says(&p, "},{\"id\":0,");
    CHECK(!memmem(p.event.body, p.event.body_size, "\"id\":1,", 7));
    REQUIRE(plane_export(&p, RELAY_EXPORT_CONNECTIONS, &chosen[1], 1));
    CHECK_EQUAL(p.event.body_size, 2);
    plane_says(&p, "[]");
    plane_close(&p);
}

static void export_has_rules_of_selected_connections(void)
{
    struct plane p;
    const uint64_t chosen[] = {1};
    plane_open(&p);
    for (uint64_t id = 0; id < 3; id++)
        client_match(plane_connect(&p, id), "arg0='\"\\x'");
    client_match(&p.clients[1], "member='B'");
    REQUIRE(plane_export(&p, RELAY_EXPORT_MATCHES, chosen, 1));
    plane_says(&p, "{\":1.1\":[\"arg0='\\u0022\\u005cx'\",\"member='B'\"]}");
    plane_close(&p);
}

static void names_and_rules_are_counted(void)
{
    struct plane p;
    const uint64_t queue[] = {0, 1};
    plane_open(&p);
    struct client *a = plane_connect(&p, 0);
    plane_connect(&p, 1);
    client_match(a, "member='A'");
    client_match(a, "member='B'");
    relay_set_queue(p.relay, "a.name", queue, NULL, 2);
    relay_set_queue(p.relay, "b.name", queue, NULL, 1);
    relay_set_queue(p.relay, "a.name", &queue[1], NULL, 1);
    REQUIRE(plane_export(&p, RELAY_EXPORT_TOTALS, NULL, 0));
    plane_says(&p, "\"claims\":4,\"peak_claims\":5,\"peak_claims_of_one\":3,");
    plane_says(&p, "\"matches\":2,\"peak_matches\":2,\"peak_matches_of_one\":2,");
    REQUIRE(plane_export(&p, RELAY_EXPORT_CONNECTIONS, queue, 1));
    plane_says(&p, "\"claims\":2,\"peak_claims\":3,");
    client_close(a);
    plane_event(&p, RELAY_EVENT_GONE);
    relay_set_queue(p.relay, "b.name", NULL, NULL, 0);
    relay_forget(p.relay, 0);
    REQUIRE(plane_export(&p, RELAY_EXPORT_TOTALS, NULL, 0));
    plane_says(&p, "\"claims\":2,\"peak_claims\":5,");
    plane_says(&p, "\"matches\":0,\"peak_matches\":2,");
    plane_close(&p);
}

static void queued_messages_are_counted(void)
{
    struct plane p;
    const uint64_t chosen[] = {0};
    plane_open(&p);
    struct client *a = plane_connect(&p, 0);
    struct marshal w = client_signal(a, "a.absent", "Waits");
    client_send(a, &w);
    plane_event(&p, RELAY_EVENT_PARKED);
    REQUIRE(plane_export(&p, RELAY_EXPORT_CONNECTIONS, chosen, 1));
    plane_says(&p, "\"incoming_messages\":1,");
    plane_says(&p, "\"parked\":1}");
    plane_close(&p);
}

static void export_without_memory_fails(void)
{
    struct relay *relay;
    const uint64_t chosen[] = {0};
    CHECK_EQUAL(relay_new(&relay, "0123456789abcdef0123456789abcdef"), 0);
    for (long n = 0; n < 3; n++) {
        check_allocations = n;
        CHECK_EQUAL(relay_export(relay, RELAY_EXPORT_TOTALS, chosen, 1), -ENOMEM);
        check_allocations = -1;
    }
    CHECK_EQUAL(relay_export(relay, RELAY_EXPORT_TOTALS, chosen, 1), 0);
    relay_free(relay);
}

static void failed_json_stays_failed(void)
{
    struct json json = {0};
    check_allocations = 0;
    json_open(&json, '[');
    check_allocations = -1;
    json_put_number(&json, "n", 1);
    CHECK(json.failed);
    CHECK_EQUAL(json.size, 0);
    free(json.text);
}

static const struct check_test tests[] = {
    TEST(export_selects_connections),  TEST(export_has_rules_of_selected_connections),
    TEST(names_and_rules_are_counted), TEST(queued_messages_are_counted),
    TEST(export_without_memory_fails), TEST(failed_json_stays_failed),
};
CHECK_MAIN(tests)
