/* SPDX-License-Identifier: MIT */
#include "upgrade_fixture.h"

#include "driver_fixture.h"
#include "fake_modules.h"

#include "../../transport/relay/api/relay_mediate.h"
#include "../../transport/relay/mediation/mediation.h"
#include "../../transport/relay/send/mediate.h"

#include <linux/capability.h>
#include <sys/prctl.h>

/* A data plane that AppArmor mediates, which answers as the test says. */
static void open_mediated(struct plane *p, const struct relay_limits *limits)
{
    struct mediation *mediation;
    char why[256];
    modules_begin();
    fake.allowed = 1;
    fake.audited = 0; /* or each answer would be an event of its own, where there is no libaudit */
    plane_prepare(p);
    CHECK_EQUAL(mediation_new(&mediation, 0, "session", why, sizeof(why)), 0);
    CHECK_EQUAL(apparmor_new(&mediation->apparmor, &fake_apparmor, "/proc/self/mounts", mediation->bus_type,
                             mediation->audit, why, sizeof(why)),
                0);
    CHECK_EQUAL(mediate_with(&p->relay->bus, mediation), 0);
    CHECK_EQUAL(relay_set_limits(p->relay, limits), 0);
    CHECK_EQUAL(relay_start(p->relay), 0);
}

/* Attaches a privileged connection with a label; NULL: without one. */
static struct client *attach(struct plane *p, uint64_t id, const char *label)
{
    int ends[2];
    struct client *c = &p->clients[id];
    CHECK_EQUAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    const struct relay_credentials credentials = {.uid = 0,
                                                  .pid = 42,
                                                  .privileged = true,
                                                  .loginfo = "uid=0",
                                                  .label = label,
                                                  .label_size = label ? (uint32_t)strlen(label) : 0};
    *c = (struct client){.fd = ends[0]};
    CHECK_EQUAL(relay_attach(p->relay, id, ends[1], -1, clock_now(), &credentials, NULL, 0, NULL, 0), 0);
    CHECK_EQUAL(relay_commit(p->relay), 0);
    return c;
}

static void hello(struct client *c)
{
    struct marshal w = client_call(c, BUS, "Hello", NULL);
    client_send(c, &w);
}

static struct client *enter(struct plane *p, uint64_t id, const char *label)
{
    attach(p, id, label);
    return plane_greet(p, id);
}

static void a_connection_without_label_is_closed(void)
{
    struct plane p;
    const struct relay_limits limits = plane_limits();
    open_mediated(&p, &limits);
    hello(attach(&p, 0, NULL));
    REQUIRE(plane_event(&p, RELAY_EVENT_GONE));
    plane_close(&p);
}

static void hello_may_be_denied(void)
{
    struct plane p;
    const struct relay_limits limits = plane_limits();
    open_mediated(&p, &limits);
    fake.allowed = 0;
    struct client *c = attach(&p, 0, "one (enforce)");
    hello(c);
    driver_refuses(c, ERROR("AccessDenied"),
                   "An AppArmor policy prevents this sender from sending this message to this recipient; "
                   "type=\"method_call\", sender=\"(null)\" (inactive) interface=\"org.freedesktop.DBus\" "
                   "member=\"Hello\" error name=\"(unset)\" requested_reply=\"0\" "
                   "destination=\"org.freedesktop.DBus\" (bus)");
    plane_close(&p);
}

static void a_name_may_be_denied(void)
{
    struct plane p;
    const struct relay_limits limits = plane_limits();
    open_mediated(&p, &limits);
    struct client *c = enter(&p, 0, "one (enforce)");
    fake.refused = 1 << 6;
    driver_call_with_flags(c, "RequestName", "a.b", 0);
    driver_refuses(c, ERROR("AccessDenied"),
                   "Connection \":1.0\" is not allowed to own the service \"a.b\" due to AppArmor policy");
    plane_close(&p);
}

static void eavesdropping_may_be_denied(void)
{
    static const char why[] = "Connection \":1.0\" is not allowed to eavesdrop due to AppArmor policy";
    struct plane p;
    const struct relay_limits limits = plane_limits();
    open_mediated(&p, &limits);
    struct client *c = enter(&p, 0, "one (enforce)");
    fake.refused = 1 << 5;
    driver_call(c, "AddMatch", "type='signal'");
    client_expects(c, MESSAGE_METHOD_RETURN, NULL, BUS);
    driver_call(c, "AddMatch", "eavesdrop='true'");
    driver_refuses(c, ERROR("AccessDenied"), why);
    struct marshal w = {0};
    const struct marshal_header header = {.type = MESSAGE_METHOD_CALL,
                                          .serial = ++c->serial,
                                          .path = SPAN("/org/freedesktop/DBus"),
                                          .interface = SPAN(BUS ".Monitoring"),
                                          .member = SPAN("BecomeMonitor"),
                                          .destination = SPAN(BUS),
                                          .signature = SPAN("asu")};
    marshal_begin(&w, &header);
    marshal_array_end(&w, marshal_array_begin(&w, 4), 4);
    marshal_uint32(&w, 0);
    client_send(c, &w);
    driver_refuses(c, ERROR("AccessDenied"), why);
    plane_close(&p);
}

/* The interface for the control plane, with no module: so nothing is loaded. */
static void what_mediates_is_in_the_state(void)
{
    static const uint8_t labels[] = "a.b\0label", contexts[] = "c.d\0context";
    struct plane p;
    struct upgrade_state state;
    char why[256];
    modules_begin();
    plane_open(&p);
    CHECK_EQUAL(relay_mediate(p.relay, 0, "system", why, sizeof(why)), 0);
    CHECK_EQUAL(relay_mediated(p.relay), 0);
    CHECK_EQUAL(relay_set_texts(p.relay, MEDIATION_LABELS, labels, sizeof(labels)), 0);
    CHECK_EQUAL(relay_set_texts(p.relay, MEDIATION_CONTEXTS, contexts, sizeof(contexts)), 0);
    CHECK_EQUAL(relay_set_texts(p.relay, MEDIATION_CONTEXTS, contexts, 3), -EINVAL);
    CHECK_EQUAL(relay_commit(p.relay), 0);
    REQUIRE(upgrade_freeze(&p) && upgrade_dump(&p, &state));
    upgrade_leave(&p);
    REQUIRE(upgrade_enter(&p, &state));
    const struct mediation *mediation = p.relay->bus.mediation;
    REQUIRE(mediation);
    CHECK(!strcmp(mediation->bus_type, "system"));
    CHECK_SPAN(mediation_text(&mediation->labels, SPAN("a.b")), "label");
    CHECK_SPAN(mediation_text(&mediation->contexts, SPAN("c.d")), "context");
    upgrade_end(&state);
    plane_close(&p);
}

static void texts_need_a_mediated_bus(void)
{
    static const uint8_t labels[] = "a.b\0label";
    struct plane p;
    plane_open(&p);
    CHECK_EQUAL(relay_set_texts(p.relay, MEDIATION_LABELS, labels, sizeof(labels)), 0);
    CHECK_EQUAL(relay_commit(p.relay), 0);
    plane_settle(&p);
    CHECK(!p.relay->bus.mediation);
    plane_close(&p);
}

/* As of root, or of a user that never had it. */
static void the_right_to_audit_is_passed_on_and_held(void)
{
    bool held = relay_audit_right(RELAY_AUDIT_KEEP) == 1;
    CHECK_EQUAL(relay_audit_right(RELAY_AUDIT_PASS), 0);
    CHECK_EQUAL(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, CAP_AUDIT_WRITE, 0, 0), held);
    CHECK_EQUAL(relay_audit_right(RELAY_AUDIT_HOLD), 0);
    CHECK_EQUAL(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, CAP_AUDIT_WRITE, 0, 0), 0);
    prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0);
}

static void explains(struct plane *p, const struct relay_question *question, const char *text)
{
    CHECK_EQUAL(relay_explain(p->relay, question), 0);
    CHECK_EQUAL(relay_commit(p->relay), 0);
    if (!plane_event(p, RELAY_EVENT_EXPORT))
        return;
    CHECK_EQUAL(p->event.serial, RELAY_EXPORT_MEDIATION);
    CHECK_SPAN(((struct span){(const char *)p->event.body, p->event.body_size}), text);
}

static void people_are_told_what_modules_say(void)
{
    struct plane p;
    const struct relay_limits limits = plane_limits();
    struct relay_question question = {.sender = 0,
                                      .recipient = 1,
                                      .type = MESSAGE_METHOD_CALL,
                                      .destination = "a.b",
                                      .path = "/a",
                                      .interface = "i.f",
                                      .member = "M"};
    open_mediated(&p, &limits);
    enter(&p, 0, "one (enforce)");
    enter(&p, 1, "two (enforce)");
    fake.refused = 1 << 2;
    explains(&p, &question,
             "[{\"module\":\"AppArmor\",\"permission\":\"send\",\"label\":\"one\",\"peer_label\":\"two\","
             "\"allowed\":true},{\"module\":\"AppArmor\",\"permission\":\"receive\",\"label\":\"two\","
             "\"peer_label\":\"one\",\"allowed\":false}]");
    question.type = 0;
    fake.error = EACCES;
    explains(&p, &question,
             "[{\"module\":\"AppArmor\",\"permission\":\"bind\",\"label\":\"one\",\"allowed\":false,"
             "\"error\":\"Permission denied\"}]");
    question.sender = 99;
    explains(&p, &question, "[]");
    question.sender = 0;
    question.type = MESSAGE_METHOD_RETURN;
    question.requested = true; /* which no module is asked about */
    explains(&p, &question,
             "[{\"module\":\"AppArmor\",\"permission\":\"send\",\"label\":\"one\",\"peer_label\":\"two\","
             "\"allowed\":true},{\"module\":\"AppArmor\",\"permission\":\"receive\",\"label\":\"two\","
             "\"peer_label\":\"one\",\"allowed\":true}]");
    plane_close(&p);
}

static void people_are_told_nothing_of_a_bus_without_modules(void)
{
    struct plane p;
    const struct relay_question question = {.destination = "a.b"};
    plane_open(&p);
    explains(&p, &question, "[]");
    for (long n = 0; n < 2; n++) {
        check_allocations = n;
        CHECK_EQUAL(relay_explain(p.relay, &question), -ENOMEM);
        check_allocations = -1;
    }
    plane_close(&p);
}

static const struct check_test tests[] = {
    TEST(a_connection_without_label_is_closed),
    TEST(hello_may_be_denied),
    TEST(a_name_may_be_denied),
    TEST(eavesdropping_may_be_denied),
    TEST(what_mediates_is_in_the_state),
    TEST(texts_need_a_mediated_bus),
    TEST(people_are_told_what_modules_say),
    TEST(people_are_told_nothing_of_a_bus_without_modules),
    TEST(the_right_to_audit_is_passed_on_and_held),
};
CHECK_MAIN(tests)
