/* SPDX-License-Identifier: MIT */
#include "../../transport/relay/api/lifecycle.h"
#include "driver_fixture.h"

#include "../../transport/relay/api/command.h"
#include "../../transport/relay/route/names_fast.h"
#include "../../transport/relay/route/route.h"
#include "../../transport/relay/send/judge.h"
#include "../../transport/relay/send/output.h"
#include "../../transport/relay/state/report.h"

#include <errno.h>

#define NAME "an.Example"
#define MAX_NAMES 3

static void open_claims(struct plane *p)
{
    struct relay_limits limits = plane_limits();
    limits.max_names_per_connection = MAX_NAMES;
    plane_open(p);
    CHECK_EQUAL(relay_set_limits(p->relay, &limits), 0);
}

static void request(struct client *c, const char *name, uint32_t flags)
{
    driver_call_with_flags(c, "RequestName", name, flags);
}

static void release(struct client *c, const char *name)
{
    driver_call(c, "ReleaseName", name);
}

/* The peer gets a signal about NAME, then the answer 1. */
static void is_done(struct client *c, const char *signal)
{
    struct message m;
    struct message_arg argument;
    REQUIRE(client_expect_argument(c, &m, &argument));
    CHECK_SPAN(m.member, signal);
    CHECK_SPAN(argument.text, NAME);
    client_drop(c, &m);
    driver_answers(c, 1);
}

static void is_told(struct plane *p, uint32_t kind, uint64_t peer, uint32_t flags)
{
    REQUIRE(plane_event(p, kind));
    CHECK_EQUAL(p->event.peer, peer);
    CHECK_EQUAL(p->event.flags, flags);
    CHECK(!strcmp(p->event.destination, NAME));
}

static struct client *claim(struct plane *p, uint64_t id)
{
    struct client *c = plane_connect(p, id);
    request(c, NAME, 0);
    is_done(c, "NameAcquired");
    is_told(p, RELAY_EVENT_NAMED, id, 0);
    return c;
}

static void goes_up(struct plane *p, struct client *c, const char *member)
{
    if (!plane_event(p, RELAY_EVENT_CALL))
        return;
    CHECK(!strcmp(p->event.member, member));
    driver_refuses_above(p, c);
}

static void a_free_name_is_given_at_once(void)
{
    struct plane p;
    struct message m;
    open_claims(&p);
    struct client *a = plane_connect(&p, 0), *b = plane_connect(&p, 1);
    client_match(b, "member='NameOwnerChanged'");
    request(a, NAME, 5);
    is_done(a, "NameAcquired");
    client_expects(b, MESSAGE_SIGNAL, "NameOwnerChanged", BUS);
    struct marshal w = client_call(b, NAME, "Found", NULL);
    client_send(b, &w);
    client_expects(a, MESSAGE_METHOD_CALL, "Found", ":1.1");
    is_told(&p, RELAY_EVENT_NAMED, 0, 5);
    release(a, NAME);
    is_done(a, "NameLost");
    client_expects(b, MESSAGE_SIGNAL, "NameOwnerChanged", BUS);
    is_told(&p, RELAY_EVENT_RELEASED, 0, 0);
    driver_call(b, "GetNameOwner", NAME);
    REQUIRE(client_expect(b, &m));
    CHECK_SPAN(m.error_name, ERROR("NameHasNoOwner"));
    client_drop(b, &m);
    plane_close(&p);
}

#define NOT_ALLOWED "Connection \":1.1\" is not allowed to own "

static void reserved_names_are_refused(void)
{
    static const struct {
        const char *name, *requested, *released;
    } cases[] = {
        {"", "Requested bus name \"\" is not valid", "Given bus name \"\" is not valid"},
        {"single", "Requested bus name \"single\" is not valid", "Given bus name \"single\" is not valid"},
        {"a..b", "Requested bus name \"a..b\" is not valid", "Given bus name \"a..b\" is not valid"},
        {":1.7", "Cannot acquire a service starting with ':' such as \":1.7\"",
         "Cannot release a service starting with ':' such as \":1.7\""},
        {BUS, NOT_ALLOWED "the service \"" BUS "\"because it is reserved for D-Bus' use only",
         "Cannot release the " BUS " service because it is owned by the bus"},
    };
    struct plane p;
    open_claims(&p);
    struct client *b = plane_connect(&p, 1);
    for (size_t i = 0; i < CHECK_COUNT(cases); i++) {
        check_case = cases[i].name;
        request(b, cases[i].name, 0);
        driver_refuses(b, ERROR_INVALID_ARGS, cases[i].requested);
        release(b, cases[i].name);
        driver_refuses(b, ERROR_INVALID_ARGS, cases[i].released);
    }
    plane_close(&p);
}

static void names_of_others_are_not_released(void)
{
    struct plane p;
    open_claims(&p);
    struct client *b = plane_connect(&p, 1);
    release(b, NAME);
    driver_answers(b, 2);
    claim(&p, 0);
    release(b, NAME);
    driver_answers(b, 3);
    plane_close(&p);
}

/* The control plane gets the new flags. */
static void a_repeated_request_changes_the_flags(void)
{
    struct plane p;
    open_claims(&p);
    struct client *a = claim(&p, 0);
    request(a, NAME, 5);
    driver_answers(a, 4);
    is_told(&p, RELAY_EVENT_NAMED, 0, 5);
    plane_close(&p);
}

static void a_name_of_another_goes_up(void)
{
    struct plane p;
    open_claims(&p);
    claim(&p, 0);
    struct client *b = plane_connect(&p, 1);
    request(b, NAME, 0);
    goes_up(&p, b, "RequestName");
    struct marshal w = client_call(b, BUS, "RequestName", "s");
    marshal_string(&w, SPAN("another.Example"));
    client_send(b, &w);
    goes_up(&p, b, "RequestName");
    plane_close(&p);
}

static void a_name_that_others_wait_for_is_released_above(void)
{
    struct plane p;
    const uint64_t both[] = {0, 1};
    open_claims(&p);
    struct client *a = claim(&p, 0);
    plane_connect(&p, 1);
    relay_set_queue(p.relay, NAME, both, NULL, 2);
    plane_settle(&p);
    release(a, NAME);
    goes_up(&p, a, "ReleaseName");
    plane_close(&p);
}

/* The other entries keep their places. A peer that does not own the name leaves without a signal. */
static void a_queue_is_left(void)
{
    struct plane p;
    const uint64_t all[] = {0, 1, 2};
    open_claims(&p);
    struct client *a = claim(&p, 0), *c = plane_connect(&p, 2);
    plane_connect(&p, 1);
    relay_set_queue(p.relay, NAME, all, NULL, 3);
    relay_leave_queue(p.relay, NAME, 1);
    relay_leave_queue(p.relay, NAME, 1);
    relay_leave_queue(p.relay, "no.such.Name", 1);
    plane_settle(&p);
    relay_leave_queue(p.relay, NAME, 0);
    plane_settle(&p);
    client_expects(a, MESSAGE_SIGNAL, "NameLost", BUS);
    client_expects(c, MESSAGE_SIGNAL, "NameAcquired", BUS);
    relay_leave_queue(p.relay, NAME, 2);
    plane_settle(&p);
    client_expects(c, MESSAGE_SIGNAL, "NameLost", BUS);
    request(a, NAME, 0);
    is_done(a, "NameAcquired");
    plane_close(&p);
}

/* The unique name counts. */
static void names_are_limited(void)
{
    struct plane p;
    open_claims(&p);
    struct client *a = claim(&p, 0);
    request(a, "b.b", 0);
    client_expects(a, MESSAGE_SIGNAL, "NameAcquired", BUS);
    client_expects(a, MESSAGE_METHOD_RETURN, NULL, BUS);
    plane_event(&p, RELAY_EVENT_NAMED);
    request(a, "c.c", 0);
    driver_refuses(
        a, ERROR_LIMITS_EXCEEDED,
        "Connection \":1.0\" is not allowed to own more services (increase limits in configuration "
        "file if required; max_names_per_connection=3)");
    plane_event(&p, RELAY_EVENT_LOG);
    release(a, NAME);
    is_done(a, "NameLost");
    is_told(&p, RELAY_EVENT_RELEASED, 0, 0);
    plane_close(&p);
}

static void the_policy_denies_a_name(void)
{
    struct plane p;
    uint8_t block[sizeof(plane_policy)];
    memcpy(block, plane_policy, sizeof(block));
    block[32 + 64 * 2 + 1] = 0; /* deny */
    open_claims(&p);
    struct client *a = claim(&p, 0);
    CHECK_EQUAL(relay_load_policy(p.relay, block, sizeof(block)), 0);
    plane_settle(&p);
    release(a, NAME);
    is_done(a, "NameLost"); /* the policy has no rules about releases */
    is_told(&p, RELAY_EVENT_RELEASED, 0, 0);
    request(a, NAME, 0);
    driver_refuses(a, ERROR_ACCESS_DENIED,
                   "Connection \":1.0\" is not allowed to own the service \"" NAME
                   "\" due to security policies in the configuration file");
    plane_close(&p);
}

/* The control plane decides about NAME; its decision would come too late if the owner changed meanwhile. */
static void ask_about_it(struct client *c)
{
    driver_call(c, "ListQueuedOwners", NAME);
}

static void a_name_that_a_call_is_about_is_handed_up(void)
{
    struct plane p;
    open_claims(&p);
    struct client *a = plane_connect(&p, 0), *b = plane_connect(&p, 1);
    ask_about_it(b);
    plane_event(&p, RELAY_EVENT_CALL);
    const uint32_t serial = p.event.serial;
    request(a, NAME, 0);
    goes_up(&p, a, "RequestName");
    request(a, "b.b", 0); /* no call is about another name */
    client_expects(a, MESSAGE_SIGNAL, "NameAcquired", BUS);
    client_expects(a, MESSAGE_METHOD_RETURN, NULL, BUS);
    plane_event(&p, RELAY_EVENT_NAMED);
    relay_error(p.relay, 1, serial, "an.Error", "no");
    relay_resume(p.relay, 1);
    relay_commit(p.relay);
    client_expects(b, MESSAGE_ERROR, "an.Error", BUS);
    request(a, NAME, 0);
    is_done(a, "NameAcquired");
    is_told(&p, RELAY_EVENT_NAMED, 0, 0);
    plane_close(&p);
}

/* The name stays with the control plane until the last call is answered. */
static void a_name_is_handed_back_after_its_last_call(void)
{
    struct plane p;
    uint32_t serials[2];
    open_claims(&p);
    struct client *a = plane_connect(&p, 0);
    for (uint64_t i = 1; i <= 2; i++) {
        ask_about_it(plane_connect(&p, i));
        plane_event(&p, RELAY_EVENT_CALL);
        serials[i - 1] = p.event.serial;
    }
    for (uint64_t i = 1; i <= 2; i++) {
        request(a, NAME, 0);
        goes_up(&p, a, "RequestName");
        relay_error(p.relay, i, serials[i - 1], "an.Error", "no");
        relay_resume(p.relay, i);
        plane_settle(&p);
    }
    request(a, NAME, 0);
    is_done(a, "NameAcquired");
    plane_close(&p);
}

/* The name is also handed back when the caller is lost before the answer. */
static void a_lost_caller_blocks_no_name(void)
{
    struct plane p;
    open_claims(&p);
    struct client *a = plane_connect(&p, 0), *b = plane_connect(&p, 1);
    ask_about_it(b);
    plane_event(&p, RELAY_EVENT_CALL);
    relay_disconnect(p.relay, 1);
    relay_commit(p.relay);
    plane_event(&p, RELAY_EVENT_GONE);
    relay_forget(p.relay, 1);
    plane_settle(&p);
    request(a, NAME, 0);
    is_done(a, "NameAcquired");
    plane_close(&p);
}

/* A lost peer keeps its names until the control plane has chosen their next owners. */
static void the_name_of_a_lost_peer_is_not_free(void)
{
    struct plane p;
    open_claims(&p);
    struct client *a = claim(&p, 0), *b = plane_connect(&p, 1);
    client_close(a);
    plane_event(&p, RELAY_EVENT_GONE);
    request(b, NAME, 0);
    goes_up(&p, b, "RequestName");
    relay_set_queue(p.relay, NAME, NULL, NULL, 0);
    relay_forget(p.relay, 0);
    plane_settle(&p);
    request(b, NAME, 0);
    is_done(b, "NameAcquired");
    plane_close(&p);
}

static void a_name_with_a_parked_message_is_handed_up(void)
{
    struct plane p;
    open_claims(&p);
    struct client *a = plane_connect(&p, 0), *b = plane_connect(&p, 1);
    struct marshal w = client_call(b, NAME, "Waits", NULL);
    client_send(b, &w);
    plane_event(&p, RELAY_EVENT_PARKED);
    const uint64_t parked = p.event.parked;
    request(a, NAME, 0);
    goes_up(&p, a, "RequestName");
    relay_reject(p.relay, parked, "an.Error", "no owner");
    relay_commit(p.relay);
    client_expects(b, MESSAGE_ERROR, "an.Error", BUS);
    request(a, NAME, 0);
    is_done(a, "NameAcquired");
    plane_close(&p);
}

static void an_awaited_name_is_handed_up(void)
{
    struct plane p;
    open_claims(&p);
    struct client *a = plane_connect(&p, 0);
    for (int i = 0; i < 2; i++) /* repeating the command changes nothing */
        relay_await_name(p.relay, NAME, true);
    relay_await_name(p.relay, "single", true);
    plane_settle(&p);
    request(a, NAME, 0);
    goes_up(&p, a, "RequestName");
    request(a, "b.b", 0);
    client_expects(a, MESSAGE_SIGNAL, "NameAcquired", BUS);
    client_expects(a, MESSAGE_METHOD_RETURN, NULL, BUS);
    plane_event(&p, RELAY_EVENT_NAMED);
    for (int i = 0; i < 2; i++)
        relay_await_name(p.relay, NAME, false);
    plane_settle(&p);
    request(a, NAME, 0);
    is_done(a, "NameAcquired");
    is_told(&p, RELAY_EVENT_NAMED, 0, 0);
    plane_close(&p);
}

static void requests_go_up_while_there_is_a_monitor(void)
{
    struct plane p;
    open_claims(&p);
    struct client *a = plane_connect(&p, 0);
    plane_connect(&p, 1);
    struct marshal w = client_call(&p.clients[1], BUS, "BecomeMonitor", NULL);
    client_send(&p.clients[1], &w);
    plane_event(&p, RELAY_EVENT_CALL);
    CHECK_EQUAL(relay_become_monitor(p.relay, 1, 0, NULL, 0, NULL, 0), 0);
    relay_resume(p.relay, 1);
    plane_settle(&p);
    request(a, NAME, 0);
    goes_up(&p, a, "RequestName");
    plane_close(&p);
}

/* Reports that the control plane has not taken use memory, and time later. */
static void requests_go_up_when_too_many_reports_wait(void)
{
    struct plane p;
    open_claims(&p);
    struct client *a = plane_connect(&p, 0);
    for (uint32_t i = 0; i < REPORTS_LAZY_OF_UID / 2; i++) {
        request(a, NAME, 0);
        is_done(a, "NameAcquired");
        release(a, NAME);
        is_done(a, "NameLost");
    }
    request(a, NAME, 0);
    for (uint32_t i = 0; i < REPORTS_LAZY_OF_UID; i++)
        is_told(&p, i % 2 ? RELAY_EVENT_RELEASED : RELAY_EVENT_NAMED, 0, 0);
    relay_commit(p.relay); /* tells the data plane which reports were taken */
    goes_up(&p, a, "RequestName");
    request(a, NAME, 0);
    is_done(a, "NameAcquired");
    plane_close(&p);
}

/* The command brings the entries of the queue, so that applying it cannot fail. */
static void a_queue_brings_its_memory(void)
{
    struct plane p;
    const uint64_t both[] = {0, 1};
    open_claims(&p);
    struct client *a = claim(&p, 0);
    plane_connect(&p, 1);
    int error = -ENOMEM;
    for (long n = 0; n < 100 && error == -ENOMEM; n++) {
        check_allocations = n;
        error = relay_set_queue(p.relay, NAME, both, NULL, 2);
        check_allocations = -1;
    }
    CHECK_EQUAL(error, 0);
    plane_settle(&p);
    release(a, NAME);
    goes_up(&p, a, "ReleaseName");
    plane_close(&p);
}

/* A bus without a thread, whose allocations can fail. */
struct quiet {
    struct bus bus;
    struct events events;
    struct peer *peer;
    struct message m;
    struct marshal written;
};

static bool quiet_open(struct quiet *q)
{
    const struct relay_credentials credentials = {.uid = 1, .loginfo = "uid=1"};
    struct policy *policy;
    memset(q, 0, sizeof(*q));
    q->events.fd = -1;
    if (lifecycle_begin(&q->bus, &q->events, "0123456789abcdef0123456789abcdef") < 0 ||
        policy_new(&policy, plane_policy, sizeof(plane_policy), 2) < 0)
        return CHECK(false && "no bus");
    policy_free(q->bus.policy);
    q->bus.policy = policy;
    q->bus.n_log = UINT32_MAX; /* the log is not read */
    q->bus.limits.max_names_per_connection = MAX_NAMES;
    q->peer = peer_new(0, -1, &credentials);
    if (q->peer)
        q->peer->user = user_take(&q->bus, 1);
    struct client client = {0};
    q->written = client_call(&client, BUS, "RequestName", "su");
    marshal_string(&q->written, SPAN(NAME));
    marshal_uint32(&q->written, 0);
    return CHECK(q->peer && marshal_end(&q->written)) &&
           CHECK_EQUAL(message_parse(&q->m, q->written.data, (uint32_t)q->written.size), MESSAGE_OK);
}

static uint32_t quiet_events(struct quiet *q)
{
    uint32_t n = 0;
    struct stack_node *node = stack_take(&q->events.stack);
    while (node) {
        struct event *event = CONTAINER_OF(node, struct event, node);
        node = node->next;
        n += event->owned;
        if (event->owned)
            free(event);
    }
    return n;
}

static void quiet_close(struct quiet *q)
{
    output_drop(q->peer);
    registry_leave(&q->bus.registry, q->peer);
    list_unlink(&q->peer->output.in_touched);
    peer_free(q->peer);
    marshal_free(&q->written);
    lifecycle_end(&q->bus);
}

static void a_request_without_memory_goes_up(void)
{
    struct quiet q;
    REQUIRE(quiet_open(&q));
    q.peer->active = true;
    bool claimed = false, released = false;
    for (long n = 0; n < 100 && !claimed; n++) {
        check_allocations = n;
        claimed = names_fast_name(&q.bus, q.peer, &q.m, SPAN(NAME));
        check_allocations = -1;
        if (q.peer->calls.failed) { /* the policy was not evaluated */
            CHECK(claimed);
            q.peer->calls.failed = 0;
            claimed = false;
        }
        CHECK_EQUAL(quiet_events(&q), claimed);
        CHECK((registry_find(&q.bus.registry, SPAN(NAME)) != NULL) == claimed);
    }
    CHECK(claimed);
    for (long n = 0; n < 100 && !released; n++) {
        check_allocations = n;
        released = names_fast_release(&q.bus, q.peer, &q.m, SPAN(NAME));
        check_allocations = -1;
        CHECK_EQUAL(quiet_events(&q), released);
        CHECK((registry_find(&q.bus.registry, SPAN(NAME)) == NULL) == released);
    }
    CHECK(released);
    quiet_close(&q);
}

static void a_call_that_cannot_be_handed_up_is_refused(void)
{
    struct quiet q;
    REQUIRE(quiet_open(&q));
    q.peer->active = true;
    for (long n = 0; n < 100 && !q.peer->calls.stopped; n++) {
        check_allocations = n;
        route_up(&q.bus, q.peer, &q.m, NULL);
        check_allocations = -1;
        CHECK((q.peer->calls.held != NULL) == q.peer->calls.stopped);
        CHECK_EQUAL(q.bus.registry.handed.count, q.peer->calls.stopped);
    }
    CHECK(q.peer->calls.stopped);
    quiet_close(&q);
}

/* The start continues; RequestName may then be answered before the callers that wait for the name. */
static void a_name_that_cannot_be_awaited_is_logged(void)
{
    struct quiet q;
    const char *const texts[COMMAND_TEXTS] = {NAME};
    REQUIRE(quiet_open(&q));
    struct command_batch *batch = calloc(1, sizeof(*batch));
    REQUIRE(batch && (batch->first = command_new(COMMAND_AWAIT_NAME, 0, texts, NULL, 0)));
    batch->first->awaited = true;
    check_allocations = 0;
    command_batch_apply(&q.bus, batch, INT64_MAX);
    check_allocations = -1;
    CHECK_EQUAL(q.bus.registry.handed.count, 0);
    CHECK(q.bus.memory_failed);
    quiet_close(&q);
}

static const struct check_test tests[] = {
    TEST(a_free_name_is_given_at_once),
    TEST(reserved_names_are_refused),
    TEST(names_of_others_are_not_released),
    TEST(a_repeated_request_changes_the_flags),
    TEST(a_name_of_another_goes_up),
    TEST(a_name_that_others_wait_for_is_released_above),
    TEST(a_queue_is_left),
    TEST(names_are_limited),
    TEST(the_policy_denies_a_name),
    TEST(a_name_that_a_call_is_about_is_handed_up),
    TEST(a_name_is_handed_back_after_its_last_call),
    TEST(a_lost_caller_blocks_no_name),
    TEST(the_name_of_a_lost_peer_is_not_free),
    TEST(a_name_with_a_parked_message_is_handed_up),
    TEST(an_awaited_name_is_handed_up),
    TEST(requests_go_up_while_there_is_a_monitor),
    TEST(requests_go_up_when_too_many_reports_wait),
    TEST(a_queue_brings_its_memory),
    TEST(a_request_without_memory_goes_up),
    TEST(a_call_that_cannot_be_handed_up_is_refused),
    TEST(a_name_that_cannot_be_awaited_is_logged),
};
CHECK_MAIN(tests)
