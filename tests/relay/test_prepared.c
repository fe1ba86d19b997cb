/* SPDX-License-Identifier: MIT */
#include "plane_fixture.h"

#include "../../transport/relay/state/prepared.h"

#define BUS "org.freedesktop.DBus"
#define PATH "/org/freedesktop/DBus"

struct question {
    const char *path, *interface, *member, *argument;
};

static void ask(struct client *c, const struct question *q)
{
    struct marshal w = {0};
    struct marshal_header header = {.type = MESSAGE_METHOD_CALL,
                                    .serial = ++c->serial,
                                    .path = span_of(q->path),
                                    .interface = span_of(q->interface),
                                    .member = span_of(q->member),
                                    .destination = SPAN(BUS),
                                    .signature = span_of(q->argument ? "s" : NULL)};
    marshal_begin(&w, &header);
    if (q->argument)
        marshal_string(&w, span_of(q->argument));
    client_send(c, &w);
}

static void answers(struct client *c, const char *text)
{
    struct message m;
    struct message_arg argument;
    REQUIRE(client_expect_argument(c, &m, &argument));
    CHECK_EQUAL(m.type, MESSAGE_METHOD_RETURN);
    CHECK_EQUAL(m.reply_serial, c->serial);
    CHECK_SPAN(argument.text, text);
    client_drop(c, &m);
}

/* The control plane answers, for this call or for all equal ones. */
static void goes_up(struct plane *p, struct client *c, bool constant)
{
    static const uint8_t text[] = {2, 0, 0, 0, 'o', 'k', 0};
    if (!plane_event(p, RELAY_EVENT_CALL))
        return;
    relay_reply(p->relay, p->event.peer, p->event.serial, "s", text, sizeof(text), constant);
    relay_resume(p->relay, p->event.peer);
    relay_commit(p->relay);
    answers(c, "ok");
}

static const struct question question = {PATH, "an.Interface", "Get", "this"};

static void a_constant_reply_answers_equal_calls(void)
{
    struct plane p;
    plane_open(&p);
    struct client *a = plane_connect(&p, 0), *b = plane_connect(&p, 1);
    ask(a, &question);
    goes_up(&p, a, true);
    for (int i = 0; i < 2; i++) {
        ask(a, &question);
        answers(a, "ok");
        ask(b, &question);
        answers(b, "ok");
    }
    plane_close(&p);
}

static void other_replies_are_for_one_call(void)
{
    struct plane p;
    plane_open(&p);
    struct client *a = plane_connect(&p, 0);
    for (int i = 0; i < 2; i++) {
        ask(a, &question);
        goes_up(&p, a, false);
    }
    plane_close(&p);
}

static void other_calls_go_up(void)
{
    static const struct question others[] = {
        {"/", "an.Interface", "Get", "this"},  {PATH, "an.Other", "Get", "this"},
        {PATH, NULL, "Get", "this"},           {PATH, "an.Interface", "Set", "this"},
        {PATH, "an.Interface", "Get", "that"}, {PATH, "an.Interface", "Get", "these"},
        {PATH, "an.Interface", "Get", NULL},
    };
    struct plane p;
    plane_open(&p);
    struct client *a = plane_connect(&p, 0);
    ask(a, &question);
    goes_up(&p, a, true);
    for (size_t i = 0; i < CHECK_COUNT(others); i++) {
        ask(a, &others[i]);
        goes_up(&p, a, false);
    }
    plane_close(&p);
}

/* What the control plane should not have kept does not grow without end. */
static void replies_are_bounded(void)
{
    struct plane p;
    char texts[PREPARED_MAX + 1][8];
    plane_open(&p);
    struct client *a = plane_connect(&p, 0);
    for (uint32_t round = 0; round < 2; round++) {
        for (uint32_t i = 0; i <= PREPARED_MAX; i++) {
            snprintf(texts[i], sizeof(texts[i]), "%u", i);
            const struct question one = {PATH, "an.Interface", "Get", texts[i]};
            ask(a, &one);
            if (round == 0 || i == PREPARED_MAX)
                goes_up(&p, a, true);
            else
                answers(a, "ok");
        }
    }
    plane_close(&p);
}

/* A reply that is none is not delivered, and not kept either. */
static void an_invalid_reply_is_not_kept(void)
{
    struct plane p;
    plane_open(&p);
    struct client *a = plane_connect(&p, 0);
    for (int i = 0; i < 2; i++) {
        ask(a, &question);
        REQUIRE(plane_event(&p, RELAY_EVENT_CALL));
        relay_reply(p.relay, 0, p.event.serial, "s", (const uint8_t *)"x", 1, true);
        relay_resume(p.relay, 0);
        relay_commit(p.relay);
        plane_event(&p, RELAY_EVENT_LOG);
    }
    plane_close(&p);
}

static void without_memory_it_is_not_kept(void)
{
    struct prepared prepared;
    struct client c = {0};
    struct message m;
    prepared_init(&prepared);
    struct marshal w = client_call(&c, BUS, "Get", NULL);
    REQUIRE(marshal_end(&w));
    REQUIRE(message_parse(&m, w.data, (uint32_t)w.size) == MESSAGE_OK);
    check_allocations = 0;
    prepared_add(&prepared, &m, SPAN("s"), (const uint8_t *)"x", 1);
    check_allocations = -1;
    CHECK(!prepared_find(&prepared, &m));
    for (int i = 0; i < 2; i++)
        prepared_add(&prepared, &m, SPAN("s"), (const uint8_t *)"x", 1);
    CHECK(prepared_find(&prepared, &m) && prepared.n == 1);
    prepared_free(&prepared);
    marshal_free(&w);
}

static const struct check_test tests[] = {
    TEST(a_constant_reply_answers_equal_calls),
    TEST(other_replies_are_for_one_call),
    TEST(other_calls_go_up),
    TEST(replies_are_bounded),
    TEST(an_invalid_reply_is_not_kept),
    TEST(without_memory_it_is_not_kept),
};

CHECK_MAIN(tests)
