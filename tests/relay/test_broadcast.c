/* SPDX-License-Identifier: MIT */
#include "plane_fixture.h"
#include "policy_draft.h"

#define UID_OF_PLANE 1000u
#define ANOTHER_UID 1001u

/* The uid that the policy distinguishes. */
static const struct rule_draft rules[] = {
    {.kind = POLICY_SEND, .allow = true},
    {.kind = POLICY_RECEIVE, .allow = true},
    {.kind = POLICY_RECEIVE, .context = POLICY_USER, .principal = ANOTHER_UID, .interface = "test.Interface"},
};

static struct client *connect_as(struct plane *p, uint64_t id, uint32_t uid)
{
    struct client *c = &p->clients[id];
    struct relay_credentials credentials = {.uid = uid, .loginfo = "test"};
    int ends[2];
    CHECK_EQUAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    *c = (struct client){.fd = ends[0]};
    relay_attach(p->relay, id, ends[1], -1, clock_now(), &credentials, NULL, 0, NULL, 0);
    relay_commit(p->relay);
    struct marshal w = client_call(c, "org.freedesktop.DBus", "Hello", NULL);
    client_send(c, &w);
    if (!plane_event(p, RELAY_EVENT_CALL))
        return c;
    relay_welcome(p->relay, id, p->event.serial);
    relay_commit(p->relay);
    client_expects(c, MESSAGE_METHOD_RETURN, NULL, NULL);
    client_expects(c, MESSAGE_SIGNAL, "NameAcquired", NULL);
    client_match(c, "type='signal',interface='test.Interface'");
    return c;
}

static void emit(struct client *c, const char *member)
{
    struct marshal w = {0};
    struct marshal_header header = {.type = MESSAGE_SIGNAL,
                                    .serial = ++c->serial,
                                    .path = SPAN("/test"),
                                    .interface = SPAN("test.Interface"),
                                    .member = span_of(member)};
    marshal_begin(&w, &header);
    client_send(c, &w);
    client_expects(c, MESSAGE_SIGNAL, member, ":1.0");
}

static void load(struct plane *p, size_t n)
{
    static struct policy_draft draft;
    policy_draft(&draft, rules, n);
    CHECK_EQUAL(relay_load_policy(p->relay, draft.data, draft.size), 0);
    CHECK_EQUAL(relay_commit(p->relay), 0);
}

/* Checks that the signal was not delivered: the next message is the reply to a call. */
static void missed(struct client *c)
{
    client_sync(c);
}

/* Receivers with equal policies before and after one with another policy. */
static void each_receiver_is_judged_by_its_own_rules(void)
{
    struct plane p;
    plane_open(&p);
    load(&p, CHECK_COUNT(rules));
    struct client *a = connect_as(&p, 0, UID_OF_PLANE), *b = connect_as(&p, 1, ANOTHER_UID);
    struct client *c = connect_as(&p, 2, UID_OF_PLANE), *d = connect_as(&p, 3, ANOTHER_UID);
    emit(a, "First");
    client_expects(c, MESSAGE_SIGNAL, "First", ":1.0");
    missed(b);
    missed(d);
    plane_close(&p);
}

static void new_policy_applies_to_the_next_broadcast(void)
{
    struct plane p;
    plane_open(&p);
    load(&p, CHECK_COUNT(rules) - 1);
    struct client *a = connect_as(&p, 0, UID_OF_PLANE), *b = connect_as(&p, 1, ANOTHER_UID);
    struct client *c = connect_as(&p, 2, UID_OF_PLANE);
    emit(a, "First");
    client_expects(b, MESSAGE_SIGNAL, "First", ":1.0");
    client_expects(c, MESSAGE_SIGNAL, "First", ":1.0");
    load(&p, CHECK_COUNT(rules));
    client_sync(a);
    emit(a, "Second");
    client_expects(c, MESSAGE_SIGNAL, "Second", ":1.0");
    missed(b);
    plane_close(&p);
}

static const struct check_test tests[] = {
    TEST(each_receiver_is_judged_by_its_own_rules),
    TEST(new_policy_applies_to_the_next_broadcast),
};
CHECK_MAIN(tests)
