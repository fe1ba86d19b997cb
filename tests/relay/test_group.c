/* SPDX-License-Identifier: MIT */
#include "fake_plane.h"

/* A client joins with the first message from it or to it that is not the bus's own. */
static void clients_of_the_bus_alone_do_not_join(void)
{
    struct plane p;
    fake_open(&p);
    struct client *a = enter(&p, 0), *b = enter(&p, 1), *c = enter(&p, 2);
    client_match(b, RULE);
    client_match(c, RULE ",member='Other'");
    REQUIRE(client_sync(c));
    CHECK_EQUAL(fake_calls(UMC_ADD), 0);
    hears(a, b, ":1.0");
    REQUIRE(client_sync(a));
    CHECK_EQUAL(fake_calls(UMC_ADD), 2);
    REQUIRE(meet(c, ":1.2", a, ":1.0"));
    CHECK_EQUAL(fake_calls(UMC_ADD), 3);
    plane_close(&p);
}

/* The index of a member that no filter names is free at once, whatever else is to be rebuilt. */
static void unnamed_index_is_free_at_once(void)
{
    struct plane p;
    fake_open(&p);
    struct client *a = enter(&p, 0), *b = enter(&p, 1), *c = enter(&p, 2);
    struct marshal w = client_signal(c, NULL, "Tick");
    client_send(c, &w);
    REQUIRE(client_sync(c));
    REQUIRE(meet(a, ":1.0", b, ":1.1")); /* neither has a filter for the next second */
    leaves(&p, c);
    REQUIRE(client_sync(a));
    CHECK_EQUAL(fake_calls(UMC_FORGET), 1);
    CHECK(!fake_look(0).accepted);
    plane_close(&p);
}

/* An index that a filter names is free once that has been replaced. */
static void named_index_is_free_later(void)
{
    struct plane p;
    fake_open(&p);
    struct client *a = enter(&p, 0), *b = enter(&p, 1);
    while (!fake_look(0).egress)
        REQUIRE(meet(a, ":1.0", b, ":1.1"));
    uint32_t filters = fake_calls(UMC_SET_FILTER);
    leaves(&p, b);
    while (fake_calls(UMC_FORGET) == 0)
        REQUIRE(client_sync(a));
    CHECK(fake_group.filters_at_forget > filters);
    plane_close(&p);
}

/* A call and a signal, as a reason for filters of both kinds. */
static void converse(struct plane *p)
{
    expects_reply(&p->clients[0], &p->clients[1], ":1.1", ":1.0");
    hears(&p->clients[0], &p->clients[1], ":1.0");
}

/* A new policy takes all filters back in one call, however many there are, and direct delivery resumes. */
static void policy_is_replaced_in_one_call(void)
{
    struct plane p;
    fake_open(&p);
    live(&p);
    while (!(fake_look(0).egress && fake_look(1).ingress))
        hears(&p.clients[0], &p.clients[1], ":1.0");
    uint32_t emptied = fake_group.emptied;
    CHECK_EQUAL(relay_load_policy(p.relay, plane_policy, sizeof(plane_policy)), 0);
    relay_commit(p.relay);
    while (fake_calls(UMC_REVOKE) == 0)
        REQUIRE(client_sync(&p.clients[0]));
    CHECK(fake_calls(UMC_REVOKE) <= 2); /* the second if parties were looked up meanwhile */
    CHECK_EQUAL(fake_group.emptied, emptied);
    while (!(fake_look(0).egress && fake_look(1).ingress))
        converse(&p);
    plane_close(&p);
}

/* Filters that can't be taken back end the group, and the relay serves all. */
static void revoking_fails(void)
{
    struct plane p;
    fake_open(&p);
    live(&p);
    fake_fail(UMC_REVOKE, EIO, 0, 1);
    CHECK_EQUAL(relay_load_policy(p.relay, plane_policy, sizeof(plane_policy)), 0);
    relay_commit(p.relay);
    while (fake_calls(UMC_REVOKE) == 0)
        REQUIRE(client_sync(&p.clients[0]));
    REQUIRE(client_sync(&p.clients[0])); /* the members were held before they left */
    uint32_t writes = fake_calls(UMC_WRITE);
    expects_reply(&p.clients[0], &p.clients[1], ":1.1", ":1.0");
    CHECK_EQUAL(fake_calls(UMC_WRITE), writes);
    plane_close(&p);
}

static void members_are_served(void)
{
    struct plane p;
    fake_open(&p);
    live(&p);
    /* new filters take effect a moment later */
    while (!(fake_look(0).egress && fake_look(1).ingress && fake_releases() > 0))
        hears(&p.clients[0], &p.clients[1], ":1.0");
    CHECK_EQUAL(fake_calls(UMC_ADD), 3);
    CHECK(fake_calls(UMC_WRITE) > 0);
    plane_close(&p);
}

/* Has one client call another, with which both become members. Returns the serial of the call. */
static uint32_t ask_first(struct client *a, struct client *b)
{
    struct message m;
    struct marshal w = client_call(a, ":1.1", "Question", NULL);
    client_send(a, &w);
    if (!CHECK(client_expect(b, &m)))
        return 0;
    uint32_t serial = m.serial;
    client_drop(b, &m);
    CHECK(client_sync(b)); /* to the end of the wake-up */
    CHECK_EQUAL(fake_calls(UMC_ADD), 2);
    return serial;
}

/* The call with which two clients become members is pending in the group, which counts a caller's calls. */
static void first_call_is_handed_over(void)
{
    struct plane p;
    fake_open(&p);
    struct client *a = enter(&p, 0), *b = enter(&p, 1);
    uint32_t serial = ask_first(a, b);
    CHECK_EQUAL(fake_group.n_pending, 1);
    CHECK_EQUAL(fake_group.pending[0].key, serial);
    plane_close(&p);
}

/* dbus-daemon(1), reply_timeout: a call that was made without one does not expire when there is one. */
static void call_without_timeout_never_expires(void)
{
    struct plane p;
    fake_open(&p);
    struct client *a = enter(&p, 0), *b = enter(&p, 1);
    struct marshal_header header = {
        .type = MESSAGE_METHOD_RETURN, .reply_serial = ask_first(a, b), .destination = SPAN(":1.0")};
    CHECK_EQUAL(fake_group.n_pending, 1);
    struct relay_limits limits = fake_limits();
    limits.reply_timeout = 1;
    relay_set_limits(p.relay, &limits);
    relay_commit(p.relay);
    REQUIRE(client_sync(b));
    CHECK_EQUAL(fake_group.n_pending, 0);
    header.serial = ++b->serial;
    struct marshal w = {0};
    marshal_begin(&w, &header);
    client_send(b, &w);
    client_expects(a, MESSAGE_METHOD_RETURN, NULL, ":1.1");
    plane_close(&p);
}

/* Specification, "Message Bus Messages": a rule's first signal comes after the reply to AddMatch. */
static void rule_takes_effect_after_its_reply(void)
{
    struct plane p;
    fake_open(&p);
    live(&p);
    struct client *b = &p.clients[1];
    /* a new filter is not replaced again at once */
    for (int64_t since = clock_now(); clock_now() < since + GROUP_PEER_REBUILD_MAX;) {
        hears(&p.clients[0], b, ":1.0");
        if (!fake_look(1).ingress)
            since = clock_now();
    }
    client_match(b, RULE ",arg0='new'");
    struct fake_member member = fake_look(1);
    CHECK_EQUAL(member.replaced, 1);
    CHECK_EQUAL(member.replaced_held, 1);
    CHECK(!member.held);
    plane_close(&p);
}

static void group_needs_the_first_filter(void)
{
    struct plane p;
    fake_prepare(&p);
    fake_fail(UMC_SET_FILTER, EINVAL, 0, 1);
    CHECK_EQUAL(relay_set_group(p.relay, fake_group.fd, FAKE_MEMBERS, true), -EINVAL);
    fake_start(&p);
    live(&p);
    CHECK_EQUAL(fake_calls(UMC_ADD), 0);
    plane_close(&p);
}

/*
 * Interrupted calls are repeated. Only the group knows its pending replies; that there is none is an
 * answer.
 */
static bool can_be(unsigned long request, int error, bool for_good)
{
    if (request == UMC_PENDING_TAKE && error == ENOENT)
        return false;
    return !for_good || (error != EINTR && request != UMC_PENDING_LIST);
}

/* Each request fails at the first time or later, once or always; the relay continues regardless. */
static void calls_fail(unsigned long request)
{
    static const int errors[] = {EIO, ENOMEM, EBADF, ENODEV, EINTR, ENOENT};
    for (size_t i = 0; i < CHECK_COUNT(errors); i++) {
        for (uint32_t after = 0; after < 3; after++) {
            struct plane p;
            fake_open(&p);
            fake_fail(request, errors[i], after, after == 1 ? 1000000 : 1);
            if (can_be(request, errors[i], after == 1))
                live(&p);
            plane_close(&p);
        }
    }
}

#define FAILS(name, request)                                                                                 \
    static void name(void)                                                                                   \
    {                                                                                                        \
        calls_fail(request);                                                                                 \
    }
FAILS(adding_fails, UMC_ADD)
FAILS(removing_fails, UMC_REMOVE)
FAILS(forgetting_fails, UMC_FORGET)
FAILS(marking_fails, UMC_SET_MARK)
FAILS(filtering_fails, UMC_SET_FILTER)
FAILS(stamping_fails, UMC_SET_STAMP)
FAILS(writing_fails, UMC_WRITE)
FAILS(looking_for_calls_fails, UMC_PENDING_LIST)
FAILS(noting_a_call_fails, UMC_PENDING_ADD)
FAILS(taking_a_call_fails, UMC_PENDING_TAKE)

static void writes_are_refused(void)
{
    static const int errors[] = {EAGAIN, EBUSY, ENOMEM, ENOBUFS, EINTR};
    for (size_t i = 0; i < CHECK_COUNT(errors); i++) {
        for (uint32_t after = 0; after < 12; after++) {
            struct plane p;
            fake_open(&p);
            fake_group.entry_error = errors[i];
            fake_fail(UMC_WRITE, 0, after, errors[i] == EAGAIN ? 1 : 3);
            live(&p);
            CHECK(!fake_look(0).held && !fake_look(1).held);
            plane_close(&p);
        }
    }
}

static struct client *become_monitor(struct plane *p, uint64_t id)
{
    struct client *m = enter(p, id);
    struct marshal w = client_call(m, BUS, "BecomeMonitor", NULL);
    char why[64];
    client_send(m, &w);
    if (!awaits(p, RELAY_EVENT_CALL))
        return m;
    CHECK_EQUAL(relay_become_monitor(p->relay, id, p->event.serial, NULL, 0, why, sizeof(why)), 0);
    relay_resume(p->relay, id);
    relay_commit(p->relay);
    client_expects(m, MESSAGE_METHOD_RETURN, NULL, BUS);
    client_expects(m, MESSAGE_SIGNAL, "NameLost", BUS);
    return m;
}

/* A monitor sees everything: no client sends directly while there is one. */
static void monitors_close_the_gate(void)
{
    struct plane p;
    fake_open(&p);
    struct client *a = enter(&p, 0), *b = enter(&p, 1);
    struct client *m = become_monitor(&p, 2);
    client_sync(a);
    CHECK(fake_group.gated);
    CHECK(fake_look(2).dead || !fake_look(2).accepted);
    expects_reply(a, b, ":1.1", ":1.0");
    client_close(m);
    if (awaits(&p, RELAY_EVENT_GONE))
        relay_forget(p.relay, p.event.peer);
    relay_commit(p.relay);
    client_sync(a);
    client_sync(a);
    CHECK(!fake_group.gated);
    plane_close(&p);
}

static void gating_fails(void)
{
    struct plane p;
    fake_open(&p);
    fake_fail(UMC_GATE, EIO, 0, 1000);
    struct client *a = enter(&p, 0), *b = enter(&p, 1), *m = become_monitor(&p, 2);
    expects_reply(a, b, ":1.1", ":1.0");
    client_expects(m, MESSAGE_METHOD_CALL, "Question", ":1.0");
    client_expects(m, MESSAGE_METHOD_RETURN, NULL, ":1.1");
    plane_close(&p);
}

static void spill(struct plane *p, uint32_t receiver, uint32_t written, const struct marshal *w)
{
    struct umc_spill head = {
        .receiver = receiver, .sender = 0, .length = (uint32_t)w->size, .written = written};
    uint64_t one = 1;
    (void)p;
    pthread_mutex_lock(&fake_group.mutex);
    memcpy(fake_group.spill, &head, sizeof(head));
    memcpy(fake_group.spill + sizeof(head), w->data, w->size);
    fake_group.spill_size = sizeof(head) + w->size;
    pthread_mutex_unlock(&fake_group.mutex);
    CHECK_EQUAL(write(fake_group.fd, &one, sizeof(one)), sizeof(one));
}

/* A delivery that failed in the middle of a multicast is finished before any other write. */
static void spilled_message_is_written_first(void)
{
    for (uint32_t written = 0; written < 40; written += 13) {
        struct plane p;
        struct message m;
        fake_open(&p);
        struct client *a = enter(&p, 0), *b = enter(&p, 1);
        REQUIRE(meet(a, ":1.0", b, ":1.1"));
        struct marshal w = client_signal(a, NULL, "Spilled");
        marshal_end(&w);
        int end = fake_look(1).accepted;
        CHECK_EQUAL(send(end, w.data, written, 0), (ssize_t)written);
        spill(&p, 1, written, &w);
        marshal_free(&w);
        REQUIRE(client_expect(b, &m));
        CHECK_SPAN(m.member, "Spilled");
        client_drop(b, &m);
        client_sync(b);
        CHECK(!fake_look(1).held);
        plane_close(&p);
    }
}

/* b, which is :1.1, answers a call of a, which is :1.0 and gets that. */
static void answers(struct client *b, struct client *a, uint32_t serial)
{
    struct marshal w = {0};
    struct marshal_header header = {.type = MESSAGE_METHOD_RETURN,
                                    .serial = ++b->serial,
                                    .reply_serial = serial,
                                    .destination = SPAN(":1.0")};
    marshal_begin(&w, &header);
    client_send(b, &w);
    client_expects(a, MESSAGE_METHOD_RETURN, NULL, ":1.1");
}

/* A direct call that is answered through the relay; and one with a callee that leaves without a reply. */
static void direct_calls_are_tracked(void)
{
    for (int answered = 0; answered < 2; answered++) {
        struct plane p;
        fake_open(&p);
        struct client *a = enter(&p, 0), *b = enter(&p, 1);
        REQUIRE(meet(a, ":1.0", b, ":1.1"));
        expects_reply(a, b, ":1.1", ":1.0"); /* a's calls may go directly from here on */
        fake_group.pending[fake_group.n_pending++] =
            (struct umc_pending){.caller = 0, .callee = 1, .key = 77};
        if (answered) {
            answers(b, a, 77);
            CHECK_EQUAL(fake_group.n_pending, 0);
        } else {
            client_close(b);
            if (awaits(&p, RELAY_EVENT_GONE))
                relay_forget(p.relay, p.event.peer);
            relay_commit(p.relay);
            client_expects(a, MESSAGE_ERROR, "org.freedesktop.DBus.Error.NoReply", BUS);
        }
        plane_close(&p);
    }
}

/* A call that is on its way when the group ends is recorded first. */
static void group_is_dissolved_after_a_delivery(void)
{
    struct plane p;
    fake_open(&p);
    struct client *a = enter(&p, 0), *b = enter(&p, 1);
    REQUIRE(meet(a, ":1.0", b, ":1.1"));
    fake_group.arriving = (struct umc_pending){.caller = 0, .callee = 1, .key = 77};
    fake_group.entry_error = EBUSY;
    fake_fail(UMC_WRITE, 0, 0, 1);
    CHECK_EQUAL(relay_dissolve_group(p.relay), 0);
    CHECK_EQUAL(relay_commit(p.relay), 0);
    REQUIRE(client_sync(a));
    answers(b, a, 77);
    plane_close(&p);
}

/* Members go back to the relay, which has their pending replies then, and join a new group with traffic. */
static void group_is_dissolved_and_begins_again(void)
{
    struct plane p;
    fake_open(&p);
    struct client *a = enter(&p, 0), *b = enter(&p, 1);
    REQUIRE(meet(a, ":1.0", b, ":1.1"));
    expects_reply(a, b, ":1.1", ":1.0");
    fake_group.pending[fake_group.n_pending++] = (struct umc_pending){.caller = 0, .callee = 1, .key = 77};
    CHECK_EQUAL(relay_dissolve_group(p.relay), 0);
    CHECK_EQUAL(relay_commit(p.relay), 0);
    REQUIRE(client_sync(a));
    CHECK(fake_group.gated);
    CHECK_EQUAL(fake_group.n_pending, 0);
    expects_reply(a, b, ":1.1", ":1.0");
    fake_begin();
    CHECK_EQUAL(relay_begin_group(p.relay, fake_group.fd, FAKE_MEMBERS, true), 0);
    CHECK_EQUAL(relay_commit(p.relay), 0);
    answers(b, a, 77);
    REQUIRE(meet(a, ":1.0", b, ":1.1"));
    CHECK_EQUAL(fake_calls(UMC_ADD), 2);
    plane_close(&p);
}

/* One that begins while there is one, and one that fails, change nothing. */
static void second_group_is_not_begun(void)
{
    struct plane p;
    fake_open(&p);
    struct client *a = enter(&p, 0), *b = enter(&p, 1);
    CHECK_EQUAL(relay_begin_group(p.relay, eventfd(0, EFD_CLOEXEC), FAKE_MEMBERS, true), 0);
    CHECK_EQUAL(relay_commit(p.relay), 0);
    REQUIRE(meet(a, ":1.0", b, ":1.1"));
    CHECK_EQUAL(relay_dissolve_group(p.relay), 0);
    CHECK_EQUAL(relay_dissolve_group(p.relay), 0);
    fake_begin();
    fake_fail(UMC_SET_FILTER, EINVAL, 0, 1);
    CHECK_EQUAL(relay_begin_group(p.relay, fake_group.fd, FAKE_MEMBERS, true), 0);
    CHECK_EQUAL(relay_commit(p.relay), 0);
    REQUIRE(meet(a, ":1.0", b, ":1.1"));
    CHECK_EQUAL(fake_calls(UMC_ADD), 0);
    plane_close(&p);
}

/* No control plane takes events at the end: LeakSanitizer would report a log line that is not freed. */
static void relay_end_frees_log_lines(void)
{
    struct plane p;
    fake_open(&p);
    enter(&p, 0);
    client_sync(&p.clients[0]);
    fake_fail(UMC_PENDING_LIST, EIO, 0, 100);
    relay_free(p.relay); /* while the client is still connected */
    client_close(&p.clients[0]);
}

static const struct check_test tests[] = {
    TEST(first_call_is_handed_over),
    TEST(call_without_timeout_never_expires),
    TEST(relay_end_frees_log_lines),
    TEST(clients_of_the_bus_alone_do_not_join),
    TEST(unnamed_index_is_free_at_once),
    TEST(named_index_is_free_later),
    TEST(policy_is_replaced_in_one_call),
    TEST(members_are_served),
    TEST(rule_takes_effect_after_its_reply),
    TEST(group_needs_the_first_filter),
    TEST(adding_fails),
    TEST(removing_fails),
    TEST(forgetting_fails),
    TEST(marking_fails),
    TEST(filtering_fails),
    TEST(stamping_fails),
    TEST(revoking_fails),
    TEST(writing_fails),
    TEST(looking_for_calls_fails),
    TEST(noting_a_call_fails),
    TEST(taking_a_call_fails),
    TEST(writes_are_refused),
    TEST(monitors_close_the_gate),
    TEST(gating_fails),
    TEST(spilled_message_is_written_first),
    TEST(direct_calls_are_tracked),
    TEST(group_is_dissolved_after_a_delivery),
    TEST(group_is_dissolved_and_begins_again),
    TEST(second_group_is_not_begun),
};

CHECK_MAIN(tests)
