/* SPDX-License-Identifier: MIT */

/* The state that is written for a control plane which has failed before it took an event. */

#include "upgrade_fixture.h"

#include "driver_fixture.h"

#include "../../transport/resumption/caretaker.h"
#include "../../transport/resumption/known_names.h"

/* A resumed data plane; what its thread has written at its end. */
struct care {
    struct plane p;
    struct upgrade_state before, after;
    char why[256];
};

static struct care *cared;

static void take_care(struct relay *relay)
{
    struct care *c = cared;
    c->after.fd = caretaker_write(relay, c->before.bytes, c->before.size, c->why, sizeof(c->why));
}

/* Sends a call, and waits for its reply; signals before it are dropped. */
static void answered(struct client *client, struct marshal w)
{
    struct message m;
    bool replied = !client_send(client, &w);
    while (!replied && client_expect(client, &m)) {
        replied = m.reply_serial == client->serial;
        CHECK(!replied || m.type == MESSAGE_METHOD_RETURN);
        client_drop(client, &m);
    }
}

/* Four clients, the first three of which have names, in a data plane that has just been resumed. */
static bool care_open(struct care *c)
{
    struct relay_limits limits = plane_limits();
    memset(c, 0, sizeof(*c));
    c->before.fd = c->after.fd = -1;
    plane_open(&c->p);
    limits.max_names_per_connection = 100;
    CHECK_EQUAL(relay_set_limits(c->p.relay, &limits), 0);
    for (uint64_t i = 0; i < 4; i++)
        plane_connect(&c->p, i);
    static const struct {
        const char *name;
        uint64_t queue[2];
        uint32_t n;
    } names[] = {{"a.Shared", {1, 0}, 2}, {"a.Second", {1}, 1}, {"a.Third", {2}, 1}};
    for (size_t i = 0; i < CHECK_COUNT(names); i++)
        CHECK_EQUAL(relay_set_queue(c->p.relay, names[i].name, names[i].queue, NULL, names[i].n), 0);
    CHECK_EQUAL(relay_commit(c->p.relay), 0);
    plane_settle(&c->p);
    if (!upgrade_freeze(&c->p) || !upgrade_dump(&c->p, &c->before))
        return false;
    upgrade_leave(&c->p);
    if (!upgrade_enter(&c->p, &c->before))
        return false;
    upgrade_thaw(&c->p);
    for (uint64_t i = 0; i < 4; i++)
        answered(&c->p.clients[i], client_call(&c->p.clients[i], BUS, "GetId", NULL));
    return true;
}

/* The control plane has failed. */
static void care_take(struct care *c)
{
    cared = c;
    relay_succeed(c->p.relay, take_care);
    pthread_join(c->p.relay->thread, NULL);
    c->p.relay->started = false;
}

/* The next program has the state. */
static bool care_resume(struct care *c)
{
    if (!CHECK(c->after.fd >= 0)) {
        printf("# %s\n", c->why);
        return false;
    }
    if (!CHECK_EQUAL(relay_state_map(c->after.fd, &c->after.bytes, &c->after.size), 0))
        return false;
    upgrade_leave(&c->p);
    return upgrade_enter(&c->p, &c->after);
}

static void care_close(struct care *c)
{
    upgrade_end(&c->before);
    upgrade_end(&c->after);
    plane_close(&c->p);
}

/* The names of the written state. */
static struct known_names care_names(const struct care *c)
{
    struct known_names names = {0};
    struct state_view view;
    char why[128];
    CHECK_EQUAL(state_open(&view, c->after.bytes, c->after.size, true, why, sizeof(why)), 0);
    struct state_reader r = state_section(&view, RELAY_STATE_NAMES);
    CHECK_EQUAL(known_names_read(&names, &r), 0);
    return names;
}

static const struct known_name *find(const struct known_names *names, const char *text)
{
    for (uint32_t i = 0; i < names->n; i++) {
        if (strcmp(names->all[i].text, text) == 0)
            return &names->all[i];
    }
    return NULL;
}

static void request(struct care *c, uint64_t peer, const char *name, uint32_t flags)
{
    struct marshal w = client_call(&c->p.clients[peer], BUS, "RequestName", "su");
    marshal_string(&w, span_of(name));
    marshal_uint32(&w, flags);
    answered(&c->p.clients[peer], w);
}

static void an_unchanged_state_is_written_again(void)
{
    struct care c;
    REQUIRE(care_open(&c));
    care_take(&c);
    REQUIRE(care_resume(&c));
    struct known_names names = care_names(&c);
    CHECK_EQUAL(names.n, 3);
    const struct known_name *shared = find(&names, "a.Shared");
    if (CHECK(shared) && CHECK_EQUAL(shared->n, 2)) {
        CHECK_EQUAL(shared->queue[0].peer, 1);
        CHECK_EQUAL(shared->queue[1].peer, 0);
    }
    known_names_free(&names);
    care_close(&c);
}

static void a_name_that_was_given_has_its_flags_and_its_place(void)
{
    struct care c;
    REQUIRE(care_open(&c));
    request(&c, 2, "b.New", 7);
    request(&c, 2, "b.Other", 0);
    request(&c, 2, "b.Other", 1); /* its own flags may change */
    care_take(&c);
    REQUIRE(care_resume(&c));
    struct known_names names = care_names(&c);
    const struct known_name *given = find(&names, "b.New"), *other = find(&names, "b.Other");
    if (CHECK(given) && CHECK(other)) {
        CHECK_EQUAL(given->queue[0].peer, 2);
        CHECK_EQUAL(given->queue[0].flags, 5); /* REPLACE_EXISTING says nothing any more */
        CHECK_EQUAL(given->queue[0].place, 1);
        CHECK_EQUAL(other->queue[0].flags, 1);
        CHECK_EQUAL(other->queue[0].place, 2);
    }
    known_names_free(&names);
    care_close(&c);
}

static void a_name_that_was_released_is_free(void)
{
    struct care c;
    REQUIRE(care_open(&c));
    request(&c, 2, "b.New", 0);
    struct marshal w = client_call(&c.p.clients[2], BUS, "ReleaseName", "s");
    marshal_string(&w, SPAN("a.Third"));
    answered(&c.p.clients[2], w);
    care_take(&c);
    REQUIRE(care_resume(&c));
    struct known_names names = care_names(&c);
    const struct known_name *given = find(&names, "b.New");
    CHECK(!find(&names, "a.Third"));
    if (CHECK(given))
        CHECK_EQUAL(given->queue[0].place, 0);
    known_names_free(&names);
    care_close(&c);
}

static void a_lost_connection_leaves_all_queues(void)
{
    struct care c;
    REQUIRE(care_open(&c));
    client_close(&c.p.clients[1]);
    care_take(&c);
    REQUIRE(care_resume(&c));
    CHECK(!bus_peer(&c.p.relay->bus, 1));
    struct known_names names = care_names(&c);
    const struct known_name *shared = find(&names, "a.Shared");
    CHECK(!find(&names, "a.Second"));
    if (CHECK(shared) && CHECK_EQUAL(shared->n, 1))
        CHECK_EQUAL(shared->queue[0].peer, 0);
    known_names_free(&names);
    client_expects(&c.p.clients[0], MESSAGE_SIGNAL, "NameAcquired", BUS);
    care_close(&c);
}

static void a_call_that_waits_is_reported_again(void)
{
    struct care c;
    REQUIRE(care_open(&c));
    struct marshal w = client_call(&c.p.clients[3], BUS, "Introspect", NULL);
    client_send(&c.p.clients[3], &w);
    answered(&c.p.clients[0], client_call(&c.p.clients[0], BUS, "GetId", NULL));
    care_take(&c);
    REQUIRE(care_resume(&c));
    for (int i = 0; i < 4; i++)
        plane_event(&c.p, RELAY_EVENT_ADMITTED);
    plane_event(&c.p, RELAY_EVENT_CALL);
    CHECK_EQUAL(c.p.event.peer, 3);
    care_close(&c);
}

static void without_memory_it_fails(void)
{
    bool done = false;
    for (long n = 0; n < 10000 && !done; n += 1 + n / 8) {
        struct care c;
        REQUIRE(care_open(&c));
        request(&c, 2, "b.New", 0);
        check_allocations = n;
        care_take(&c);
        check_allocations = -1;
        done = c.after.fd >= 0;
        CHECK(done || c.why[0]);
        care_close(&c);
    }
    CHECK(done);
}

static void a_damaged_state_is_refused(void)
{
    struct care c;
    REQUIRE(care_open(&c));
    c.before.size--;
    care_take(&c);
    CHECK_EQUAL(c.after.fd, -EINVAL);
    c.before.size++;
    care_close(&c);
}

static const struct check_test tests[] = {
    TEST(an_unchanged_state_is_written_again), TEST(a_name_that_was_given_has_its_flags_and_its_place),
    TEST(a_name_that_was_released_is_free),    TEST(a_lost_connection_leaves_all_queues),
    TEST(a_call_that_waits_is_reported_again), TEST(without_memory_it_fails),
    TEST(a_damaged_state_is_refused)};
CHECK_MAIN(tests)
