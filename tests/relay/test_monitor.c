/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* memmem */
#include "plane_fixture.h"

#include "../../transport/relay/send/monitor.h"
#include "../../transport/relay/wire/wire.h"

#include <errno.h>
#include <fcntl.h>

#define BUS "org.freedesktop.DBus"
#define RECEIVE_ALLOWS 97 /* in plane_policy */
#define ERROR(name) "org.freedesktop.DBus.Error." name

/* The messages that a monitor is expected to see; NULL in a row: anything. */
struct seen {
    uint8_t type;
    const char *member_or_error, *sender, *destination;
};

static bool client_sees(struct client *c, const struct seen *seen, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct message m;
        if (!client_expect(c, &m))
            return false;
        char name[64];
        snprintf(name, sizeof(name), "message %zu", i);
        check_case = name;
        bool right = CHECK_EQUAL(m.type, seen[i].type);
        if (seen[i].member_or_error)
            right &= CHECK_SPAN(m.type == MESSAGE_ERROR ? m.error_name : m.member, seen[i].member_or_error);
        if (seen[i].sender)
            right &= CHECK_SPAN(m.sender, seen[i].sender);
        if (seen[i].destination)
            right &= CHECK_SPAN(m.destination, seen[i].destination);
        check_case = NULL;
        client_drop(c, &m);
        if (!right)
            return false;
    }
    return true;
}

#define CLIENT_SEES(c, ...)                                                                                  \
    client_sees(c, (const struct seen[]){__VA_ARGS__},                                                       \
                sizeof((const struct seen[]){__VA_ARGS__}) / sizeof(struct seen))

typedef int (*becoming)(struct relay *relay, uint64_t peer, uint32_t serial, const char *const *rules,
                        uint32_t n, char *why, size_t why_size);

/* Turns a connected client into a monitor or a tracer, as the control plane does. */
static void plane_watch(struct plane *p, uint64_t id, const char *rule, becoming become)
{
    char why[256];
    struct client *c = &p->clients[id];
    struct marshal w = client_call(c, BUS, "BecomeMonitor", NULL);
    client_send(c, &w);
    plane_event(p, RELAY_EVENT_CALL);
    CHECK_EQUAL(become(p->relay, id, p->event.serial, &rule, rule != NULL, why, sizeof(why)), 0);
    relay_resume(p->relay, id);
    relay_commit(p->relay);
    client_expects(c, MESSAGE_METHOD_RETURN, NULL, BUS);
    client_expects(c, MESSAGE_SIGNAL, "NameLost", BUS);
}

static void plane_monitor(struct plane *p, uint64_t id, const char *rule)
{
    plane_watch(p, id, rule, relay_become_monitor);
}

static void client_emits(struct client *c, const char *destination, const char *member)
{
    struct marshal w = client_signal(c, destination, member);
    client_send(c, &w);
}

/* Three clients; the first is a monitor. */
static void plane_open_monitored(struct plane *p, const char *rule)
{
    plane_open(p);
    for (uint64_t id = 0; id < 3; id++)
        plane_connect(p, id);
    plane_monitor(p, 0, rule);
}

static void messages_are_seen_once_and_stamped(void)
{
    struct plane p;
    plane_open_monitored(&p, NULL);
    struct client *m = &p.clients[0], *a = &p.clients[1], *b = &p.clients[2];
    client_emits(a, ":1.2", "Unicast");
    client_expects(b, MESSAGE_SIGNAL, "Unicast", ":1.1");
    client_match(b, "member='Broadcast'");
    client_emits(a, NULL, "Broadcast");
    client_expects(b, MESSAGE_SIGNAL, "Broadcast", ":1.1");
    client_sync(a);
    CLIENT_SEES(m, {MESSAGE_SIGNAL, "Unicast", ":1.1", ":1.2"},
                {MESSAGE_METHOD_CALL, "AddMatch", ":1.2", BUS}, {MESSAGE_METHOD_RETURN, NULL, BUS, ":1.2"},
                {MESSAGE_SIGNAL, "Broadcast", ":1.1", NULL}, {MESSAGE_METHOD_CALL, "GetId", ":1.1", BUS},
                {MESSAGE_METHOD_RETURN, NULL, BUS, ":1.1"});
    plane_close(&p);
}

static void monitor_sees_hello_with_its_assigned_name(void)
{
    struct plane p;
    plane_open_monitored(&p, NULL);
    plane_connect(&p, 3);
    CLIENT_SEES(&p.clients[0], {MESSAGE_METHOD_CALL, "Hello", ":1.3", BUS},
                {MESSAGE_METHOD_RETURN, NULL, BUS, ":1.3"}, {MESSAGE_SIGNAL, "NameOwnerChanged", BUS, NULL},
                {MESSAGE_SIGNAL, "NameAcquired", BUS, ":1.3"});
    plane_close(&p);
}

static void failed_hello_is_seen_without_a_name(void)
{
    struct plane p;
    plane_open_monitored(&p, NULL);
    struct client *c = &p.clients[3];
    plane_attach(&p, 3);
    struct marshal w = client_call(c, BUS, "Hello", NULL);
    client_send(c, &w);
    plane_event(&p, RELAY_EVENT_CALL);
    relay_error(p.relay, 3, p.event.serial, ERROR("LimitsExceeded"), "too many");
    relay_resume(p.relay, 3);
    relay_commit(p.relay);
    client_expects(c, MESSAGE_ERROR, ERROR("LimitsExceeded"), BUS);
    w = client_call(c, BUS, "ListNames", NULL);
    client_send(c, &w);
    client_expects(c, MESSAGE_ERROR, ERROR("AccessDenied"), BUS);
    CLIENT_SEES(&p.clients[0], {MESSAGE_METHOD_CALL, "Hello", ":not.active.yet", BUS},
                {MESSAGE_ERROR, ERROR("LimitsExceeded"), BUS, ":not.active.yet"},
                {MESSAGE_METHOD_CALL, "ListNames", ":not.active.yet", BUS},
                {MESSAGE_ERROR, ERROR("AccessDenied"), BUS, ":not.active.yet"});
    plane_close(&p);
}

static void monitor_sees_only_matching_messages(void)
{
    struct plane p;
    const uint64_t owner[] = {2};
    plane_open_monitored(&p, "type='signal',destination='a.name'");
    struct client *m = &p.clients[0], *a = &p.clients[1];
    relay_set_queue(p.relay, "a.name", owner, NULL, 1);
    relay_commit(p.relay);
    client_expects(&p.clients[2], MESSAGE_SIGNAL, "NameAcquired", BUS);
    client_emits(a, NULL, "Broadcast");
    client_emits(a, ":1.1", "Other");
    client_emits(a, ":1.2", "ByUniqueName");
    client_emits(a, "a.name", "ByName");
    CLIENT_SEES(m, {MESSAGE_SIGNAL, "ByUniqueName", ":1.1", ":1.2"},
                {MESSAGE_SIGNAL, "ByName", ":1.1", "a.name"});
    plane_close(&p);
}

static void new_monitor_loses_its_names(void)
{
    struct plane p;
    struct message message;
    const uint64_t owner[] = {0};
    plane_open(&p);
    struct client *m = plane_connect(&p, 0), *a = plane_connect(&p, 1);
    relay_set_queue(p.relay, "a.name", owner, NULL, 1);
    relay_commit(p.relay);
    client_expects(m, MESSAGE_SIGNAL, "NameAcquired", BUS);
    client_match(a, "member='NameOwnerChanged'");
    struct marshal w = client_call(a, "a.name", "Ask", NULL);
    client_send(a, &w);
    client_expects(m, MESSAGE_METHOD_CALL, "Ask", ":1.1");
    w = client_call(m, BUS, "BecomeMonitor", NULL);
    client_send(m, &w);
    plane_event(&p, RELAY_EVENT_CALL);
    CHECK_EQUAL(relay_become_monitor(p.relay, 0, 0, NULL, 0, NULL, 0), 0);
    relay_set_queue(p.relay, "a.name", NULL, NULL, 0);
    relay_resume(p.relay, 0);
    relay_commit(p.relay);
    CLIENT_SEES(a, {MESSAGE_SIGNAL, "NameOwnerChanged", BUS, NULL},
                {MESSAGE_SIGNAL, "NameOwnerChanged", BUS, NULL},
                {MESSAGE_ERROR, ERROR("NoReply"), BUS, ":1.1"});
    /* without a serial there is no reply, and before it is a monitor it sees only its own messages */
    CLIENT_SEES(m, {MESSAGE_SIGNAL, "NameLost", BUS, ":1.0"}, {MESSAGE_SIGNAL, "NameLost", BUS, ":1.0"},
                {MESSAGE_ERROR, ERROR("NoReply"), BUS, ":1.1"});
    w = client_call(a, BUS, "NameHasOwner", "s");
    marshal_string(&w, SPAN(":1.0"));
    client_send(a, &w);
    REQUIRE(client_expect(a, &message));
    CHECK_EQUAL(message.data[message.body_offset], 0);
    client_drop(a, &message);
    client_emits(a, ":1.0", "Unknown");
    client_expects(a, MESSAGE_ERROR, ERROR("ServiceUnknown"), BUS);
    plane_close(&p);
}

static void monitors_see_become_monitor_calls(void)
{
    struct plane p;
    plane_open_monitored(&p, NULL);
    plane_monitor(&p, 1, NULL);
    CLIENT_SEES(&p.clients[0], {MESSAGE_METHOD_CALL, "BecomeMonitor", ":1.1", BUS},
                {MESSAGE_METHOD_RETURN, NULL, BUS, ":1.1"}, {MESSAGE_SIGNAL, "NameLost", BUS, ":1.1"},
                {MESSAGE_SIGNAL, "NameOwnerChanged", BUS, NULL});
    CLIENT_SEES(&p.clients[1], {MESSAGE_SIGNAL, "NameOwnerChanged", BUS, NULL});
    client_emits(&p.clients[2], NULL, "Both");
    for (int i = 0; i < 2; i++)
        CLIENT_SEES(&p.clients[i], {MESSAGE_SIGNAL, "Both", ":1.2", NULL});
    plane_close(&p);
}

static void monitor_that_sends_is_disconnected(void)
{
    struct plane p;
    plane_open_monitored(&p, NULL);
    client_emits(&p.clients[0], ":1.1", "Wrong");
    plane_event(&p, RELAY_EVENT_LOG);
    CHECK(p.event.body_size > 0);
    plane_event(&p, RELAY_EVENT_GONE);
    CHECK_EQUAL(p.event.reason, RELAY_GONE_DISCONNECTED);
    relay_forget(p.relay, 0);
    relay_commit(p.relay);
    CHECK(client_closed(&p.clients[0]));
    client_emits(&p.clients[2], ":1.1", "Right");
    client_expects(&p.clients[1], MESSAGE_SIGNAL, "Right", ":1.2"); /* and nothing before it */
    plane_close(&p);
}

static void monitor_sees_denials(void)
{
    struct plane p;
    uint8_t block[sizeof(plane_policy)];
    memcpy(block, plane_policy, sizeof(block));
    plane_open_monitored(&p, NULL);
    struct client *m = &p.clients[0], *a = &p.clients[1], *b = &p.clients[2];
    client_match(b, "member='Broadcast'");
    block[RECEIVE_ALLOWS] = 0;
    CHECK_EQUAL(relay_load_policy(p.relay, block, sizeof(block)), 0);
    plane_settle(&p); /* the policy is in force */
    client_emits(a, NULL, "Broadcast");
    client_emits(a, ":1.2", "Unicast");
    CLIENT_SEES(m, {MESSAGE_METHOD_CALL, "AddMatch", ":1.2", BUS}, {MESSAGE_METHOD_RETURN, NULL, BUS, ":1.2"},
                {MESSAGE_SIGNAL, "Broadcast", ":1.1", NULL},
                {MESSAGE_ERROR, ERROR("AccessDenied"), BUS, ":1.1"},
                {MESSAGE_SIGNAL, "Unicast", ":1.1", ":1.2"},
                /* the error for the sender, which it may not receive either */
                {MESSAGE_ERROR, ERROR("AccessDenied"), BUS, ":1.1"},
                {MESSAGE_ERROR, ERROR("AccessDenied"), BUS, BUS});
    plane_close(&p);
}

static void parked_message_is_seen_after_its_consequences(void)
{
    struct plane p;
    plane_open_monitored(&p, NULL);
    struct client *a = &p.clients[1], *b = &p.clients[2];
    const uint64_t owner[] = {2};
    client_emits(a, "a.service", "First");
    plane_event(&p, RELAY_EVENT_PARKED);
    uint64_t parked = p.event.parked;
    client_emits(a, NULL, "Second");
    relay_send(p.relay, RELAY_TO_MONITORS, MESSAGE_SIGNAL, 0, "a.starter", "/", "an.Interface", "Start", "",
               NULL, 0);
    relay_show(p.relay, parked);
    relay_commit(p.relay);
    CLIENT_SEES(&p.clients[0], {MESSAGE_SIGNAL, "Start", BUS, "a.starter"},
                {MESSAGE_SIGNAL, "First", ":1.1", "a.service"}, {MESSAGE_SIGNAL, "Second", ":1.1", NULL});
    relay_set_queue(p.relay, "a.starter", owner, NULL, 1);
    relay_send(p.relay, RELAY_TO_OWNER, MESSAGE_SIGNAL, 0, "a.starter", "/", "an.Interface", "Start", "",
               NULL, 0);
    relay_set_queue(p.relay, "a.service", owner, NULL, 1);
    relay_deliver(p.relay, parked);
    relay_commit(p.relay);
    CLIENT_SEES(b, {MESSAGE_SIGNAL, "NameAcquired", BUS, ":1.2"}, {MESSAGE_SIGNAL, "Start", BUS, "a.starter"},
                {MESSAGE_SIGNAL, "NameAcquired", BUS, ":1.2"},
                {MESSAGE_SIGNAL, "First", ":1.1", "a.service"});
    client_emits(a, NULL, "Last");
    /* neither is seen twice */
    CLIENT_SEES(&p.clients[0], {MESSAGE_SIGNAL, "NameOwnerChanged", BUS, NULL},
                {MESSAGE_SIGNAL, "NameAcquired", BUS, ":1.2"},
                {MESSAGE_SIGNAL, "NameOwnerChanged", BUS, NULL},
                {MESSAGE_SIGNAL, "NameAcquired", BUS, ":1.2"}, {MESSAGE_SIGNAL, "Last", ":1.1", NULL});
    plane_close(&p);
}

static void rejected_message_is_seen_before_its_error(void)
{
    struct plane p;
    plane_open_monitored(&p, NULL);
    client_emits(&p.clients[1], "a.absent", "Lost");
    plane_event(&p, RELAY_EVENT_PARKED);
    relay_reject(p.relay, p.event.parked, ERROR("ServiceUnknown"), "absent");
    relay_commit(p.relay);
    CLIENT_SEES(&p.clients[0], {MESSAGE_SIGNAL, "Lost", ":1.1", "a.absent"},
                {MESSAGE_ERROR, ERROR("ServiceUnknown"), BUS, ":1.1"});
    plane_close(&p);
}

static void parked_message_of_a_departed_sender_is_seen(void)
{
    struct plane p;
    plane_open_monitored(&p, NULL);
    client_emits(&p.clients[1], "a.absent", "Farewell");
    plane_event(&p, RELAY_EVENT_PARKED);
    uint64_t parked = p.event.parked;
    client_close(&p.clients[1]);
    client_emits(&p.clients[2], ":1.1", "Knock"); /* unsendable output disconnects it */
    plane_event(&p, RELAY_EVENT_GONE);
    relay_reject(p.relay, parked, ERROR("ServiceUnknown"), "absent");
    relay_forget(p.relay, 1);
    relay_commit(p.relay);
    CLIENT_SEES(&p.clients[0], {MESSAGE_SIGNAL, "Knock", ":1.2", ":1.1"},
                {MESSAGE_SIGNAL, "Farewell", ":1.1", "a.absent"},
                {MESSAGE_ERROR, ERROR("ServiceUnknown"), BUS, ":1.1"},
                {MESSAGE_SIGNAL, "NameLost", BUS, ":1.1"}, {MESSAGE_SIGNAL, "NameOwnerChanged", BUS, NULL});
    plane_close(&p);
}

static void message_seen_late_is_complete(void)
{
    struct plane p;
    struct message m;
    static char text[100000];
    memset(text, 'x', sizeof(text) - 1);
    plane_open_monitored(&p, "member='ReloadConfig'");
    struct client *a = &p.clients[1];
    struct marshal w = client_call(a, BUS, "ReloadConfig", "s");
    marshal_string(&w, span_of(text));
    client_send(a, &w);
    plane_event(&p, RELAY_EVENT_CALL);
    relay_resume(p.relay, 1);
    relay_commit(p.relay);
    REQUIRE(client_expect(&p.clients[0], &m));
    CHECK_SPAN(m.sender, ":1.1");
    CHECK_EQUAL(m.body_size, sizeof(text) - 1 + 5);
    plane_close(&p);
}

/* The number behind a key in the table of totals. */
static uint64_t plane_total(struct plane *p, const char *key)
{
    relay_export(p->relay, RELAY_EXPORT_TOTALS, NULL, 0);
    relay_commit(p->relay);
    p->event.kind = 0;
    do {
        struct pollfd poller = {.fd = relay_event_fd(p->relay), .events = POLLIN};
        if (relay_events(p->relay, &p->event, 1) == 0 && !CHECK(poll(&poller, 1, PLANE_DEADLINE) > 0))
            return 0;
    } while (p->event.kind != RELAY_EVENT_EXPORT);
    const char *at = memmem(p->event.body, p->event.body_size, key, strlen(key));
    return CHECK(at) ? strtoull(at + strlen(key), NULL, 10) : 0;
}

static void slow_monitor_delays_no_other_client(void)
{
    struct plane p;
    static char text[60000];
    memset(text, 'x', sizeof(text) - 1);
    plane_open_monitored(&p, NULL);
    struct client *a = &p.clients[1], *b = &p.clients[2];
    struct relay_limits limits = plane_limits();
    limits.max_incoming_bytes = limits.max_outgoing_bytes = 1u << 20;
    relay_set_limits(p.relay, &limits);
    relay_commit(p.relay);
    /* three times as much as a monitor that reads nothing may have waiting, and the sender as well */
    for (int i = 0; i < 60; i++) {
        struct marshal w = client_call(a, ":1.2", "Long", "s");
        w.data[2] = MESSAGE_NO_REPLY_EXPECTED;
        marshal_string(&w, span_of(text));
        client_send(a, &w);
        client_expects(b, MESSAGE_METHOD_CALL, "Long", ":1.1");
    }
    CHECK(plane_total(&p, "\"missed\":") > 10);
    uint64_t waiting = plane_total(&p, "\"monitor_bytes\":");
    CHECK(waiting > 1u << 19 && waiting < 2u << 20);
    client_sync(a);
    plane_close(&p);
}

/* Receives a stamp; returns its time. */
static uint64_t client_stamp(struct client *c)
{
    struct message m;
    uint64_t time = 0;
    if (!client_expect(c, &m))
        return 0;
    CHECK_EQUAL(m.type, MESSAGE_SIGNAL);
    CHECK_SPAN(m.member, "Stamp");
    CHECK_SPAN(m.interface, "org.omnibus.Inspect1");
    CHECK_SPAN(m.sender, BUS);
    CHECK_SPAN(m.signature, "t");
    if (CHECK_EQUAL(m.body_size, sizeof(time)))
        time = wire_load64_le(m.data + m.body_offset);
    client_drop(c, &m);
    return time;
}

static void tracers_are_told_when_a_message_was_routed(void)
{
    struct plane p;
    plane_open_monitored(&p, "member='News'");
    plane_connect(&p, 3);
    for (uint64_t id = 2; id < 4; id++)
        plane_watch(&p, id, "member='News'", relay_become_tracer);
    uint64_t before = (uint64_t)clock_microseconds();
    client_emits(&p.clients[1], NULL, "News");
    client_sync(&p.clients[1]);
    uint64_t after = (uint64_t)clock_microseconds();
    uint64_t first = client_stamp(&p.clients[2]);
    CHECK(before <= first && first <= after);
    CHECK_EQUAL(client_stamp(&p.clients[3]), first);
    client_expects(&p.clients[2], MESSAGE_SIGNAL, "News", ":1.1");
    client_expects(&p.clients[3], MESSAGE_SIGNAL, "News", ":1.1");
    client_expects(&p.clients[0], MESSAGE_SIGNAL, "News", ":1.1");
    /* what their rules leave out has no stamp either */
    client_emits(&p.clients[1], NULL, "Other");
    client_emits(&p.clients[1], NULL, "News");
    client_sync(&p.clients[1]);
    CHECK(client_stamp(&p.clients[2]) >= first);
    client_expects(&p.clients[2], MESSAGE_SIGNAL, "News", ":1.1");
    plane_close(&p);
}

static void invalid_monitor_rules_are_refused(void)
{
    struct plane p;
    char why[256] = "", long_rule[MATCH_MAX_RULE_TEXT + 2];
    const char *const wrong[] = {"type='signal'", "nonsense"}, *const too_long[] = {long_rule};
    memset(long_rule, 'x', sizeof(long_rule) - 1);
    long_rule[sizeof(long_rule) - 1] = '\0';
    plane_open(&p);
    CHECK_EQUAL(relay_become_monitor(p.relay, 0, 1, wrong, 2, why, sizeof(why)), -EINVAL);
    CHECK(strstr(why, "'='"));
    CHECK_EQUAL(relay_become_monitor(p.relay, 0, 1, too_long, 1, why, sizeof(why)), -E2BIG);
    CHECK(strstr(why, "1025 bytes"));
    CHECK_EQUAL(relay_become_tracer(p.relay, 0, 1, wrong, 2, why, sizeof(why)), -EINVAL);
    /* an absent peer can't become a monitor */
    CHECK_EQUAL(relay_become_monitor(p.relay, 7, 1, wrong, 1, why, sizeof(why)), 0);
    CHECK_EQUAL(relay_commit(p.relay), 0);
    struct client *a = plane_connect(&p, 1);
    client_sync(a);
    plane_close(&p);
}

static void monitor_request_without_memory_fails(void)
{
    const char *const rules[] = {"type='signal'", "member='Foo',arg0='bar'"};
    struct monitor *monitor = NULL;
    char why[256];
    int result = -ENOMEM;
    for (long n = 0; result == -ENOMEM && n < 100; n++) {
        check_allocations = n;
        result = monitor_new(&monitor, rules, 2, why, sizeof(why));
        check_allocations = -1;
        CHECK(result == 0 || result == -ENOMEM);
    }
    CHECK_EQUAL(result, 0);
    monitor_free(monitor);
}

static const struct check_test tests[] = {
    TEST(messages_are_seen_once_and_stamped),
    TEST(monitor_sees_hello_with_its_assigned_name),
    TEST(failed_hello_is_seen_without_a_name),
    TEST(monitor_sees_only_matching_messages),
    TEST(new_monitor_loses_its_names),
    TEST(monitors_see_become_monitor_calls),
    TEST(monitor_that_sends_is_disconnected),
    TEST(monitor_sees_denials),
    TEST(parked_message_is_seen_after_its_consequences),
    TEST(rejected_message_is_seen_before_its_error),
    TEST(parked_message_of_a_departed_sender_is_seen),
    TEST(message_seen_late_is_complete),
    TEST(slow_monitor_delays_no_other_client),
    TEST(tracers_are_told_when_a_message_was_routed),
    TEST(invalid_monitor_rules_are_refused),
    TEST(monitor_request_without_memory_fails),
};
CHECK_MAIN(tests)
