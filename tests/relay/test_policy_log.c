/* SPDX-License-Identifier: MIT */
#include "plane_fixture.h"
#include "policy_draft.h"

#define NOTICE 5 /* syslog's */
#define DESCRIBED                                                                                            \
    "type=\"signal\", sender=\":1.0\" (uid=1000) interface=\"test.Interface\" member=\"%s\" "                \
    "error name=\"(unset)\" requested_reply=\"0\" destination=\"%s\" (uid=1000)"

static const struct rule_draft rules[] = {
    {.kind = POLICY_SEND, .allow = true},
    {.kind = POLICY_RECEIVE, .allow = true},
    {.kind = POLICY_SEND,
     .interface = "test.Interface",
     .member = "NotSent",
     .file = "/a/bus.conf",
     .line = 70000},
    {.kind = POLICY_RECEIVE, .interface = "test.Interface", .member = "NotReceived"},
    {.kind = POLICY_SEND,
     .allow = true,
     .interface = "test.Interface",
     .member = "Noted",
     .flags = POLICY_LOG},
    {.kind = POLICY_SEND,
     .allow = true,
     .interface = "test.Interface",
     .member = "NotedAndNotReceived",
     .flags = POLICY_LOG},
    {.kind = POLICY_RECEIVE, .interface = "test.Interface", .member = "NotedAndNotReceived"},
};

static void plane_judge(struct plane *p)
{
    static struct policy_draft draft;
    policy_draft(&draft, rules, CHECK_COUNT(rules));
    CHECK_EQUAL(relay_load_policy(p->relay, draft.data, draft.size), 0);
    CHECK_EQUAL(relay_commit(p->relay), 0);
}

/* Checks the next line of the log. */
static void plane_logs(struct plane *p, const char *words, const char *member, const char *destination)
{
    char format[512], line[1024];
    snprintf(format, sizeof(format), "%s, 2 matched rules; %s", words, DESCRIBED);
    snprintf(line, sizeof(line), format, member, destination);
    if (!plane_event(p, RELAY_EVENT_LOG))
        return;
    CHECK_EQUAL(p->event.type, NOTICE);
    CHECK_SPAN(((struct span){(const char *)p->event.body, p->event.body_size}), line);
}

static void signal_sent(struct client *c, const char *destination, const char *member)
{
    struct marshal w = client_signal(c, destination, member);
    client_send(c, &w);
}

static void denials_are_logged(void)
{
    struct plane p;
    plane_open(&p);
    plane_judge(&p);
    struct client *a = plane_connect(&p, 0);
    plane_connect(&p, 1);
    signal_sent(a, ":1.1", "NotSent");
    plane_logs(&p, "Rejected send message", "NotSent", ":1.1");
    signal_sent(a, ":1.1", "NotReceived");
    plane_logs(&p, "Rejected receive message", "NotReceived", ":1.1");
    plane_close(&p);
}

/* The line has both peers, the message, and the rule; its location may be unknown. */
static void denial_names_its_rule(void)
{
    struct plane p;
    plane_open(&p);
    plane_judge(&p);
    plane_connect(&p, 0);
    struct client *b = plane_connect(&p, 1);
    signal_sent(b, ":1.0", "NotSent");
    if (plane_event(&p, RELAY_EVENT_LOG)) {
        CHECK_EQUAL(p.event.peer, 1);
        CHECK_SPAN(span_of(p.event.destination), ":1.0");
        CHECK_SPAN(span_of(p.event.path), "/a/bus.conf");
        CHECK_EQUAL(p.event.serial, 70000);
    }
    signal_sent(b, ":1.0", "NotReceived");
    if (plane_event(&p, RELAY_EVENT_LOG)) {
        CHECK_SPAN(span_of(p.event.destination), ":1.0");
        CHECK(!p.event.path);
    }
    plane_close(&p);
}

static void would_be_denials_are_logged(void)
{
    struct plane p;
    plane_open(&p);
    plane_judge(&p);
    struct client *a = plane_connect(&p, 0), *b = plane_connect(&p, 1);
    signal_sent(a, ":1.1", "Noted");
    plane_logs(&p, "Would reject message", "Noted", ":1.1");
    client_expects(b, MESSAGE_SIGNAL, "Noted", ":1.0");
    signal_sent(a, ":1.1", "NotedAndNotReceived");
    plane_logs(&p, "Would reject message", "NotedAndNotReceived", ":1.1");
    plane_logs(&p, "Rejected receive message", "NotedAndNotReceived", ":1.1");
    plane_close(&p);
}

/* Reads the pending log; returns the number of lines. */
static unsigned plane_lines(struct plane *p)
{
    unsigned lines = 0;
    while (relay_events(p->relay, &p->event, 1) == 1) {
        CHECK_EQUAL(p->event.kind, RELAY_EVENT_LOG);
        CHECK_EQUAL(p->event.type, NOTICE);
        lines++;
    }
    CHECK(lines <= 16); /* REPORTS_OF_PEER */
    CHECK_EQUAL(relay_commit(p->relay), 0);
    return lines;
}

static uint64_t parks(struct plane *p, struct client *c, const char *member, bool denied)
{
    signal_sent(c, "an.Example", member);
    if (plane_event(p, RELAY_EVENT_PARKED))
        CHECK_EQUAL(p->event.denied, denied);
    return p->event.parked;
}

/* Checks the next line of the log, about a message to a service that is yet to be started. */
static void plane_logs_start(struct plane *p, const char *words)
{
    if (plane_event(p, RELAY_EVENT_LOG))
        CHECK(p->event.body_size > strlen(words) && !memcmp(p->event.body, words, strlen(words)));
    CHECK(strstr((const char *)p->event.body, "destination=\"an.Example\" (bus)"));
}

/* The control plane has to know whether a service exists before the sender learns that it may not use it. */
static void parked_message_is_denied_late(void)
{
    struct plane p;
    plane_open(&p);
    plane_judge(&p);
    struct client *a = plane_connect(&p, 0);
    relay_deliver(p.relay, parks(&p, a, "NotSent", true));
    relay_commit(p.relay);
    client_expects(a, MESSAGE_ERROR, "org.freedesktop.DBus.Error.AccessDenied", "org.freedesktop.DBus");
    plane_logs_start(&p, "Rejected send message");
    plane_close(&p);
}

/* A receiver that does not exist yet has no rules. */
static void parked_message_is_judged_again(void)
{
    struct plane p;
    plane_open(&p);
    plane_judge(&p);
    struct client *a = plane_connect(&p, 0);
    uint64_t parked = parks(&p, a, "NotSent", true);
    relay_load_policy(p.relay, plane_policy, sizeof(plane_policy));
    relay_deliver(p.relay, parked);
    relay_commit(p.relay);
    if (plane_event(&p, RELAY_EVENT_PARKED))
        CHECK(!p.event.denied && p.event.parked == parked);
    parks(&p, a, "NotReceived", false);
    plane_close(&p);
}

static void would_be_denial_of_a_start_is_logged_once(void)
{
    struct plane p;
    plane_open(&p);
    plane_judge(&p);
    struct client *a = plane_connect(&p, 0);
    uint64_t parked = parks(&p, a, "Noted", false);
    for (int i = 0; i < 2; i++)
        relay_show(p.relay, parked);
    relay_reject(p.relay, parked, "an.Error", "it does not come");
    relay_commit(p.relay);
    plane_logs_start(&p, "Would reject message");
    client_expects(a, MESSAGE_ERROR, "an.Error", "org.freedesktop.DBus");
    CHECK(!plane_lines(&p));
    plane_close(&p);
}

/* A denied receiver of a broadcast is not logged, unless the rule has log="true". */
static void broadcast_denials_are_not_logged(void)
{
    struct plane p;
    plane_open(&p);
    plane_judge(&p);
    struct client *a = plane_connect(&p, 0), *b = plane_connect(&p, 1), *c = plane_connect(&p, 2);
    client_match(b, "type='signal'");
    client_match(c, "type='signal'");
    signal_sent(a, NULL, "NotSent");
    signal_sent(a, NULL, "NotReceived");
    signal_sent(a, NULL, "Noted");
    plane_logs(&p, "Would reject message", "Noted", "org.freedesktop.DBus");
    plane_logs(&p, "Would reject message", "Noted", "org.freedesktop.DBus");
    client_expects(b, MESSAGE_SIGNAL, "Noted", ":1.0");
    client_expects(c, MESSAGE_SIGNAL, "Noted", ":1.0");
    plane_close(&p);
}

static void log_backlog_loses_no_line(void)
{
    enum { SIGNALS = 3000 };
    struct plane p;
    unsigned sent = 0, lines = 0;
    plane_open(&p);
    plane_judge(&p);
    struct client *a = plane_connect(&p, 0), *b = plane_connect(&p, 1);
    CHECK_EQUAL(fcntl(a->fd, F_SETFL, O_NONBLOCK), 0);
    struct marshal w = client_signal(a, ":1.1", "NotSent");
    REQUIRE(marshal_end(&w));
    while (lines < SIGNALS) {
        struct pollfd pollers[] = {{.fd = a->fd, .events = sent < SIGNALS ? POLLIN | POLLOUT : POLLIN},
                                   {.fd = relay_event_fd(p.relay), .events = POLLIN}};
        REQUIRE(poll(pollers, 2, PLANE_DEADLINE) > 0);
        if (pollers[0].revents & POLLOUT && send(a->fd, w.data, w.size, MSG_NOSIGNAL) == (ssize_t)w.size)
            sent++;
        if (pollers[0].revents & POLLIN)
            client_receive(a);
        a->size = 0;
        /* reads only after the other has written all that it may, as a slower control plane */
        if (!(pollers[0].revents & POLLOUT) && pollers[1].revents)
            lines += plane_lines(&p);
        else
            client_sync(b); /* no other client waits for the log */
    }
    CHECK_EQUAL(lines, SIGNALS);
    marshal_free(&w);
    plane_close(&p);
}

static const struct check_test tests[] = {
    TEST(denials_are_logged),
    TEST(denial_names_its_rule),
    TEST(would_be_denials_are_logged),
    TEST(broadcast_denials_are_not_logged),
    TEST(parked_message_is_denied_late),
    TEST(parked_message_is_judged_again),
    TEST(would_be_denial_of_a_start_is_logged_once),
    TEST(log_backlog_loses_no_line),
};

CHECK_MAIN(tests)
