/* SPDX-License-Identifier: MIT */

/* When a data plane can be dumped, what is found in a state, and who owns its descriptors. */

#include "upgrade_fixture.h"

static void dump_waits_for_leaving_connections(void)
{
    struct plane p;
    int fd = memfd_create("omnibus-state", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    plane_open(&p);
    plane_connect(&p, 0);
    REQUIRE(upgrade_freeze(&p));
    CHECK_EQUAL(relay_disconnect(p.relay, 0), 0);
    CHECK_EQUAL(relay_commit(p.relay), 0);
    plane_event(&p, RELAY_EVENT_GONE);
    CHECK_EQUAL(upgrade_dump_to(&p, fd), EAGAIN);
    CHECK(p.event.body_size > 0);
    CHECK_EQUAL(relay_forget(p.relay, 0), 0);
    CHECK_EQUAL(relay_commit(p.relay), 0);
    CHECK_EQUAL(upgrade_dump_to(&p, fd), 0);
    close(fd);
    plane_close(&p);
}

static void dump_needs_a_frozen_bus(void)
{
    struct plane p;
    int fd = memfd_create("omnibus-state", MFD_CLOEXEC);
    plane_open(&p);
    CHECK_EQUAL(upgrade_dump_to(&p, fd), EINVAL);
    close(fd);
    plane_close(&p);
}

static void dump_reports_a_full_disk(void)
{
    struct plane p;
    int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
    plane_open(&p);
    REQUIRE(upgrade_freeze(&p));
    CHECK(upgrade_dump_to(&p, fd) > 0);
    close(fd);
    CHECK(upgrade_dump_to(&p, fd) == EBADF);
    plane_close(&p);
}

static void dump_without_memory_fails(void)
{
    struct plane p;
    int fd = memfd_create("omnibus-state", MFD_CLOEXEC);
    plane_open(&p);
    plane_connect(&p, 0);
    REQUIRE(upgrade_freeze(&p));
    upgrade_drain(&p);
    struct resume_bytes names = resume_names(&p.relay->bus);
    for (long i = 0, error = ENOMEM; error == ENOMEM && i < 100; i++) {
        CHECK_EQUAL(relay_dump(p.relay, fd, names.data, names.size), 0);
        check_allocations = i;
        CHECK_EQUAL(relay_commit(p.relay), 0);
        upgrade_take(&p, RELAY_EVENT_DUMPED);
        check_allocations = -1;
        error = (long)p.event.serial;
        CHECK(error == 0 || error == ENOMEM);
        CHECK(i > 0 || error == ENOMEM);
        upgrade_drain(&p);
    }
    free(names.data);
    close(fd);
    plane_close(&p);
}

static void sections_of_the_control_plane_are_found(void)
{
    struct plane p;
    struct upgrade_state state = {.fd = -1};
    const uint8_t *content;
    size_t size;
    plane_open(&p);
    REQUIRE(upgrade_freeze(&p) && upgrade_dump(&p, &state));
    CHECK_EQUAL(relay_state_section(state.bytes, state.size, RELAY_STATE_NAMES, &content, &size), 0);
    CHECK_EQUAL(size, 4);
    CHECK_EQUAL(relay_state_section(state.bytes, state.size, RELAY_STATE_CONTROL, &content, &size), -ENOENT);
    CHECK_EQUAL(relay_state_section(state.bytes, state.size, 1000, &content, &size), -ENOENT);
    CHECK_EQUAL(relay_state_section(state.bytes, 3, RELAY_STATE_NAMES, &content, &size), -EINVAL);
    upgrade_end(&state);
    plane_close(&p);
}

static void descriptors_are_listed(void)
{
    struct plane p;
    struct upgrade_state state = {.fd = -1};
    int fds[2] = {-1, -1};
    plane_open(&p);
    plane_connect(&p, 0);
    plane_connect(&p, 1);
    REQUIRE(upgrade_freeze(&p) && upgrade_dump(&p, &state));
    CHECK_EQUAL(relay_state_descriptors(state.bytes, state.size, fds, 1), 2);
    CHECK_EQUAL(fds[1], -1);
    CHECK_EQUAL(relay_state_descriptors(state.bytes, state.size, fds, 2), 2);
    CHECK_EQUAL(fds[0], bus_peer(&p.relay->bus, 0)->fd);
    CHECK_EQUAL(fds[1], bus_peer(&p.relay->bus, 1)->fd);
    CHECK_EQUAL(relay_state_descriptors(state.bytes, state.size - 1, fds, 2), -EINVAL);
    upgrade_end(&state);
    plane_close(&p);
}

static void only_a_sealed_memfd_is_mapped(void)
{
    const uint8_t *bytes;
    size_t size;
    int fd = memfd_create("omnibus-state", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    CHECK_EQUAL(relay_state_map(fd, &bytes, &size), -EPERM);
    CHECK_EQUAL(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE), 0);
    CHECK_EQUAL(relay_state_map(fd, &bytes, &size), -EPERM);
    CHECK_EQUAL(fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL), 0);
    CHECK_EQUAL(relay_state_map(fd, &bytes, &size), -EINVAL); /* it is empty */
    close(fd);
    CHECK_EQUAL(relay_state_map(fd, &bytes, &size), -EBADF);
    fd = memfd_create("omnibus-state", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    CHECK_EQUAL(write(fd, "OMNISTAT\1\0\0\0\1\0\0\0", 16), 16);
    CHECK_EQUAL(fcntl(fd, F_ADD_SEALS, UPGRADE_SEALS), 0);
    CHECK_EQUAL(relay_state_map(fd, &bytes, &size), -EINVAL); /* its section is missing */
    close(fd);
    fd = memfd_create("other", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    CHECK_EQUAL(fcntl(fd, F_ADD_SEALS, UPGRADE_SEALS), 0);
    CHECK_EQUAL(relay_state_map(fd, &bytes, &size), -EPERM);
    close(fd);
}

static void a_state_of_another_user_is_not_mapped(void)
{
    const uint8_t *bytes;
    size_t size;
    if (geteuid() != 0)
        return; /* only root can give a file away */
    int fd = memfd_create("omnibus-state", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    CHECK_EQUAL(fcntl(fd, F_ADD_SEALS, UPGRADE_SEALS), 0);
    CHECK_EQUAL(fchown(fd, 65534, 65534), 0);
    CHECK_EQUAL(relay_state_map(fd, &bytes, &size), -EPERM);
    close(fd);
}

/* A process that rehearses has no descriptor of the state. */
static void rehearsal_takes_nothing(void)
{
    struct plane p;
    struct upgrade_state state = {.fd = -1};
    char why[512];
    struct relay *other = NULL;
    plane_open(&p);
    struct client *a = plane_connect(&p, 0);
    REQUIRE(upgrade_freeze(&p) && upgrade_dump(&p, &state));
    CHECK_EQUAL(relay_restore(&other, state.bytes, state.size, true, why, sizeof(why)), 0);
    relay_free(other);
    upgrade_thaw(&p);
    client_sync(a);
    upgrade_end(&state);
    plane_close(&p);
}

static void descriptors_become_close_on_exec(void)
{
    struct plane p;
    struct upgrade_state state = {.fd = -1};
    plane_open(&p);
    plane_connect(&p, 0);
    REQUIRE(upgrade_freeze(&p) && upgrade_dump(&p, &state));
    int fd = bus_peer(&p.relay->bus, 0)->fd;
    CHECK_EQUAL(fcntl(fd, F_SETFD, 0), 0);
    upgrade_leave(&p);
    REQUIRE(upgrade_enter(&p, &state));
    CHECK_EQUAL(fcntl(fd, F_GETFD), FD_CLOEXEC);
    upgrade_end(&state);
    plane_close(&p);
}

static const struct check_test tests[] = {
    TEST(dump_waits_for_leaving_connections),
    TEST(dump_needs_a_frozen_bus),
    TEST(dump_reports_a_full_disk),
    TEST(dump_without_memory_fails),
    TEST(sections_of_the_control_plane_are_found),
    TEST(descriptors_are_listed),
    TEST(only_a_sealed_memfd_is_mapped),
    TEST(a_state_of_another_user_is_not_mapped),
    TEST(rehearsal_takes_nothing),
    TEST(descriptors_become_close_on_exec),
};

CHECK_MAIN(tests)
