/* SPDX-License-Identifier: MIT */
#include "fake_modules.h"

#define REVISION "/dev/null" /* a file whose content never matters; the test says when it has changed */

static struct audit *audit;

static struct apparmor *begin(const char *revision, const char *type)
{
    struct apparmor *apparmor = NULL;
    char why[256];
    audit = audit_new(&fake_audit);
    audit_attach(audit, fake_log, NULL);
    CHECK_EQUAL(apparmor_new(&apparmor, &fake_apparmor, revision, type, audit, why, sizeof(why)), 0);
    return apparmor;
}

static void end(struct apparmor *apparmor)
{
    apparmor_free(apparmor);
    audit_free(audit);
}

static const struct message call = {
    .type = MESSAGE_METHOD_CALL,
    .path = {"/a", 2},
    .interface = {"i.f", 3},
    .member = {"M", 1},
};

static const struct mediation_end receiver = {{"two (enforce)", 13}, 22};

static struct mediation_case case_of(const char *label)
{
    return (struct mediation_case){.m = &call,
                                   .destination = SPAN("a.b"),
                                   .source = SPAN(":1.1"),
                                   .sender = {span_of(label), 11},
                                   .recipient = &receiver};
}

static bool is_allowed(struct apparmor *apparmor, const struct mediation_case *c)
{
    struct apparmor_verdict verdict = apparmor_judge(apparmor, c);
    return verdict.send.allow && verdict.receive.allow;
}

static void labels_are_split(void)
{
    struct apparmor_label label = apparmor_split(SPAN("/usr/bin/a (b) (complain)"));
    CHECK_SPAN(label.name, "/usr/bin/a (b)");
    CHECK_SPAN(label.mode, "complain");
    CHECK(!apparmor_is_unconfined(&label));
    label = apparmor_split(SPAN("unconfined"));
    CHECK(!label.mode.s && apparmor_is_unconfined(&label));
    label = apparmor_split(SPAN("snap.x (unconfined)"));
    CHECK(apparmor_is_unconfined(&label));
    label = apparmor_split(SPAN("()"));
    CHECK(!label.mode.s && !apparmor_is_unconfined(&label));
    CHECK(!apparmor_knows((struct span){NULL, 0}));
}

static void what_is_unconfined_is_not_asked_about(void)
{
    modules_begin();
    struct apparmor *apparmor = begin(REVISION, "session");
    static const struct mediation_end free_end = {{"unconfined", 10}, 0};
    struct mediation_case c = case_of("unconfined");
    c.recipient = &free_end;
    CHECK(is_allowed(apparmor, &c));
    c.recipient = NULL; /* the bus is not confined either */
    CHECK(is_allowed(apparmor, &c));
    CHECK(apparmor_own(apparmor, &free_end, SPAN("a.b")).allow);
    CHECK(apparmor_eavesdrop(apparmor, &free_end).allow);
    CHECK_EQUAL(fake.questions, 0);
    end(apparmor);
}

/* The bytes that aa_query_label(2) describes. */
static void both_ends_are_asked_about(void)
{
    static const char receive[] = "\0\0\0\0\0\0two\0\x20system\0:1.1\0one\0/a\0i.f\0M";
    static const char send[] = "\0\0\0\0\0\0one\0\x20system\0a.b\0two\0/a\0i.f\0M";
    modules_begin();
    fake.allowed = 1;
    struct apparmor *apparmor = begin(REVISION, "system");
    struct mediation_case c = case_of("one (enforce)");
    CHECK(is_allowed(apparmor, &c));
    CHECK_EQUAL(fake.questions, 2);
    CHECK_EQUAL(fake.permission, 1 << 2);
    CHECK_EQUAL(fake.size, sizeof(receive) - 1);
    CHECK(memcmp(fake.question, receive, fake.size) == 0);
    struct span assumed = SPAN("two");
    c.recipient = NULL;
    c.assumed = &assumed; /* of a service that is yet to be started only the sender is asked about */
    apparmor_changed(apparmor);
    CHECK(is_allowed(apparmor, &c));
    CHECK_EQUAL(fake.questions, 3);
    CHECK_EQUAL(fake.permission, 1 << 1);
    CHECK_EQUAL(fake.size, sizeof(send) - 1);
    CHECK(memcmp(fake.question, send, fake.size) == 0);
    end(apparmor);
}

static void a_requested_reply_passes(void)
{
    modules_begin();
    struct apparmor *apparmor = begin(REVISION, NULL);
    struct mediation_case c = case_of("one (enforce)");
    c.requested_reply = true;
    CHECK(is_allowed(apparmor, &c));
    CHECK_EQUAL(fake.questions, 0);
    end(apparmor);
}

static void answers_hold_until_the_policy_changes(void)
{
    modules_begin();
    fake.allowed = 1;
    struct apparmor *apparmor = begin(REVISION, "session");
    const struct mediation_case c = case_of("one (enforce)");
    for (int i = 0; i < 3; i++)
        CHECK(is_allowed(apparmor, &c));
    CHECK_EQUAL(fake.questions, 2);
    fake.allowed = 0;
    CHECK(is_allowed(apparmor, &c)); /* nothing was announced */
    CHECK(apparmor_watched(apparmor) >= 0);
    apparmor_changed(apparmor);
    CHECK(!is_allowed(apparmor, &c));
    CHECK_EQUAL(fake.questions, 4);
    CHECK(!apparmor_own(apparmor, &c.sender, SPAN("a.b")).allow); /* another permission */
    CHECK_EQUAL(fake.questions, 5);
    end(apparmor);
}

static void nothing_is_remembered_without_announcements(void)
{
    modules_begin();
    fake.allowed = 1;
    struct apparmor *apparmor = begin("/absent", "session");
    const struct mediation_case c = case_of("one (enforce)");
    CHECK_EQUAL(apparmor_watched(apparmor), -1);
    CHECK(is_allowed(apparmor, &c) && is_allowed(apparmor, &c));
    CHECK_EQUAL(fake.questions, 4);
    apparmor_changed(apparmor);
    end(apparmor);
    /* nor of a namespace, whose policy has a revision of its own */
    apparmor = begin(REVISION, "session");
    const struct mediation_end inner = {SPAN(":inner:one (enforce)"), 1};
    fake.questions = 0;
    apparmor_own(apparmor, &inner, SPAN("a.b"));
    apparmor_own(apparmor, &inner, SPAN("a.b"));
    CHECK_EQUAL(fake.questions, 2);
    end(apparmor);
}

static void denials_are_recorded(void)
{
    modules_begin();
    fake.audit_fd = 100;
    struct apparmor *apparmor = begin(REVISION, "session");
    struct mediation_case c = case_of("one (enforce)");
    struct apparmor_verdict verdict = apparmor_judge(apparmor, &c);
    fake.refused = 0;
    verdict.receive.audit = false;
    apparmor_record(apparmor, &c, &verdict);
    CHECK_EQUAL(fake.record_type, 1107);
    CHECK(
        !strcmp(fake.record,
                "apparmor=\"DENIED\" operation=\"dbus_method_call\"  bus=\"session\" path=\"/a\" "
                "interface=\"i.f\" member=\"M\" mask=\"send\" name=\"a.b\" pid=11 label=\"one\" peer_pid=22 "
                "peer_label=\"two\"\n"));
    verdict.receive.audit = true;
    verdict.receive.allow = true;
    apparmor_record(apparmor, &c, &verdict);
    CHECK_EQUAL(fake.records, 3);
    CHECK(!strcmp(
        fake.record,
        "apparmor=\"ALLOWED\" operation=\"dbus_method_call\"  bus=\"session\" path=\"/a\" "
        "interface=\"i.f\" member=\"M\" name=\":1.1\" mask=\"receive\" pid=22 label=\"two\" peer_pid=11 "
        "peer_label=\"one\"\n"));
    const struct message reply = {.type = MESSAGE_METHOD_RETURN};
    c.m = &reply; /* profiles have no rules about replies */
    apparmor_record(apparmor, &c, &verdict);
    CHECK_EQUAL(fake.records, 3);
    end(apparmor);
    CHECK_EQUAL(fake.audit_fd, -1);
}

static void names_and_eavesdropping_are_recorded(void)
{
    modules_begin();
    struct apparmor *apparmor = begin(REVISION, NULL);
    const struct mediation_case c = case_of("one (enforce)");
    CHECK(!apparmor_own(apparmor, &c.sender, SPAN("a.b")).allow);
    CHECK(!strcmp(fake.line, "apparmor=\"DENIED\" operation=\"dbus_bind\"  bus=\"unknown\" name=\"a.b\" "
                             "mask=\"bind\" pid=11 label=\"one\"\n"));
    CHECK(!apparmor_eavesdrop(apparmor, &c.sender).allow);
    CHECK(!strcmp(fake.line, "apparmor=\"DENIED\" operation=\"dbus_eavesdrop\"  bus=\"unknown\" "
                             "mask=\"eavesdrop\" pid=11 label=\"one\"\n"));
    fake.audited = 0; /* "deny" without "audit" */
    apparmor_changed(apparmor);
    CHECK(!apparmor_own(apparmor, &c.sender, SPAN("a.b")).allow);
    CHECK_EQUAL(fake.lines, 2);
    end(apparmor);
}

static void complain_mode_denies_nothing(void)
{
    modules_begin();
    struct apparmor *apparmor = begin(REVISION, "session");
    struct mediation_case c = case_of("one (complain)");
    fake.refused = 1 << 1;
    fake.allowed = 1;
    struct apparmor_verdict verdict = apparmor_judge(apparmor, &c);
    CHECK(verdict.send.allow && verdict.send.audit);
    apparmor_record(apparmor, &c, &verdict);
    CHECK(strstr(fake.line, "apparmor=\"ALLOWED\""));
    end(apparmor);
}

static void a_question_without_answer_is_a_denial(void)
{
    modules_begin();
    fake.error = ENOENT; /* the profile was removed */
    struct apparmor *apparmor = begin(REVISION, "session");
    struct mediation_case c = case_of("one (complain)");
    struct apparmor_verdict verdict = apparmor_judge(apparmor, &c);
    CHECK(!verdict.send.allow && !verdict.receive.allow && verdict.receive.audit);
    CHECK_EQUAL(verdict.send.error, ENOENT);
    apparmor_record(apparmor, &c, &verdict);
    CHECK(strstr(fake.line, " mask=\"receive\"") && strstr(fake.line, " peer_info=\"No such file"));
    apparmor_judge(apparmor, &c);
    CHECK_EQUAL(fake.questions, 2); /* it was not remembered */
    CHECK_EQUAL(apparmor_own(apparmor, &c.sender, SPAN("a.b")).error, ENOENT);
    CHECK(strstr(fake.line, " name=\"a.b\" info=\"No such file or directory\" mask=\"bind\""));
    end(apparmor);
}

static void long_questions_are_refused(void)
{
    static char path[2 * APPARMOR_QUESTION];
    modules_begin();
    fake.allowed = 1;
    struct apparmor *apparmor = begin(REVISION, "session");
    struct mediation_case c = case_of("one (enforce)");
    struct message m = call;
    c.m = &m;
    memset(path, 'a', sizeof(path) - 1);
    m.path = (struct span){path, 600}; /* too long to be remembered */
    CHECK(is_allowed(apparmor, &c) && is_allowed(apparmor, &c));
    CHECK_EQUAL(fake.questions, 4);
    m.path = (struct span){path, sizeof(path) - 1};
    struct apparmor_verdict verdict = apparmor_judge(apparmor, &c);
    CHECK_EQUAL(verdict.send.error, EFBIG);
    CHECK_EQUAL(fake.questions, 4);
    apparmor_record(apparmor, &c, &verdict);
    CHECK_EQUAL(strlen(fake.line), sizeof(fake.line) - 1); /* as much of it as a record holds */
    end(apparmor);
}

static void a_bus_without_label_does_not_begin(void)
{
    struct apparmor *apparmor;
    char why[256];
    modules_begin();
    fake.context = NULL;
    audit = audit_new(&fake_audit);
    CHECK_EQUAL(apparmor_new(&apparmor, &fake_apparmor, REVISION, NULL, audit, why, sizeof(why)), -EINVAL);
    CHECK(!strcmp(why, "Error getting AppArmor context of bus: Invalid argument"));
    for (long n = 0; n < 2; n++) {
        check_allocations = n;
        CHECK_EQUAL(apparmor_new(&apparmor, &fake_apparmor, REVISION, NULL, audit, why, sizeof(why)),
                    -ENOMEM);
        check_allocations = -1;
    }
    audit_free(audit);
}

static void a_confined_bus_is_asked_about(void)
{
    modules_begin();
    fake.allowed = 1;
    fake.context = "bus (enforce)";
    struct apparmor *apparmor = begin(REVISION, "session");
    struct mediation_case c = case_of("unconfined");
    c.recipient = NULL;
    CHECK(is_allowed(apparmor, &c));
    CHECK_EQUAL(fake.questions, 1);
    CHECK(memcmp(fake.question + 6, "bus", 4) == 0);
    end(apparmor);
}

static void a_failed_way_to_audit_is_logged(void)
{
    modules_begin();
    fake.audit_error = EPERM;
    audit = audit_new(&fake_audit);
    audit_log(audit, 0, "before there is a log");
    CHECK_EQUAL(fake.lines, 0);
    audit_attach(audit, fake_log, NULL);
    CHECK(!strcmp(fake.line, "Failed to open connection to the audit subsystem: Operation not permitted"));
    audit_free(audit);
    check_allocations = 0;
    CHECK(!audit_new(&fake_audit));
    check_allocations = -1;
}

static void people_are_told_without_a_record(void)
{
    struct mediation_opinion opinions[MEDIATION_OPINIONS];
    const struct span assumed = SPAN("service");
    modules_begin();
    fake.allowed = 1;
    fake.refused = 1 << 2;
    struct apparmor *apparmor = begin(REVISION, "session");
    struct mediation_case c = case_of("one (enforce)");
    CHECK_EQUAL(apparmor_explain(apparmor, &c, opinions), 2);
    CHECK(!strcmp(opinions[0].permission, "send") && opinions[0].allow);
    CHECK(!strcmp(opinions[1].permission, "receive") && !opinions[1].allow);
    CHECK_SPAN(opinions[1].subject, "two");
    CHECK_SPAN(opinions[1].object, "one");
    c.recipient = NULL;
    c.assumed = &assumed;
    CHECK_EQUAL(apparmor_explain(apparmor, &c, opinions), 1);
    CHECK_SPAN(opinions[0].object, "service");
    fake.error = ENOENT;
    CHECK_EQUAL(apparmor_explain_own(apparmor, &c.sender, SPAN("a.b"), opinions), 1);
    CHECK(!strcmp(opinions[0].permission, "bind") && !opinions[0].allow && !opinions[0].object.s);
    CHECK_EQUAL(opinions[0].error, ENOENT);
    CHECK_EQUAL(fake.lines, 0);
    end(apparmor);
}

static const struct check_test tests[] = {
    TEST(labels_are_split),
    TEST(what_is_unconfined_is_not_asked_about),
    TEST(both_ends_are_asked_about),
    TEST(a_requested_reply_passes),
    TEST(answers_hold_until_the_policy_changes),
    TEST(nothing_is_remembered_without_announcements),
    TEST(denials_are_recorded),
    TEST(names_and_eavesdropping_are_recorded),
    TEST(complain_mode_denies_nothing),
    TEST(a_question_without_answer_is_a_denial),
    TEST(long_questions_are_refused),
    TEST(a_bus_without_label_does_not_begin),
    TEST(a_confined_bus_is_asked_about),
    TEST(a_failed_way_to_audit_is_logged),
    TEST(people_are_told_without_a_record),
};
CHECK_MAIN(tests)
