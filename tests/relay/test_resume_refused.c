/* SPDX-License-Identifier: MIT */

/* States whose sections contradict themselves or one another are refused. */

#include "state_fixture.h"

/* A section of records with one record of two numbers. */
static void of_two(struct made *m, uint32_t type, uint64_t peer, uint64_t second, unsigned size)
{
    struct resume_bytes *b = make_new(m, type);
    resume_number(b, 1, 4);
    resume_number(b, peer, 8);
    resume_number(b, second, size);
}

static void wrong_bus_is_refused(void)
{
    struct made m;
    make_open(&m);
    m.content[RELAY_STATE_BUS].data[0]--;
    make_refused(&m, "section: bus");
    m.content[RELAY_STATE_BUS].data[0]++;
    m.content[RELAY_STATE_BUS].data[4] = 0;
    make_refused(&m, "section: bus");
    m.content[RELAY_STATE_BUS].data[4] = 'a';
    resume_number(&m.content[RELAY_STATE_BUS], 0, 1);
    make_refused(&m, "section: bus");
    m.content[RELAY_STATE_BUS].size--;
    m.content[RELAY_STATE_LIMITS].data[4 * 8 + 3] = 0xff; /* max_message_size */
    make_refused(&m, "section: limits");
    make_close(&m);
}

static void wrong_policy_or_catalogue_is_refused(void)
{
    struct made m;
    make_open(&m);
    resume_put(make_new(&m, RELAY_STATE_CATALOG), "nonsense", 8);
    make_refused(&m, "section: catalog");
    make_new(&m, RELAY_STATE_CATALOG);
    resume_put(make_new(&m, RELAY_STATE_POLICY), "nonsense", 8);
    make_refused(&m, "section: policy");
    make_close(&m);
}

static void count_beyond_the_end_is_refused(void)
{
    static const uint32_t counted[] = {RELAY_STATE_DESCRIPTORS, RELAY_STATE_FDS,      RELAY_STATE_DOORS,
                                       RELAY_STATE_PEERS,       RELAY_STATE_RULES,    RELAY_STATE_MONITORS,
                                       RELAY_STATE_REPLIES,     RELAY_STATE_QUEUES,   RELAY_STATE_MESSAGES,
                                       RELAY_STATE_HELD,        RELAY_STATE_PARKED,   RELAY_STATE_AWAITED,
                                       RELAY_STATE_HANDSHAKES,  RELAY_STATE_NAMES,    RELAY_STATE_HANDED_UP,
                                       RELAY_STATE_INSTANCES,   RELAY_STATE_OBSERVERS};
    for (size_t i = 0; i < CHECK_COUNT(counted); i++) {
        struct made m;
        make_open(&m);
        resume_number(make_new(&m, counted[i]), UINT32_MAX, 4);
        make_refused(&m, "wrong section");
        make_close(&m);
    }
}

static void wrong_rules_are_refused(void)
{
    static const struct {
        const char *text;
        uint32_t copies, times;
    } cases[] = {
        {"nonsense", 1, 1}, {"member='A'", 0, 1}, {"member='A'", UINT32_MAX, 1}, {"member='A'", 1, 2}};
    struct made m;
    make_open(&m);
    for (size_t i = 0; i < CHECK_COUNT(cases); i++) {
        of_two(&m, RELAY_STATE_RULES, 0, cases[i].times, 4);
        for (uint32_t k = 0; k < cases[i].times; k++) {
            resume_number(&m.content[RELAY_STATE_RULES], cases[i].copies, 4);
            resume_text(&m.content[RELAY_STATE_RULES], cases[i].text, strlen(cases[i].text));
        }
        make_refused(&m, "section: rules");
    }
    of_two(&m, RELAY_STATE_RULES, 9, 0, 4); /* there is no such peer */
    make_refused(&m, "section: rules");
    make_close(&m);
}

static void rule_with_too_many_keys_is_refused(void)
{
    struct made m;
    char text[MATCH_MAX_CANONICAL + 2] = "";
    make_open(&m);
    for (int i = 0; i < 17; i++)
        snprintf(text + strlen(text), 16, "arg%d='',", i);
    of_two(&m, RELAY_STATE_RULES, 0, 1, 4);
    resume_number(&m.content[RELAY_STATE_RULES], 1, 4);
    resume_text(&m.content[RELAY_STATE_RULES], text, strlen(text));
    make_refused(&m, "section: rules");
    memset(text, 'a', sizeof(text) - 1);
    of_two(&m, RELAY_STATE_RULES, 0, 1, 4);
    resume_number(&m.content[RELAY_STATE_RULES], 1, 4);
    resume_text(&m.content[RELAY_STATE_RULES], text, sizeof(text) - 1);
    make_refused(&m, "section: rules");
    make_close(&m);
}

static void wrong_monitors_are_refused(void)
{
    struct made m;
    make_open(&m);
    of_two(&m, RELAY_STATE_MONITORS, 1, 0, 1 + 4); /* it is not active */
    make_refused(&m, "section: monitors");
    struct resume_bytes *b = make_new(&m, RELAY_STATE_MONITORS);
    resume_number(b, 2, 4);
    for (int i = 0; i < 2; i++) {
        resume_number(b, 0, 8);
        resume_number(b, 1, 1);
        resume_number(b, 0, 4);
    }
    make_refused(&m, "section: monitors");
    make_close(&m);
}

/* One request of a name; peer and place. */
static void put_name(struct resume_bytes *b, const char *name, uint32_t n, uint64_t peer, uint32_t place)
{
    resume_text(b, name, strlen(name));
    resume_number(b, n, 4);
    for (uint32_t i = 0; i < n; i++) {
        resume_number(b, peer, 8);
        resume_number(b, 0, 4);
        resume_number(b, place + i, 4);
    }
}

static void wrong_names_are_refused(void)
{
    static const struct {
        const char *names[2];
        uint32_t n, queue, places[2];
        uint64_t peer;
    } cases[] = {
        {{"a.b"}, 1, 0, {0}, 0},           /* without a queue */
        {{"nonsense"}, 1, 1, {0}, 0},      /* no name */
        {{":1.0"}, 1, 1, {0}, 0},          /* a unique one */
        {{"a.b"}, 1, 1, {0}, 9},           /* no such peer */
        {{"a.b"}, 1, 1, {0}, 1},           /* it has not sent Hello */
        {{"a.b"}, 1, 1, {1}, 0},           /* its first request is not its first */
        {{"a.b"}, 1, 2, {0}, 0},           /* it waits twice */
        {{"a.b", "a.b"}, 2, 1, {0, 1}, 0}, /* the same name */
        {{"a.b", "a.c"}, 2, 1, {0, 0}, 0}, /* both are its first */
        {{"a.b", "a.c"}, 2, 1, {0, 2}, 0}, /* the second is not its second */
    };
    struct made m;
    make_open(&m);
    for (size_t i = 0; i < CHECK_COUNT(cases); i++) {
        struct resume_bytes *b = make_new(&m, RELAY_STATE_NAMES);
        resume_number(b, cases[i].n, 4);
        for (uint32_t k = 0; k < cases[i].n; k++)
            put_name(b, cases[i].names[k], cases[i].queue, cases[i].peer, cases[i].places[k]);
        make_refused(&m, "section: names");
    }
    make_close(&m);
}

static void wrong_replies_are_refused(void)
{
    static const struct {
        uint64_t caller, callee, since;
        uint32_t n;
    } cases[] = {{9, 0, 0, 1}, {0, 9, 0, 1}, {0, 0, UINT64_MAX, 1}, {0, 0, 5, 2}};
    struct made m;
    make_open(&m);
    for (size_t i = 0; i < CHECK_COUNT(cases); i++) {
        struct resume_bytes *b = make_new(&m, RELAY_STATE_REPLIES);
        resume_number(b, cases[i].n, 4);
        for (uint32_t k = 0; k < cases[i].n; k++) {
            resume_number(b, cases[i].caller, 8);
            resume_number(b, cases[i].callee, 8);
            resume_number(b, 7, 4);
            resume_number(b, cases[i].since, 8);
        }
        make_refused(&m, "section: replies");
    }
    make_close(&m);
}

/* A message as a client sends it. */
static struct marshal a_message(void)
{
    struct client sender = {0};
    struct marshal w = client_signal(&sender, "a.b", "M");
    CHECK(marshal_end(&w));
    return w;
}

struct outgoing_case {
    uint32_t payer;
    uint64_t peer, charge;
    uint32_t set, cut;
    bool queued;
    const char *text;
};

static void put_outgoing(struct made *m, const struct outgoing_case *one)
{
    struct marshal w = a_message();
    struct resume_bytes *b = make_new(m, RELAY_STATE_MESSAGES);
    resume_number(b, 1, 4);
    resume_number(b, 1000, 4);
    resume_number(b, one->payer, 1);
    resume_number(b, one->peer, 8);
    resume_number(b, one->charge, 8);
    resume_number(b, 500, 8);
    resume_number(b, one->set, 4);
    resume_text(b, w.data, w.size - one->cut);
    marshal_free(&w);
}

static void put_queue(struct made *m, uint64_t peer, uint32_t flags, uint64_t offset, uint32_t place)
{
    struct resume_bytes *b = make_new(m, RELAY_STATE_QUEUES);
    resume_number(b, 1, 4);
    resume_number(b, peer, 8);
    resume_number(b, flags, 4);
    resume_number(b, 1, 8);
    resume_number(b, offset, 8);
    resume_number(b, 1, 4);
    resume_number(b, place, 4);
}

static void wrong_messages_are_refused(void)
{
    static const struct outgoing_case cases[] = {
        {STATE_PAYERS, 0, 0, STATE_NONE, 0, true, "section: messages"},
        {STATE_PAYER_PEER, 9, 0, STATE_NONE, 0, true, "section: messages"},
        {STATE_PAYER_PEER, 0, UINT64_MAX, STATE_NONE, 0, true, "section: messages"},
        {STATE_PAYER_PEER, 0, 0, 0, 0, true, "section: messages"},
        {STATE_PAYER_PEER, 0, 0, STATE_NONE, 1, true, "section: messages"},
        {STATE_PAYER_PEER, 0, 0, STATE_NONE, 0, false, "for nothing"},
    };
    struct made m;
    make_open(&m);
    for (size_t i = 0; i < CHECK_COUNT(cases); i++) {
        put_outgoing(&m, &cases[i]);
        put_queue(&m, 0, 0, 0, 0);
        if (!cases[i].queued)
            resume_number(make_new(&m, RELAY_STATE_QUEUES), 0, 4);
        make_refused(&m, cases[i].text);
    }
    make_close(&m);
}

static void wrong_queues_are_refused(void)
{
    static const struct outgoing_case right = {STATE_PAYER_GONE, 0, 9, STATE_NONE, 0, true, NULL};
    struct made m;
    make_open(&m);
    put_outgoing(&m, &right);
    put_queue(&m, 9, 0, 0, 0); /* no such peer */
    make_refused(&m, "section: queues");
    put_queue(&m, 0, STATE_QUEUE_FLAGS, 0, 0);
    make_refused(&m, "section: queues");
    put_queue(&m, 0, 0, 1000, 0); /* more was sent than there is */
    make_refused(&m, "section: queues");
    put_queue(&m, 0, 0, 0, 1); /* no such message */
    make_refused(&m, "section: queues");
    of_two(&m, RELAY_STATE_QUEUES, 0, 0, 4);
    resume_number(&m.content[RELAY_STATE_QUEUES], 0, 8);
    resume_number(&m.content[RELAY_STATE_QUEUES], 0, 8);
    resume_number(&m.content[RELAY_STATE_QUEUES], 0, 4); /* empty */
    make_refused(&m, "section: queues");
    make_close(&m);
}

static void wrong_waiting_messages_are_refused(void)
{
    struct made m;
    struct marshal w = a_message();
    make_open(&m);
    of_two(&m, RELAY_STATE_HELD, 0, STATE_NONE, 4); /* its sender is not stopped */
    resume_text(&m.content[RELAY_STATE_HELD], w.data, w.size);
    make_refused(&m, "section: held");
    resume_number(make_new(&m, RELAY_STATE_HELD), 0, 4);
    for (int i = 0; i < 4; i++) {
        struct resume_bytes *b = make_new(&m, RELAY_STATE_PARKED);
        resume_number(b, 1, 4);
        resume_number(b, i == 0 ? 99 : 0, 8); /* a number that is not given out yet */
        resume_number(b, i == 1, 8);          /* a sender without Hello */
        resume_number(b, 0, 4);
        resume_number(b, 0, 4);
        resume_number(b, i == 2 ? 5 : STATE_NONE, 4); /* no such set */
        resume_text(b, w.data, w.size - (i == 3));    /* no message */
        make_refused(&m, "section: parked");
    }
    marshal_free(&w);
    make_close(&m);
}

static void wrong_awaited_names_are_refused(void)
{
    struct made m;
    make_open(&m);
    struct resume_bytes *b = make_new(&m, RELAY_STATE_AWAITED);
    resume_number(b, 2, 4);
    resume_text(b, "a.b", 3);
    resume_text(b, "a.b", 3);
    make_refused(&m, "section: awaited");
    make_new(&m, RELAY_STATE_AWAITED);
    resume_number(b, 1, 4);
    resume_text(b, "nonsense", 8);
    make_refused(&m, "section: awaited");
    make_close(&m);
}

static void wrong_instances_are_refused(void)
{
    static const struct {
        uint64_t peer;
        uint8_t names;
        const char *path;
        uint32_t times;
    } cases[] = {
        {9, 1, "/c", 1},       /* there is no such peer */
        {0, 2, "/c", 1},       /* no boolean */
        {0, 1, "/c", 2},       /* twice */
        {0, 0, "", 1},         /* for nothing */
        {0, 0, "nonsense", 1}, /* no path */
    };
    struct made m;
    make_open(&m);
    for (size_t i = 0; i < CHECK_COUNT(cases); i++) {
        struct resume_bytes *b = make_new(&m, RELAY_STATE_INSTANCES);
        resume_number(b, cases[i].times, 4);
        for (uint32_t k = 0; k < cases[i].times; k++) {
            resume_number(b, cases[i].peer, 8);
            resume_number(b, cases[i].names, 1);
            resume_text(b, cases[i].path, strlen(cases[i].path));
        }
        make_refused(&m, "section: instances");
    }
    make_close(&m);
}

static void wrong_observers_are_refused(void)
{
    static const uint64_t cases[][2] = {
        {9, 0}, /* there is no such peer */
        {1, 0}, /* it is not active */
        {0, 0}, /* twice */
    };
    struct made m;
    make_open(&m);
    for (size_t i = 0; i < CHECK_COUNT(cases); i++) {
        struct resume_bytes *b = make_new(&m, RELAY_STATE_OBSERVERS);
        resume_number(b, 2, 4);
        for (int k = 0; k < 2; k++)
            resume_number(b, cases[i][k], 8);
        make_refused(&m, "section: observers");
    }
    resume_number(make_new(&m, RELAY_STATE_OBSERVERS), 0, 4); /* for nothing */
    make_refused(&m, "section: observers");
    make_close(&m);
}

static const struct check_test tests[] = {
    TEST(wrong_observers_are_refused),
    TEST(wrong_instances_are_refused),
    TEST(wrong_bus_is_refused),
    TEST(wrong_policy_or_catalogue_is_refused),
    TEST(count_beyond_the_end_is_refused),
    TEST(wrong_rules_are_refused),
    TEST(rule_with_too_many_keys_is_refused),
    TEST(wrong_monitors_are_refused),
    TEST(wrong_names_are_refused),
    TEST(wrong_replies_are_refused),
    TEST(wrong_messages_are_refused),
    TEST(wrong_queues_are_refused),
    TEST(wrong_waiting_messages_are_refused),
    TEST(wrong_awaited_names_are_refused),
};

CHECK_MAIN(tests)
