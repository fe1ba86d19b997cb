/* SPDX-License-Identifier: MIT */
#include "fake_modules.h"

#include <signal.h>

static struct audit *audit;

static struct selinux *begin(void)
{
    struct selinux *selinux = NULL;
    char why[256];
    audit = audit_new(&fake_audit);
    audit_attach(audit, fake_log, NULL);
    CHECK_EQUAL(selinux_new(&selinux, &fake_selinux, audit, why, sizeof(why)), 0);
    return selinux;
}

static void end(struct selinux *selinux)
{
    close(selinux_watched(selinux));
    selinux_free(selinux);
    audit_free(audit);
    CHECK_EQUAL(fake.opened, 0);
}

static const struct message error = {
    .type = MESSAGE_ERROR,
    .interface = {"i.f", 3},
    .member = {"M", 1},
    .error_name = {"e.E", 3},
};

static const struct mediation_end receiver = {{"u:r:two_t", 9}, 22};

static struct mediation_case case_of(const char *label)
{
    return (struct mediation_case){
        .m = &error, .destination = SPAN("a.b"), .sender = {span_of(label), 11}, .recipient = &receiver};
}

static void messages_are_checked(void)
{
    modules_begin();
    fake.audit_fd = 100;
    struct selinux *selinux = begin();
    struct mediation_case c = case_of("u:r:one_t");
    CHECK(!selinux_send(selinux, &c));
    CHECK(!strcmp(fake.source, "u:r:one_t") && !strcmp(fake.target, "u:r:two_t"));
    CHECK_EQUAL(fake.record_type, 1107);
    CHECK(!strcmp(fake.record, "avc:  denied  { send_msg } for  msgtype=error interface=i.f member=M "
                               "error_name=e.E dest=a.b spid=11 tpid=22"));
    fake.allowed = 1;
    c.recipient = NULL;
    CHECK(selinux_send(selinux, &c));
    CHECK(!strcmp(fake.target, "u:r:bus_t"));
    CHECK_SPAN(selinux_context(selinux), "u:r:bus_t");
    end(selinux);
}

static void starts_are_not_checked(void)
{
    const struct span assumed = {NULL, 0};
    modules_begin();
    struct selinux *selinux = begin();
    struct mediation_case c = case_of("u:r:one_t");
    c.recipient = NULL;
    c.assumed = &assumed;
    CHECK(selinux_send(selinux, &c));
    CHECK_EQUAL(fake.checks, 0);
    end(selinux);
}

static void names_are_checked(void)
{
    modules_begin();
    struct selinux *selinux = begin();
    const struct mediation_end peer = {SPAN("u:r:one_t"), 11};
    CHECK(!selinux_own(selinux, &peer, SPAN("a.b"), SPAN("u:r:service_t")));
    CHECK(!strcmp(fake.target, "u:r:service_t") && !strcmp(fake.permission_name, "acquire_svc"));
    CHECK(!strcmp(fake.auxiliary, "service=a.b spid=11"));
    fake.allowed = 1;
    CHECK(selinux_own(selinux, &peer, SPAN("a.b"), (struct span){0}));
    CHECK(!strcmp(fake.target, "u:r:bus_t"));
    CHECK(selinux_own(selinux, &peer, SPAN("a.b"), SPAN("no context"))); /* as if there was none */
    CHECK(!strcmp(fake.target, "u:r:bus_t"));
    end(selinux);
}

static void labels_have_to_be_contexts(void)
{
    static char longest[5000];
    modules_begin();
    fake.allowed = 1;
    struct selinux *selinux = begin();
    memset(longest, 'a', sizeof(longest) - 1);
    CHECK(selinux_knows(selinux, SPAN("u:r:one_t")));
    CHECK(!selinux_knows(selinux, (struct span){NULL, 0}));
    CHECK(!selinux_knows(selinux, span_of(longest)));
    const struct mediation_case c = case_of("no context");
    CHECK(!selinux_send(selinux, &c));
    CHECK_EQUAL(fake.checks, 0);
    end(selinux);
}

static void a_policy_decides_about_what_it_lacks(void)
{
    modules_begin();
    struct selinux *selinux = begin();
    const struct mediation_case c = case_of("u:r:one_t");
    fake.no_class = true;
    CHECK(!selinux_send(selinux, &c));
    CHECK(!strcmp(fake.line, "Unknown class dbus"));
    fake.no_class = false;
    fake.no_permission = fake.tolerant = true;
    CHECK(selinux_send(selinux, &c));
    CHECK(!strcmp(fake.line, "Unknown permission send_msg for class dbus"));
    CHECK_EQUAL(fake.checks, 0);
    end(selinux);
}

static void changes_are_recorded(void)
{
    modules_begin();
    fake.audit_fd = 100;
    struct selinux *selinux = begin();
    fake.say(4, "avc:  received policyload notice (seqno=%d)\n", 2);
    CHECK_EQUAL(fake.record_type, 2310);
    fake.say(5, "avc:  received setenforce notice (enforcing=%d)\n", 1);
    CHECK_EQUAL(fake.record_type, 2311);
    CHECK(!strcmp(fake.record, "avc:  received setenforce notice (enforcing=1)\n"));
    selinux_changed(selinux);
    CHECK_EQUAL(fake.lines, 0);
    fake.fails = "avc_netlink_check_nb";
    selinux_changed(selinux);
    CHECK(!strcmp(fake.line, "Failed to read what SELinux announces: Permission denied"));
    fake.fails = NULL;
    end(selinux);
}

static volatile sig_atomic_t reloads;

static void count_reload(int number)
{
    (void)number;
    reloads++;
}

/* The configuration may include files of the policy. */
static void a_loaded_policy_reloads_the_configuration(void)
{
    const struct sigaction action = {.sa_handler = count_reload};
    struct sigaction before;
    modules_begin();
    struct selinux *selinux = begin();
    sigaction(SIGHUP, &action, &before);
    CHECK_EQUAL(fake.loaded(1), 0);
    CHECK_EQUAL(reloads, 1);
    sigaction(SIGHUP, &before, NULL);
    end(selinux);
}

static void long_descriptions_are_left_out(void)
{
    char few[40];
    modules_begin();
    fake.allowed = 1;
    struct selinux *selinux = begin();
    const struct mediation_case c = case_of("u:r:one_t");
    CHECK(selinux_send(selinux, &c));
    struct {
        size_t size;
        char s[4096];
    } text = {.size = 60, .s = ""};
    fake.audit(&text, 7, few, sizeof(few));
    CHECK(!strcmp(few, "Buffer too small for audit message"));
    end(selinux);
}

static void what_does_not_begin_is_refused(void)
{
    static const struct {
        const char *fails, *why;
    } cases[] = {
        {"avc_open", "Failed to start Access Vector Cache (AVC): Permission denied"},
        {"avc_netlink_acquire_fd", "Cannot acquire AVC netlink fd: Permission denied"},
        {"getcon", "Error getting context of bus: Permission denied"},
        {"avc_context_to_sid", "Error getting SID from bus context: Permission denied"},
    };
    struct selinux *selinux, *other;
    char why[256];
    modules_begin();
    audit = audit_new(&fake_audit);
    for (size_t i = 0; i < CHECK_COUNT(cases); i++) {
        check_case = fake.fails = cases[i].fails;
        CHECK_EQUAL(selinux_new(&selinux, &fake_selinux, audit, why, sizeof(why)), -EACCES);
        CHECK(!strcmp(why, cases[i].why));
        CHECK_EQUAL(fake.opened, 0);
    }
    check_case = fake.fails = NULL;
    check_allocations = 0;
    CHECK_EQUAL(selinux_new(&selinux, &fake_selinux, audit, why, sizeof(why)), -ENOMEM);
    check_allocations = -1;
    audit_free(audit);
    selinux = begin();
    /* libselinux has one cache */
    CHECK_EQUAL(selinux_new(&other, &fake_selinux, audit, why, sizeof(why)), -EBUSY);
    end(selinux);
}

static bool explains(const struct selinux *selinux, bool allow, const char *subject, const char *object)
{
    const struct mediation_case c = case_of(subject);
    struct mediation_opinion opinion;
    CHECK_EQUAL(selinux_explain(selinux, &c, &opinion), 1);
    CHECK(!strcmp(opinion.module, "SELinux") && !strcmp(opinion.permission, "send_msg"));
    CHECK_SPAN(opinion.subject, subject);
    CHECK_SPAN(opinion.object, object);
    return CHECK_EQUAL(opinion.allow, allow);
}

/* The cache is not asked, as it would remember that a denial that is not enforced was recorded. */
static void people_are_told_without_a_record(void)
{
    modules_begin();
    fake.audit_fd = 100;
    struct selinux *selinux = begin();
    explains(selinux, false, "u:r:one_t", "u:r:two_t");
    CHECK(!strcmp(fake.source, "u:r:one_t") && !strcmp(fake.target, "u:r:two_t"));
    fake.permissive = true;
    explains(selinux, true, "u:r:one_t", "u:r:two_t");
    fake.permissive = false;
    fake.not_enforced = true;
    explains(selinux, true, "u:r:one_t", "u:r:two_t");
    fake.not_enforced = false;
    fake.allowed = 1;
    explains(selinux, true, "u:r:one_t", "u:r:two_t");
    fake.fails = "security_compute_av_flags";
    explains(selinux, false, "u:r:one_t", "u:r:two_t");
    fake.fails = NULL;
    fake.no_class = true;
    explains(selinux, false, "u:r:one_t", "u:r:two_t");
    fake.tolerant = true;
    explains(selinux, true, "u:r:one_t", "u:r:two_t");
    CHECK_EQUAL(fake.checks, 0);
    CHECK_EQUAL(fake.records, 0);
    end(selinux);
}

static void people_are_told_of_names(void)
{
    const struct mediation_end peer = {SPAN("u:r:one_t"), 11};
    struct mediation_opinion opinion;
    modules_begin();
    struct selinux *selinux = begin();
    CHECK_EQUAL(selinux_explain_own(selinux, &peer, SPAN("u:r:service_t"), &opinion), 1);
    CHECK(!opinion.allow && !strcmp(opinion.permission, "acquire_svc"));
    CHECK_SPAN(opinion.object, "u:r:service_t");
    CHECK_EQUAL(selinux_explain_own(selinux, &peer, SPAN("no context"), &opinion), 1);
    CHECK_SPAN(opinion.object, "u:r:bus_t"); /* as if there was none */
    const struct span assumed = {NULL, 0};
    struct mediation_case c = case_of("u:r:one_t");
    c.recipient = NULL;
    CHECK_EQUAL(selinux_explain(selinux, &c, &opinion), 1);
    CHECK_SPAN(opinion.object, "u:r:bus_t");
    c.assumed = &assumed;
    CHECK_EQUAL(selinux_explain(selinux, &c, &opinion), 0);
    end(selinux);
}

static bool passes(struct selinux *selinux)
{
    return selinux_passes(selinux, SPAN("u:r:one_t"), SPAN("u:r:two_t"));
}

/* What passes without the bus is remembered until the next change. */
static void what_passes_is_asked_once(void)
{
    modules_begin();
    struct selinux *selinux = begin();
    fake.allowed = 1;
    CHECK(passes(selinux) && passes(selinux));
    CHECK_EQUAL(fake.questions, 2); /* about the message, and about the kernel's delivery */
    CHECK(!strcmp(fake.source, "u:r:one_t") && !strcmp(fake.target, "u:r:two_t"));
    CHECK(selinux_passes(selinux, SPAN("u:r:two_t"), SPAN("u:r:one_t")));
    CHECK_EQUAL(fake.questions, 4);
    fake.allowed = 0;
    CHECK(passes(selinux));
    selinux_changed(selinux);
    CHECK(!passes(selinux) && !passes(selinux));
    CHECK_EQUAL(fake.questions, 5);
    CHECK(!selinux_passes(selinux, SPAN("no context"), SPAN("u:r:two_t")));
    CHECK(!selinux_passes(selinux, SPAN("u:r:one_t"), (struct span){0}));
    CHECK_EQUAL(fake.checks, 0);
    CHECK_EQUAL(fake.records + fake.lines, 0);
    end(selinux);
}

/* Each message of these would be recorded, or denied by the kernel. */
static void what_is_recorded_does_not_pass(void)
{
    modules_begin();
    struct selinux *selinux = begin();
    fake.permissive = fake.not_enforced = true;
    CHECK(!passes(selinux));
    fake.allowed = 1;
    selinux_changed(selinux);
    CHECK(passes(selinux));
    fake.recorded = "u:r:one_t";
    selinux_changed(selinux);
    CHECK(!passes(selinux));
    fake.recorded = NULL;
    fake.kernel_denies = true;
    selinux_changed(selinux);
    CHECK(!passes(selinux));
    fake.kernel_denies = false;
    fake.fails = "security_compute_av_flags";
    selinux_changed(selinux);
    CHECK(!passes(selinux));
    end(selinux);
}

static void what_the_policy_lacks_passes_if_nothing_is_said_of_it(void)
{
    modules_begin();
    struct selinux *selinux = begin();
    fake.allowed = 1;
    fake.no_sockets = true;
    CHECK(!passes(selinux));
    fake.tolerant = true;
    selinux_changed(selinux);
    CHECK(passes(selinux));
    fake.no_class = true;
    selinux_changed(selinux);
    CHECK(!passes(selinux));
    end(selinux);
}

static const struct check_test tests[] = {
    TEST(messages_are_checked),
    TEST(starts_are_not_checked),
    TEST(names_are_checked),
    TEST(labels_have_to_be_contexts),
    TEST(a_policy_decides_about_what_it_lacks),
    TEST(changes_are_recorded),
    TEST(a_loaded_policy_reloads_the_configuration),
    TEST(long_descriptions_are_left_out),
    TEST(what_does_not_begin_is_refused),
    TEST(people_are_told_without_a_record),
    TEST(people_are_told_of_names),
    TEST(what_passes_is_asked_once),
    TEST(what_is_recorded_does_not_pass),
    TEST(what_the_policy_lacks_passes_if_nothing_is_said_of_it),
};
CHECK_MAIN(tests)
