/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* pipe2, dup3 */
#include "fake_plane.h"

#include "fake_modules.h"

#include "../../transport/relay/api/command.h"
#include "../../transport/relay/api/relay_internal.h"
#include "../../transport/relay/send/mediate.h"
#include "../../transport/relay/wire/wire.h"

#include <fcntl.h>

static int announced[2]; /* a pipe: what SELinux announces */

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
    if (modules & MEDIATION_SELINUX) {
        CHECK_EQUAL(pipe2(announced, O_CLOEXEC | O_NONBLOCK), 0);
        fake.netlink = announced[0];
        CHECK_EQUAL(selinux_new(&mediation->selinux, &fake_selinux, mediation->audit, why, sizeof(why)), 0);
    }
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

/* A plane with the group, and SELinux. */
static void open_enforcing(struct plane *p, bool named)
{
    fake_prepare(p);
    fake_group.named = named;
    CHECK_EQUAL(relay_set_group(p->relay, fake_group.fd, FAKE_MEMBERS, true), 0);
    CHECK_EQUAL(mediate_with(&p->relay->bus, made(MEDIATION_SELINUX)), 0);
    CHECK_EQUAL(fake_group.watched, announced[0]);
    fake_start(p);
}

static void close_enforcing(struct plane *p)
{
    plane_close(p);
    close(announced[0]);
    close(announced[1]);
}

static uint64_t accepted(const char *receiver, uint32_t topic)
{
    return fake_group.accepts[fake_look(fake_owner(receiver)).class_id][topic];
}

static uint64_t class_of(const char *name)
{
    struct fake_member member = fake_look(fake_owner(name));
    return member.classed ? UINT64_C(1) << member.class_id : 0;
}

/* What is recorded, though it is allowed, has to pass through the bus. */
static void a_context_is_part_of_a_class(void)
{
    if (WIRE_HOST_BIG_ENDIAN)
        SKIP("the clients' messages are little-endian, and only those in the host's order have classes");
    struct plane p;
    open_enforcing(&p, true);
    fake.recorded = "u:r:two_t";
    struct client *a = enter_labelled(&p, 0, "u:r:one_t"), *b = enter_labelled(&p, 1, "u:r:two_t");
    struct client *c = enter_labelled(&p, 2, "u:r:one_t");
    REQUIRE(meet(a, ":1.0", b, ":1.1") && meet(c, ":1.2", b, ":1.1"));
    CHECK_EQUAL(fake_calls(UMC_ADD), 3);
    CHECK(class_of(":1.0") != 0 && class_of(":1.1") != 0 && class_of(":1.0") != class_of(":1.1"));
    CHECK_EQUAL(class_of(":1.0"), class_of(":1.2"));
    for (uint32_t topic = 0; topic < UMC_TOPICS; topic++) {
        CHECK_EQUAL(accepted(":1.0", topic), class_of(":1.0"));
        CHECK_EQUAL(accepted(":1.1", topic), class_of(":1.0"));
    }
    close_enforcing(&p);
}

static void flows_are_learned_where_all_passes(void)
{
    struct plane p;
    open_enforcing(&p, false);
    fake.recorded = "u:r:two_t";
    struct client *a = enter_labelled(&p, 0, "u:r:one_t"), *b = enter_labelled(&p, 1, "u:r:two_t");
    for (uint32_t i = 0; i < 3 * GROUP_PEER_MISSES; i++) {
        REQUIRE(meet(a, ":1.0", b, ":1.1"));
        REQUIRE(meet(b, ":1.1", a, ":1.0"));
    }
    while (fake_look(0).accepted && !fake_look(0).egress && !fake_look(1).egress)
        REQUIRE(client_sync(a));
    CHECK_EQUAL(fake_look(0).egress + fake_look(1).egress, 1);
    CHECK(p.relay->bus.group->peers[fake_look(0).egress ? 0 : 1]->peer->id == 0);
    close_enforcing(&p);
}

/* From here on poll(2) on the group tells of a stop, by a byte out of band. */
static int make_stoppable(void)
{
    int ends[2];
    CHECK_EQUAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
    CHECK(dup3(ends[0], fake_group.fd, O_CLOEXEC) >= 0);
    close(ends[0]);
    fake_group.stoppable = true;
    return ends[1];
}

static bool stop(int other_end)
{
    return CHECK_EQUAL(write(announced[1], "x", 1), 1) && CHECK_EQUAL(send(other_end, "", 1, MSG_OOB), 1);
}

/* The kernel stops the group, which goes on when what it rested on is taken back. */
static void another_policy_is_asked_anew(void)
{
    if (WIRE_HOST_BIG_ENDIAN)
        SKIP("the clients' messages are little-endian, and only those in the host's order have classes");
    struct plane p;
    fake_prepare(&p);
    int other_end = make_stoppable();
    fake_group.named = true;
    CHECK_EQUAL(relay_set_group(p.relay, fake_group.fd, FAKE_MEMBERS, true), 0);
    CHECK_EQUAL(mediate_with(&p.relay->bus, made(MEDIATION_SELINUX)), 0);
    fake_start(&p);
    struct client *a = enter_labelled(&p, 0, "u:r:one_t"), *b = enter_labelled(&p, 1, "u:r:two_t");
    REQUIRE(meet(a, ":1.0", b, ":1.1"));
    CHECK_EQUAL(accepted(":1.1", 0), class_of(":1.0") | class_of(":1.1"));
    uint32_t before = fake_calls(UMC_REVOKE);
    fake.recorded = "u:r:one_t";
    REQUIRE(stop(other_end));
    while (fake_is_readable(fake_group.fd, POLLPRI))
        REQUIRE(client_sync(a));
    CHECK(fake_calls(UMC_REVOKE) > before);
    CHECK(!fake_is_readable(announced[0], POLLIN));
    REQUIRE(meet(a, ":1.0", b, ":1.1"));
    CHECK_EQUAL(accepted(":1.1", 0), class_of(":1.1"));
    close_enforcing(&p);
    close(other_end);
}

/* The group does not go on, and the bus does not try for ever. */
static void a_policy_that_cannot_be_read_ends_the_group(void)
{
    struct plane p;
    fake_prepare(&p);
    int other_end = make_stoppable();
    CHECK_EQUAL(relay_set_group(p.relay, fake_group.fd, FAKE_MEMBERS, true), 0);
    CHECK_EQUAL(mediate_with(&p.relay->bus, made(MEDIATION_SELINUX)), 0);
    fake_start(&p);
    struct client *a = enter_labelled(&p, 0, "u:r:one_t"), *b = enter_labelled(&p, 1, "u:r:two_t");
    REQUIRE(meet(a, ":1.0", b, ":1.1"));
    uint32_t before = fake_calls(UMC_REVOKE);
    fake.fails = "avc_netlink_check_nb";
    REQUIRE(stop(other_end));
    while (fake_calls(UMC_REVOKE) <= before + GROUP_UNREAD_MAX)
        REQUIRE(client_sync(a));
    REQUIRE(meet(a, ":1.0", b, ":1.1"));
    CHECK(!p.relay->bus.group);
    CHECK_EQUAL(fake_calls(UMC_REVOKE), before + GROUP_UNREAD_MAX + 1);
    close_enforcing(&p);
    close(other_end);
}

/* A module of another version does not watch. */
static void selinux_needs_a_group_that_it_can_stop(void)
{
    struct plane p;
    fake_prepare(&p);
    CHECK_EQUAL(relay_set_group(p.relay, fake_group.fd, FAKE_MEMBERS, true), 0);
    fake_fail(UMC_WATCH, ENOTTY, 0, 1);
    mediate_with(&p.relay->bus, made(MEDIATION_SELINUX | MEDIATION_APPARMOR));
    CHECK(!p.relay->bus.group);
    fake_start(&p);
    close_enforcing(&p);
    fake_prepare(&p);
    mediate_with(&p.relay->bus, made(MEDIATION_SELINUX | MEDIATION_APPARMOR));
    fake_fail(UMC_WATCH, ENOTTY, 0, 1);
    CHECK_EQUAL(relay_set_group(p.relay, fake_group.fd, FAKE_MEMBERS, true), -ENOTTY);
    CHECK(!p.relay->bus.group);
    fake_start(&p);
    close_enforcing(&p);
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
    TEST(a_context_is_part_of_a_class),
    TEST(flows_are_learned_where_all_passes),
    TEST(another_policy_is_asked_anew),
    TEST(a_policy_that_cannot_be_read_ends_the_group),
    TEST(selinux_needs_a_group_that_it_can_stop),
    TEST(members_are_not_left_unmediated),
};
CHECK_MAIN(tests)
