/* SPDX-License-Identifier: MIT */
#include "driver_fixture.h"

#include "../../transport/relay/base/follower.h"
#include "../../transport/relay/state/catalog.h"

#include <errno.h>

#define NAME "an.Example"
#define MANAGER "org.freedesktop.systemd1"

/* ListActivatableNames: the bus itself, NAME and the manager. */
static struct marshal list_of_names(void)
{
    static const struct span names[] = {{BUS, 20}, {NAME, 10}, {MANAGER, 24}};
    struct marshal_header header = {
        .type = MESSAGE_METHOD_RETURN, .serial = 1, .reply_serial = 1, .signature = SPAN("as")};
    struct marshal w = {0};
    marshal_begin(&w, &header);
    marshal_string_array(&w, names, CHECK_COUNT(names));
    CHECK(marshal_end(&w));
    return w;
}

/* Files in a directory of their own make it change. */
struct place {
    char path[64], file[80];
};

static void place_open(struct place *place)
{
    snprintf(place->path, sizeof(place->path), "/tmp/test_activate-XXXXXX");
    REQUIRE(mkdtemp(place->path));
    snprintf(place->file, sizeof(place->file), "%s/a.service", place->path);
}

static void place_change(const struct place *place)
{
    close(open(place->file, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
}

static void place_close(const struct place *place)
{
    unlink(place->file);
    rmdir(place->path);
}

/* The control plane has read the place. */
static void install(struct plane *p, const struct place *place)
{
    struct marshal list = list_of_names();
    struct follower *follower = follower_new();
    REQUIRE(follower);
    follower_add(follower, place->path);
    CHECK_EQUAL(relay_set_catalog(p->relay, follower, list.data + list.body, list.size - list.body), 0);
    marshal_free(&list);
    plane_settle(p);
}

static void start_by_name(struct client *c, const char *name)
{
    driver_call_with_flags(c, "StartServiceByName", name, 0);
}

static void list(struct client *c)
{
    struct marshal w = client_call(c, BUS, "ListActivatableNames", NULL);
    client_send(c, &w);
}

static void calls(struct client *c, const char *name)
{
    struct marshal w = client_call(c, name, "Waits", NULL);
    client_send(c, &w);
}

/* The control plane has to answer, with a catalogue that is current or not. */
static void goes_up(struct plane *p, struct client *c, uint32_t kind, bool current)
{
    if (!plane_event(p, kind))
        return;
    CHECK_EQUAL(p->event.current, current);
    driver_refuses_above(p, c);
}

static void activate_open(struct plane *p, struct place *place)
{
    struct relay_limits limits = plane_limits();
    limits.max_names_per_connection = 10;
    limits.max_pending_service_starts = 3;
    place_open(place);
    plane_open(p);
    CHECK_EQUAL(relay_set_limits(p->relay, &limits), 0);
    install(p, place);
}

static void activate_close(struct plane *p, struct place *place)
{
    plane_close(p);
    place_close(place);
}

static void a_name_without_a_file_is_unknown(void)
{
    struct plane p;
    struct place place;
    activate_open(&p, &place);
    struct client *a = plane_connect(&p, 0);
    static const char *const names[] = {"no.Such", "", "single", BUS, ":1.7", ":1.0"};
    for (size_t i = 0; i < CHECK_COUNT(names); i++) {
        char text[128];
        check_case = names[i];
        snprintf(text, sizeof(text), "The name %s was not provided by any .service files", names[i]);
        start_by_name(a, names[i]);
        driver_refuses(a, ERROR("ServiceUnknown"), text);
    }
    calls(a, "no.Such");
    driver_refuses(a, ERROR("ServiceUnknown"), "The name no.Such was not provided by any .service files");
    calls(a, ":1.7");
    driver_refuses(a, ERROR("ServiceUnknown"), "The name :1.7 was not provided by any .service files");
    activate_close(&p, &place);
}

static void a_service_that_has_its_name_runs_already(void)
{
    struct plane p;
    struct place place;
    activate_open(&p, &place);
    struct client *a = plane_connect(&p, 0), *b = plane_connect(&p, 1);
    const uint64_t owner = 1;
    relay_set_queue(p.relay, NAME, &owner, NULL, 1);
    relay_set_queue(p.relay, "no.File", &owner, NULL, 1);
    plane_settle(&p);
    start_by_name(a, NAME);
    driver_answers(a, 2);
    start_by_name(a, "no.File");
    driver_refuses(a, ERROR("ServiceUnknown"), "The name no.File was not provided by any .service files");
    client_close(b);
    plane_event(&p, RELAY_EVENT_GONE);
    start_by_name(a, NAME); /* the control plane has yet to find the next owner */
    goes_up(&p, a, RELAY_EVENT_CALL, true);
    calls(a, NAME);
    goes_up(&p, a, RELAY_EVENT_PARKED, false);
    activate_close(&p, &place);
}

/* So does a call that needs a start. */
static void start_and_call_go_up(const char *name, bool current)
{
    struct plane p;
    struct place place;
    activate_open(&p, &place);
    struct client *a = plane_connect(&p, 0);
    start_by_name(a, name);
    goes_up(&p, a, RELAY_EVENT_CALL, current);
    calls(a, name);
    goes_up(&p, a, RELAY_EVENT_PARKED, current);
    activate_close(&p, &place);
}

static void a_start_goes_up(void)
{
    start_and_call_go_up(NAME, true);
}

/* The control plane waits for it although it has no file, if systemd starts the services. */
static void the_service_manager_goes_up(void)
{
    start_and_call_go_up(MANAGER, false);
}

static void names_are_listed(void)
{
    struct plane p;
    struct place place;
    struct message m;
    struct marshal expected = list_of_names();
    activate_open(&p, &place);
    struct client *a = plane_connect(&p, 0);
    list(a);
    REQUIRE(client_expect(a, &m));
    CHECK_SPAN(m.signature, "as");
    CHECK_EQUAL(m.body_size, expected.size - expected.body);
    CHECK(!memcmp(m.data + m.body_offset, expected.data + expected.body, m.body_size));
    client_drop(a, &m);
    marshal_free(&expected);
    activate_close(&p, &place);
}

/* Whatever the answer would have been, until the control plane has read the directories. */
static void after_a_change_questions_go_up(void)
{
    struct plane p;
    struct place place;
    activate_open(&p, &place);
    struct client *a = plane_connect(&p, 0);
    start_by_name(a, NAME);
    goes_up(&p, a, RELAY_EVENT_CALL, true);
    place_change(&place);
    for (int i = 0; i < 2; i++) {
        list(a);
        goes_up(&p, a, RELAY_EVENT_CALL, false);
        start_by_name(a, "no.Such");
        goes_up(&p, a, RELAY_EVENT_CALL, false);
        calls(a, "no.Such");
        goes_up(&p, a, RELAY_EVENT_PARKED, false);
    }
    install(&p, &place);
    start_by_name(a, "no.Such");
    driver_refuses(a, ERROR("ServiceUnknown"), "The name no.Such was not provided by any .service files");
    activate_close(&p, &place);
}

static void without_a_follower_questions_go_up(void)
{
    struct plane p;
    struct place place;
    struct marshal names = list_of_names();
    activate_open(&p, &place);
    struct client *a = plane_connect(&p, 0);
    CHECK_EQUAL(relay_set_catalog(p.relay, NULL, names.data + names.body, names.size - names.body), 0);
    plane_settle(&p);
    list(a);
    goes_up(&p, a, RELAY_EVENT_CALL, false);
    calls(a, "no.Such");
    goes_up(&p, a, RELAY_EVENT_PARKED, false);
    calls(a, ":1.7"); /* no file could help */
    driver_refuses(a, ERROR("ServiceUnknown"), "The name :1.7 was not provided by any .service files");
    marshal_free(&names);
    activate_close(&p, &place);
}

static void starts_are_limited(void)
{
    struct plane p;
    struct place place;
    activate_open(&p, &place);
    struct client *a = plane_connect(&p, 0);
    const char *const text = "The maximum number of pending activations has been reached, activation of " NAME
                             " failed (max_pending_service_starts=3)";
    relay_count_starts(p.relay, 3);
    plane_settle(&p);
    start_by_name(a, NAME);
    driver_refuses(a, ERROR("LimitsExceeded"), text);
    calls(a, NAME);
    driver_refuses(a, ERROR("LimitsExceeded"), text);
    relay_count_starts(p.relay, 2);
    plane_settle(&p);
    calls(a, NAME);
    goes_up(&p, a, RELAY_EVENT_PARKED, true);
    activate_close(&p, &place);
}

static void a_message_may_not_start_a_service(void)
{
    struct plane p;
    struct place place;
    activate_open(&p, &place);
    struct client *a = plane_connect(&p, 0);
    struct marshal w = client_call(a, NAME, "Waits", NULL);
    w.data[2] = MESSAGE_NO_AUTO_START;
    client_send(a, &w);
    driver_refuses(a, ERROR("NameHasNoOwner"), "Name \"" NAME "\" does not exist");
    activate_close(&p, &place);
}

/* The sender learns that it may not use a service only if there is one. */
static void the_policy_may_be_against_it(void)
{
    struct plane p;
    struct place place;
    uint8_t block[sizeof(plane_policy)];
    memcpy(block, plane_policy, sizeof(block));
    block[32 + 32 + 4] = 0; /* the rule about replies decides; others are not allowed */
    activate_open(&p, &place);
    struct client *a = plane_connect(&p, 0);
    block[32 + 1] = 0; /* deny */
    CHECK_EQUAL(relay_load_policy(p.relay, block, sizeof(block)), 0);
    plane_settle(&p);
    calls(a, "no.Such");
    client_expects(a, MESSAGE_ERROR, ERROR("ServiceUnknown"), BUS);
    calls(a, NAME);
    client_expects(a, MESSAGE_ERROR, ERROR("AccessDenied"), BUS);
    plane_event(&p, RELAY_EVENT_LOG);
    activate_close(&p, &place);
}

static void monitors_see_it_before_its_error(void)
{
    struct plane p;
    struct place place;
    activate_open(&p, &place);
    struct client *a = plane_connect(&p, 0), *b = plane_connect(&p, 1);
    struct marshal w = client_call(b, BUS, "BecomeMonitor", NULL);
    client_send(b, &w);
    plane_event(&p, RELAY_EVENT_CALL);
    CHECK_EQUAL(relay_become_monitor(p.relay, 1, 0, NULL, 0, NULL, 0), 0);
    relay_resume(p.relay, 1);
    plane_settle(&p);
    client_expects(b, MESSAGE_SIGNAL, "NameLost", BUS);
    calls(a, "no.Such");
    client_expects(a, MESSAGE_ERROR, ERROR("ServiceUnknown"), BUS);
    client_expects(b, MESSAGE_METHOD_CALL, "Waits", ":1.0");
    client_expects(b, MESSAGE_ERROR, ERROR("ServiceUnknown"), BUS);
    start_by_name(a, "no.Such");
    client_expects(a, MESSAGE_ERROR, ERROR("ServiceUnknown"), BUS);
    client_expects(b, MESSAGE_METHOD_CALL, "StartServiceByName", ":1.0");
    client_expects(b, MESSAGE_ERROR, ERROR("ServiceUnknown"), BUS);
    activate_close(&p, &place);
}

static void a_list_that_is_none_is_refused(void)
{
    struct marshal list = list_of_names();
    const uint8_t *body = list.data + list.body;
    const size_t size = list.size - list.body;
    uint8_t bytes[256];
    struct catalog *catalog = NULL;
    REQUIRE(size <= sizeof(bytes));
    for (size_t n = 0; n < size; n++) {
        memcpy(bytes, body, size);
        CHECK_EQUAL(catalog_new(&catalog, NULL, bytes, n), -EINVAL);
        if (n < 4)
            continue;
        const uint32_t array = (uint32_t)n - 4; /* it ends within a name, or has fewer of them */
        memcpy(bytes, &array, sizeof(array));
        int error = catalog_new(&catalog, NULL, bytes, n);
        CHECK(error == 0 || error == -EINVAL);
        if (error == 0)
            catalog_free(catalog);
        memset(bytes + 4, 255, 4); /* a name of 4 GiB */
        CHECK_EQUAL(catalog_new(&catalog, NULL, bytes, n), -EINVAL);
    }
    marshal_free(&list);
}

static void a_catalogue_without_memory_fails(void)
{
    struct plane p;
    struct marshal list = list_of_names();
    plane_open(&p);
    struct follower *follower = NULL;
    long n = 0;
    for (; n < 100 && !follower; n++) {
        check_allocations = n;
        follower = follower_new();
        check_allocations = -1;
    }
    REQUIRE(follower);
    int error = -ENOMEM;
    for (n = 0; n < 100 && error == -ENOMEM; n++) {
        check_allocations = n;
        error = relay_set_catalog(p.relay, follower, list.data + list.body, list.size - list.body);
        check_allocations = -1;
    }
    CHECK(error == 0 && n > 2);
    plane_settle(&p);
    follower = follower_new();
    REQUIRE(follower);
    check_allocations = 0;
    follower_add(follower, "/tmp");
    check_allocations = -1;
    CHECK(follower_changed(follower));
    follower_free(follower);
    follower_free(NULL);
    marshal_free(&list);
    plane_close(&p);
}

static const struct check_test tests[] = {
    TEST(a_name_without_a_file_is_unknown),
    TEST(a_service_that_has_its_name_runs_already),
    TEST(a_start_goes_up),
    TEST(the_service_manager_goes_up),
    TEST(names_are_listed),
    TEST(after_a_change_questions_go_up),
    TEST(without_a_follower_questions_go_up),
    TEST(starts_are_limited),
    TEST(a_message_may_not_start_a_service),
    TEST(the_policy_may_be_against_it),
    TEST(monitors_see_it_before_its_error),
    TEST(a_list_that_is_none_is_refused),
    TEST(a_catalogue_without_memory_fails),
};

CHECK_MAIN(tests)
