/* SPDX-License-Identifier: MIT */
#include "fake_plane.h"

#include "fake_modules.h"

#include "../../transport/relay/api/command.h"
#include "../../transport/relay/api/relay_internal.h"
#include "../../transport/relay/send/mediate.h"

static struct mediation *made(uint32_t modules)
{
    struct mediation *mediation;
    char why[256];
    modules_begin();
    fake.allowed = 1;
    CHECK_EQUAL(mediation_new(&mediation, 0, "session", why, sizeof(why)), 0);
    if (modules & MEDIATION_APPARMOR)
        CHECK_EQUAL(apparmor_new(&mediation->apparmor, &fake_apparmor, "/proc/self/mounts",
                                 mediation->bus_type, mediation->audit, why, sizeof(why)),
                    0);
    if (modules & MEDIATION_SELINUX)
        CHECK_EQUAL(selinux_new(&mediation->selinux, &fake_selinux, mediation->audit, why, sizeof(why)), 0);
    return mediation;
}

static struct client *enter_labelled(struct plane *p, uint64_t id, const char *label)
{
    int ends[2];
    struct client *c = &p->clients[id];
    CHECK_EQUAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    const struct relay_credentials credentials = {
        .uid = 0, .loginfo = "uid=0", .label = label, .label_size = (uint32_t)strlen(label)};
    *c = (struct client){.fd = ends[0]};
    CHECK_EQUAL(relay_attach(p->relay, id, ends[1], p->listener, clock_now(), &credentials, NULL, 0, NULL, 0),
                0);
    CHECK_EQUAL(relay_commit(p->relay), 0);
    return greet(p, id);
}

/* AppArmor is asked about each message of the others, or for one of them. */
static void unconfined_clients_are_members(void)
{
    struct plane p;
    fake_prepare(&p);
    CHECK_EQUAL(relay_set_group(p.relay, fake_group.fd, FAKE_MEMBERS, true), 0);
    CHECK_EQUAL(mediate_with(&p.relay->bus, made(MEDIATION_APPARMOR)), 0);
    fake_start(&p);
    struct client *a = enter_labelled(&p, 0, "unconfined"), *b = enter_labelled(&p, 1, "x (unconfined)");
    struct client *c = enter_labelled(&p, 2, "one (enforce)"), *d = enter_labelled(&p, 3, "two (complain)");
    REQUIRE(meet(c, ":1.2", d, ":1.3"));
    CHECK_EQUAL(fake_calls(UMC_ADD), 0);
    REQUIRE(meet(a, ":1.0", b, ":1.1"));
    CHECK_EQUAL(fake_calls(UMC_ADD), 2);
    REQUIRE(meet(a, ":1.0", c, ":1.2") && meet(c, ":1.2", b, ":1.1"));
    client_match(c, RULE);
    hears(a, c, ":1.0");
    CHECK_EQUAL(fake_calls(UMC_ADD), 2);
    CHECK(!fake_look(0).dead);
    plane_close(&p);
}

static void selinux_ends_the_group(void)
{
    struct plane p;
    fake_prepare(&p);
    CHECK_EQUAL(relay_set_group(p.relay, fake_group.fd, FAKE_MEMBERS, true), 0);
    struct mediation *mediation = made(MEDIATION_SELINUX | MEDIATION_APPARMOR);
    int netlink = selinux_watched(mediation->selinux);
    mediate_with(&p.relay->bus, mediation);
    CHECK(!p.relay->bus.group);
    fake_start(&p);
    plane_close(&p);
    close(netlink);
}

/* Of a bus that was taken over: its clients are members when the control plane finds a module. */
static void members_are_not_left_unmediated(void)
{
    struct plane p;
    fake_open(&p);
    struct client *a = enter(&p, 0), *b = enter(&p, 1);
    REQUIRE(meet(a, ":1.0", b, ":1.1"));
    CHECK_EQUAL(fake_calls(UMC_ADD), 2);
    struct command *command = command_new(COMMAND_MEDIATE, 0, NULL, NULL, 0);
    REQUIRE(command);
    command->mediation = made(MEDIATION_APPARMOR);
    CHECK_EQUAL(relay_push(p.relay, command), 0);
    relay_export(p.relay, RELAY_EXPORT_TOTALS, NULL, 0);
    CHECK_EQUAL(relay_commit(p.relay), 0);
    REQUIRE(awaits(&p, RELAY_EVENT_EXPORT));
    CHECK(!p.relay->bus.group);
    plane_close(&p);
}

static const struct check_test tests[] = {
    TEST(unconfined_clients_are_members),
    TEST(selinux_ends_the_group),
    TEST(members_are_not_left_unmediated),
};
CHECK_MAIN(tests)
