/* SPDX-License-Identifier: MIT */
#include "driver_fixture.h"
#include "policy_draft.h"

#include "../../transport/relay/api/relay_internal.h"

static struct client *arrive(struct plane *p, uint64_t id, const struct relay_credentials *credentials)
{
    int ends[2];
    CHECK_EQUAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    struct client *c = &p->clients[id];
    *c = (struct client){.fd = ends[0]};
    CHECK_EQUAL(relay_attach(p->relay, id, ends[1], -1, clock_now(), credentials, NULL, 0, NULL, 0), 0);
    relay_commit(p->relay);
    struct marshal w = client_call(c, BUS, "Hello", NULL);
    client_send(c, &w);
    plane_event(p, RELAY_EVENT_CALL);
    relay_welcome(p->relay, id, p->event.serial);
    relay_commit(p->relay);
    client_expects(c, MESSAGE_METHOD_RETURN, NULL, BUS);
    client_expects(c, MESSAGE_SIGNAL, "NameAcquired", BUS);
    return c;
}

static const uint32_t groups[] = {50, 7, 50};
static const struct relay_credentials usual = {.uid = 7,
                                               .pid = 8,
                                               .gids = groups,
                                               .n_gids = 3,
                                               .fd_passing = true,
                                               .label = "label",
                                               .label_size = 5,
                                               .loginfo = "uid=7"};
static const struct relay_credentials anonymous = {.uid = UINT32_MAX, .loginfo = ""};

static void number_is(struct client *c, const char *member, const char *name, uint32_t number)
{
    driver_call(c, member, name);
    driver_answers(c, number);
}

static void is_refused(struct client *c, const char *member, const char *name, const char *error,
                       const char *text)
{
    driver_call(c, member, name);
    driver_refuses(c, error, text);
}

/* Checks the body of the reply, and the number of descriptors. */
static void credentials_are(struct client *c, const char *name, struct marshal *expected, uint32_t n_fds)
{
    struct message m;
    driver_call(c, "GetConnectionCredentials", name);
    REQUIRE(client_expect(c, &m));
    CHECK_SPAN(m.signature, "a{sv}");
    CHECK_EQUAL(m.n_fds, n_fds);
    REQUIRE(marshal_end(expected));
    CHECK_EQUAL(m.body_size, expected->size - expected->body);
    CHECK(!memcmp(m.data + m.body_offset, expected->data + expected->body, m.body_size));
    client_drop(c, &m);
    marshal_free(expected);
}

static void expect_begin(struct marshal *w)
{
    const struct marshal_header header = {
        .type = MESSAGE_METHOD_RETURN, .serial = 1, .reply_serial = 1, .signature = SPAN("a{sv}")};
    *w = (struct marshal){0};
    marshal_begin(w, &header);
}

static void expect_key(struct marshal *w, const char *key, const char *signature)
{
    marshal_align(w, 8);
    marshal_string(w, span_of(key));
    marshal_signature(w, span_of(signature));
}

static void expect_number(struct marshal *w, const char *key, const char *signature, uint32_t number)
{
    expect_key(w, key, signature);
    marshal_uint32(w, number);
}

/* Groups come once each, in ascending order. Of a socketpair the kernel knows the process. */
static void what_is_known(void)
{
    struct plane p;
    struct marshal w;
    plane_open(&p);
    struct client *a = arrive(&p, 0, &usual);
    struct relay_credentials quiet = usual;
    quiet.fd_passing = false;
    struct client *b = arrive(&p, 1, &quiet);
    for (uint32_t process = 0; process < 2; process++) {
        expect_begin(&w);
        size_t array = marshal_array_begin(&w, 8);
        expect_number(&w, "ProcessID", "u", 8);
        expect_number(&w, "UnixUserID", "u", 7);
        expect_key(&w, "UnixGroupIDs", "au");
        size_t gids = marshal_array_begin(&w, 4);
        marshal_uint32(&w, 7);
        marshal_uint32(&w, 50);
        marshal_array_end(&w, gids, 4);
        expect_key(&w, "LinuxSecurityLabel", "ay");
        size_t label = marshal_array_begin(&w, 1);
        marshal_raw(&w, "label", 6);
        marshal_array_end(&w, label, 1);
        int found = -1;
        socklen_t size = sizeof(found);
        bool kernel_has = getsockopt(a->fd, SOL_SOCKET, 77 /* SO_PEERPIDFD */, &found, &size) == 0;
        if (found >= 0)
            close(found);
        uint32_t n_fds = process && kernel_has;
        if (n_fds)
            expect_number(&w, "ProcessFD", "h", 0);
        marshal_array_end(&w, array, 8);
        credentials_are(process ? a : b, ":1.0", &w, n_fds);
    }
    plane_close(&p);
}

static void of_an_anonymous_client_nothing_is_known(void)
{
    struct plane p;
    struct marshal w;
    plane_open(&p);
    arrive(&p, 0, &anonymous);
    struct relay_credentials quiet = usual;
    quiet.fd_passing = false;
    struct client *b = arrive(&p, 1, &quiet);
    expect_begin(&w);
    marshal_array_end(&w, marshal_array_begin(&w, 8), 8);
    credentials_are(b, ":1.0", &w, 0);
    is_refused(b, "GetConnectionUnixUser", ":1.0", ERROR("Failed"), "Could not determine UID for ':1.0'");
    is_refused(b, "GetConnectionUnixProcessID", ":1.0", ERROR("UnixProcessIdUnknown"),
               "Could not determine PID for ':1.0'");
    plane_close(&p);
}

static void of_the_bus_itself(void)
{
    struct plane p;
    struct marshal w;
    plane_open(&p);
    struct client *a = arrive(&p, 0, &usual);
    expect_begin(&w);
    size_t array = marshal_array_begin(&w, 8);
    expect_number(&w, "ProcessID", "u", (uint32_t)getpid());
    expect_number(&w, "UnixUserID", "u", geteuid());
    marshal_array_end(&w, array, 8);
    credentials_are(a, BUS, &w, 0);
    number_is(a, "GetConnectionUnixUser", BUS, geteuid());
    number_is(a, "GetConnectionUnixProcessID", BUS, (uint32_t)getpid());
    plane_close(&p);
}

static void by_a_well_known_name(void)
{
    struct plane p;
    const uint64_t owner = 0;
    plane_open(&p);
    struct client *a = arrive(&p, 0, &usual);
    relay_set_queue(p.relay, "an.Example", &owner, NULL, 1);
    relay_commit(p.relay);
    client_expects(a, MESSAGE_SIGNAL, "NameAcquired", BUS);
    number_is(a, "GetConnectionUnixUser", "an.Example", 7);
    number_is(a, "GetConnectionUnixProcessID", "an.Example", 8);
    plane_close(&p);
}

static void without_an_owner(void)
{
    static const struct {
        const char *member, *text;
    } cases[] = {
        {"GetConnectionCredentials", "Could not get credentials of name 'no.such': no such name"},
        {"GetConnectionUnixUser", "Could not get UID of name 'no.such': no such name"},
        {"GetConnectionUnixProcessID", "Could not get PID of name 'no.such': no such name"},
    };
    struct plane p;
    plane_open(&p);
    struct client *a = arrive(&p, 0, &usual);
    for (size_t i = 0; i < CHECK_COUNT(cases); i++)
        is_refused(a, cases[i].member, "no.such", ERROR("NameHasNoOwner"), cases[i].text);
    plane_close(&p);
}

/* No user 7 is logged in where the tests run. */
static void a_policy_that_depends_on_the_console_has_it_looked_up(void)
{
    static const struct rule_draft rules[] = {
        {.kind = POLICY_SEND, .allow = true},
        {.kind = POLICY_RECEIVE, .allow = true},
        {.kind = POLICY_OWN, .allow = true, .context = POLICY_AT_CONSOLE},
    };
    static struct policy_draft draft;
    struct plane p;
    plane_open(&p);
    struct relay_credentials seated = usual;
    seated.at_console = true;
    struct client *a = arrive(&p, 0, &seated);
    for (size_t n = 2; n <= 3; n++) {
        policy_draft(&draft, rules, n);
        CHECK_EQUAL(relay_load_policy(p.relay, draft.data, draft.size), 0);
        CHECK_EQUAL(relay_commit(p.relay), 0);
        number_is(a, "GetConnectionUnixUser", ":1.0", 7);
        CHECK_EQUAL(bus_peer(&p.relay->bus, 0)->credentials.at_console, n == 2);
    }
    plane_close(&p);
}

static const struct check_test tests[] = {
    TEST(what_is_known),     TEST(of_an_anonymous_client_nothing_is_known),
    TEST(of_the_bus_itself), TEST(by_a_well_known_name),
    TEST(without_an_owner),  TEST(a_policy_that_depends_on_the_console_has_it_looked_up),
};

CHECK_MAIN(tests)
