/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* pipe2 */
#include "bus_fixture.h"
#include "fake_modules.h"

#include "../../transport/relay/mediation/mediation.h"
#include "../../transport/relay/route/input.h"
#include "../../transport/relay/route/names_fast.h"
#include "../../transport/relay/route/route.h"
#include "../../transport/relay/send/mediate.h"

#include <fcntl.h>

#define SENDER 1
#define RECEIVER 2

static const char *labels_before[PEERS]; /* which the peers free */
static char label_of_sender[] = "one (enforce)", label_of_receiver[] = "two (enforce)";

static int announces; /* what SELinux's changes make readable; 0: nothing */

/* A bus whose policy allows all, mediated by a module of fake_modules.h. */
static void open_mediated(struct bus_fixture *f, uint32_t module)
{
    static const uint32_t uids[PEERS] = {0};
    char why[256];
    modules_begin();
    fake.netlink = announces;
    bus_fixture_open(f, uids);
    struct mediation *mediation;
    CHECK_EQUAL(mediation_new(&mediation, 0, "system", why, sizeof(why)), 0);
    if (module == MEDIATION_APPARMOR)
        CHECK_EQUAL(apparmor_new(&mediation->apparmor, &fake_apparmor, "/dev/null", mediation->bus_type,
                                 mediation->audit, why, sizeof(why)),
                    0);
    else
        CHECK_EQUAL(selinux_new(&mediation->selinux, &fake_selinux, mediation->audit, why, sizeof(why)), 0);
    CHECK_EQUAL(mediation_modules(mediation), module);
    mediate_with(&f->bus, mediation);
    for (uint32_t i = 0; i < PEERS; i++) {
        struct relay_credentials *who = &f->peers[i]->credentials;
        labels_before[i] = who->label;
        who->label = i == SENDER ? label_of_sender : label_of_receiver;
        who->label_size = (uint32_t)strlen(who->label);
        who->pid = 10 + i;
        who->privileged = true;
    }
}

static void close_mediated(struct bus_fixture *f)
{
    for (uint32_t i = 0; i < PEERS; i++)
        f->peers[i]->credentials.label = labels_before[i];
    int netlink = f->bus.mediation->selinux ? selinux_watched(f->bus.mediation->selinux) : -1;
    bus_fixture_close(f);
    if (netlink >= 0)
        close(netlink);
}

static const struct message call = {
    .type = MESSAGE_METHOD_CALL,
    .path = {"/a", 2},
    .interface = {"i.f", 3},
    .member = {"M", 1},
    .destination = {"a.b", 3},
};

static struct policy_case case_of(struct bus_fixture *f)
{
    return (struct policy_case){.m = &call, .sender = f->peers[SENDER], .recipient = f->peers[RECEIVER]};
}

static void apparmor_denies_a_message(void)
{
    struct bus_fixture f;
    struct denial denial;
    open_mediated(&f, MEDIATION_APPARMOR);
    const struct policy_case c = case_of(&f);
    CHECK(!judge(&f.bus, &c, &denial));
    CHECK(!strcmp(denial.name, ERROR_ACCESS_DENIED));
    CHECK(!strcmp(denial.text,
                  "An AppArmor policy prevents this sender from sending this message to this recipient; "
                  "type=\"method_call\", sender=\":1.1\" (test) interface=\"i.f\" member=\"M\" error "
                  "name=\"(unset)\" requested_reply=\"0\" destination=\"a.b\" (test)"));
    CHECK(!judge(&f.bus, &c, NULL)); /* no error is sent for a broadcast */
    CHECK_EQUAL(fake.questions, 4);
    close_mediated(&f);
}

static void what_apparmor_allows_the_policy_may_deny(void)
{
    struct bus_fixture f;
    struct denial denial;
    open_mediated(&f, MEDIATION_APPARMOR);
    fake.allowed = 1;
    const struct policy_case c = case_of(&f);
    CHECK(mediate(&f.bus, &c, &denial));
    CHECK(!judge(&f.bus, &c, &denial));
    CHECK(strstr(denial.text, "Rejected send message, 0 matched rules; "));
    close_mediated(&f);
}

static void selinux_denies_a_message(void)
{
    struct bus_fixture f;
    struct denial denial;
    open_mediated(&f, MEDIATION_SELINUX);
    struct policy_case c = case_of(&f);
    c.requested_reply = true;
    f.peers[RECEIVER]->credentials.label = "two";
    f.peers[RECEIVER]->credentials.label_size = 3;
    f.peers[SENDER]->credentials.label = "one";
    f.peers[SENDER]->credentials.label_size = 3;
    CHECK(!judge(&f.bus, &c, &denial));
    CHECK(strstr(denial.text, "An SELinux policy prevents this sender from sending this message to this "
                              "recipient, 0 matched rules; type=\"method_call\", "));
    CHECK(strstr(denial.text, "requested_reply=\"0\""));
    fake.allowed = 1;
    CHECK(mediate(&f.bus, &c, &denial));
    close_mediated(&f);
}

static void errors_have_the_names_of_the_reference(void)
{
    static const struct {
        int error;
        const char *name;
    } cases[] = {
        {ENOENT, "org.freedesktop.DBus.Error.FileNotFound"},
        {EACCES, ERROR_ACCESS_DENIED},
        {ENOMEM, ERROR_NO_MEMORY},
        {EMFILE, ERROR_LIMITS_EXCEEDED},
        {EPROTO, ERROR_FAILED},
    };
    struct bus_fixture f;
    struct denial denial;
    open_mediated(&f, MEDIATION_APPARMOR);
    const struct policy_case c = case_of(&f);
    for (size_t i = 0; i < CHECK_COUNT(cases); i++) {
        fake.error = cases[i].error;
        CHECK(!mediate(&f.bus, &c, &denial));
        CHECK(!strcmp(denial.name, cases[i].name));
        CHECK(strstr(denial.text, "Failed to query AppArmor policy: "));
        CHECK(!mediate_own(&f.bus, f.peers[SENDER], SPAN("a.b"), &denial));
        CHECK(!strcmp(denial.name, cases[i].name));
        CHECK(!mediate_eavesdrop(&f.bus, f.peers[SENDER], &denial));
        CHECK(!strcmp(denial.name, cases[i].name));
    }
    close_mediated(&f);
}

static void the_bus_itself_is_not_mediated(void)
{
    struct bus_fixture f;
    open_mediated(&f, MEDIATION_APPARMOR);
    struct policy_case c = case_of(&f);
    c.sender = NULL;
    CHECK(mediate(&f.bus, &c, NULL));
    const struct message unknown = {.type = 9, .destination = {"a.b", 3}};
    c = case_of(&f);
    c.m = &unknown; /* it is refused whatever a module says */
    CHECK(mediate(&f.bus, &c, NULL));
    CHECK_EQUAL(fake.questions, 0);
    close_mediated(&f);
}

static void a_start_is_asked_about_without_a_record(void)
{
    static const uint8_t labels[] = "a.b\0service\0z.y\0other";
    struct bus_fixture f;
    open_mediated(&f, MEDIATION_APPARMOR);
    struct policy_case c = case_of(&f);
    c.recipient = NULL;
    CHECK_EQUAL(mediation_set_texts(&f.bus.mediation->labels, labels, sizeof(labels)), 0);
    CHECK(mediate_outcome(&f.bus, &c) & POLICY_DENIED);
    CHECK_EQUAL(fake.lines, 0);
    CHECK(memcmp(fake.question + 6, "one\0\x20system\0a.b\0service\0", 23) == 0);
    CHECK(judge_outcome(&f.bus, &c) & POLICY_DENIED);
    fake.allowed = 1;
    mediation_changed(f.bus.mediation);
    CHECK_EQUAL(mediate_outcome(&f.bus, &c), POLICY_ALLOWED | POLICY_LOGGED);
    close_mediated(&f);
    open_mediated(&f, MEDIATION_SELINUX);
    c = case_of(&f);
    c.recipient = NULL;
    CHECK_EQUAL(mediate_outcome(&f.bus, &c), POLICY_ALLOWED);
    CHECK(mediate_eavesdrop(&f.bus, f.peers[SENDER], NULL)); /* SELinux has no such permission */
    close_mediated(&f);
}

static void names_are_denied(void)
{
    static const uint8_t contexts[] = "a.b\0service";
    struct bus_fixture f;
    struct denial denial;
    open_mediated(&f, MEDIATION_APPARMOR);
    CHECK(!mediate_own(&f.bus, f.peers[SENDER], SPAN("a.b"), &denial));
    CHECK(!strcmp(denial.text,
                  "Connection \":1.1\" is not allowed to own the service \"a.b\" due to AppArmor policy"));
    CHECK(!mediate_eavesdrop(&f.bus, f.peers[SENDER], &denial));
    CHECK(!strcmp(denial.text, "Connection \":1.1\" is not allowed to eavesdrop due to AppArmor policy"));
    close_mediated(&f);
    open_mediated(&f, MEDIATION_SELINUX);
    f.peers[SENDER]->credentials.label_size = 3; /* "one" */
    CHECK_EQUAL(mediation_set_texts(&f.bus.mediation->contexts, contexts, sizeof(contexts)), 0);
    CHECK(!mediate_own(&f.bus, f.peers[SENDER], SPAN("a.b"), &denial));
    CHECK(!strcmp(fake.target, "service"));
    CHECK(!strcmp(denial.text,
                  "Connection \":1.1\" is not allowed to own the service \"a.b\" due to SELinux policy"));
    fake.allowed = 1;
    CHECK(mediate_own(&f.bus, f.peers[SENDER], SPAN("c.d"), &denial));
    CHECK(!strcmp(fake.target, "u:r:bus_t"));
    close_mediated(&f);
}

static void a_label_has_to_be_known(void)
{
    struct bus_fixture f;
    open_mediated(&f, MEDIATION_APPARMOR);
    CHECK(mediate_knows(&f.bus, f.peers[SENDER]));
    f.peers[SENDER]->credentials.label_size = 0;
    CHECK(!mediate_knows(&f.bus, f.peers[SENDER]));
    close_mediated(&f);
}

/* A kernel whose announcements can't be waited for. */
static void nothing_is_remembered_that_would_never_be_forgotten(void)
{
    struct bus_fixture f;
    open_mediated(&f, MEDIATION_APPARMOR); /* epoll refuses the file of that test */
    fake.allowed = 1;
    const struct policy_case c = case_of(&f);
    CHECK_EQUAL(apparmor_watched(f.bus.mediation->apparmor), -1);
    CHECK(mediate(&f.bus, &c, NULL) && mediate(&f.bus, &c, NULL));
    CHECK_EQUAL(fake.questions, 4);
    close_mediated(&f);
}

/*
 * What was announced before a message was sent is in force for it, also if both come after the events of this
 * wake-up.
 */
static void an_announcement_is_read_before_what_was_sent_after_it(void)
{
    struct bus_fixture f;
    int announced[2];
    char byte;
    CHECK_EQUAL(pipe2(announced, O_CLOEXEC | O_NONBLOCK), 0);
    announces = announced[0];
    open_mediated(&f, MEDIATION_SELINUX);
    CHECK_EQUAL(write(announced[1], "x", 1), 1);
    CHECK_EQUAL(write(f.ends[SENDER], "l", 1), 1); /* the beginning of a message */
    input_read(&f.bus, f.peers[SENDER]);
    CHECK_EQUAL(f.bus.totals.bytes_in, 1);
    CHECK_EQUAL(read(announced[0], &byte, 1), -1);
    close_mediated(&f);
    close(announced[1]);
    announces = 0;
}

static void texts_are_found_by_name(void)
{
    static const uint8_t body[] = "b\0two\0a\0one\0ab\0three";
    struct mediation_texts *texts = calloc(1, sizeof(*texts));
    CHECK_EQUAL(mediation_set_texts(texts, body, sizeof(body)), 0);
    CHECK_SPAN(mediation_text(texts, SPAN("a")), "one");
    CHECK_SPAN(mediation_text(texts, SPAN("ab")), "three");
    CHECK_SPAN(mediation_text(texts, SPAN("b")), "two");
    CHECK(!mediation_text(texts, SPAN("abc")).s && !mediation_text(texts, SPAN("")).s);
    CHECK_EQUAL(mediation_set_texts(texts, body, sizeof(body) - 1), -EINVAL); /* no NUL at the end */
    CHECK_EQUAL(mediation_set_texts(texts, body, 2), -EINVAL);                /* a name without text */
    for (long n = 0; n < 2; n++) {
        check_allocations = n;
        CHECK_EQUAL(mediation_set_texts(texts, body, sizeof(body)), -ENOMEM);
        check_allocations = -1;
    }
    CHECK_EQUAL(texts->n, 3);
    CHECK_EQUAL(mediation_set_texts(texts, body, 0), 0);
    CHECK(!mediation_text(texts, SPAN("a")).s);
    mediation_texts_free(texts);
}

static void people_are_told_what_both_modules_say(void)
{
    static const uint8_t contexts[] = "a.b\0service";
    struct mediation_opinion opinions[MEDIATION_OPINIONS];
    struct bus_fixture f;
    open_mediated(&f, MEDIATION_APPARMOR);
    struct mediation *mediation = f.bus.mediation;
    char why[256];
    CHECK_EQUAL(selinux_new(&mediation->selinux, &fake_selinux, mediation->audit, why, sizeof(why)), 0);
    CHECK_EQUAL(mediation_set_texts(&mediation->contexts, contexts, sizeof(contexts)), 0);
    struct policy_case c = case_of(&f);
    CHECK_EQUAL(mediate_explain(&f.bus, &c, (struct span){0}, opinions), 3);
    CHECK(!strcmp(opinions[0].module, "SELinux") && !strcmp(opinions[1].module, "AppArmor"));
    CHECK_EQUAL(mediate_explain(&f.bus, &c, SPAN("a.b"), opinions), 2);
    CHECK_SPAN(opinions[0].object, "service");
    CHECK(!strcmp(opinions[1].permission, "bind"));
    c.sender = NULL;
    CHECK_EQUAL(mediate_explain(&f.bus, &c, (struct span){0}, opinions), 0);
    close_mediated(&f);
}

static void mediation_needs_memory(void)
{
    struct mediation *mediation;
    char why[256];
    for (long n = 0; n < 2; n++) {
        check_allocations = n;
        CHECK_EQUAL(mediation_new(&mediation, 0, "system", why, sizeof(why)), -ENOMEM);
        check_allocations = -1;
        CHECK(!strcmp(why, strerror(ENOMEM)));
    }
    CHECK_EQUAL(mediation_modules(NULL), 0);
}

static const struct check_test tests[] = {
    TEST(apparmor_denies_a_message),
    TEST(what_apparmor_allows_the_policy_may_deny),
    TEST(selinux_denies_a_message),
    TEST(errors_have_the_names_of_the_reference),
    TEST(the_bus_itself_is_not_mediated),
    TEST(a_start_is_asked_about_without_a_record),
    TEST(names_are_denied),
    TEST(a_label_has_to_be_known),
    TEST(nothing_is_remembered_that_would_never_be_forgotten),
    TEST(an_announcement_is_read_before_what_was_sent_after_it),
    TEST(texts_are_found_by_name),
    TEST(people_are_told_what_both_modules_say),
    TEST(mediation_needs_memory),
};
CHECK_MAIN(tests)
