// SPDX-License-Identifier: GPL-2.0
/* Groups and membership: create, add, leave, close. */

#include "umc.h"

TEST(version_is_reported, SMOKE)
{
	uint32_t version = 0;
	int device = device_open();

	CHECK(!ioctl(device, UMC_GET_VERSION, &version));
	EQUAL(version, UMC_VERSION);
}

TEST(create_refuses_unknown_arguments, SMOKE)
{
	const struct umc_create good = {
		.version = UMC_VERSION, .max_members = 8, .max_pending = 8, .address_fd = -1,
	};
	struct umc_create create;
	int device = device_open();

	create = good;
	create.version = UMC_VERSION + 1;
	FAILS(ioctl(device, UMC_CREATE, &create), EPROTONOSUPPORT);
	create = good;
	create.flags = 0x80000000;
	FAILS(ioctl(device, UMC_CREATE, &create), EINVAL);
	create = good;
	create.mode = 3;
	FAILS(ioctl(device, UMC_CREATE, &create), EINVAL);
	create = good;
	create.reserved = 1;
	FAILS(ioctl(device, UMC_CREATE, &create), EINVAL);
	create = good;
	create.max_members = 0;
	FAILS(ioctl(device, UMC_CREATE, &create), EINVAL);
	create = good;
	create.max_members = UMC_MAX_MEMBERS + 1;
	FAILS(ioctl(device, UMC_CREATE, &create), EINVAL);
	FAILS(ioctl(device, UMC_CREATE, NULL), EFAULT);
	FAILS(ioctl(device, _IO(UMC_IOC, 0x7f), NULL), ENOTTY);
	CHECK(ioctl(device, UMC_CREATE, &good) >= 0);
}

TEST(calls_refuse_unknown_flags, SMOKE | EACH_TYPE)
{
	struct bus *bus = bus_new(2);
	struct umc_add add = {
		.listener_fd = bus->listener, .accepted_fd = bus->client[0].daemon, .index = 9, .flags = 2,
	};
	struct umc_index index = { .index = 0, .flags = 1 };
	struct umc_filter filter = { .index = 0, .prog_type = 1 };
	struct umc_stamp stamp = { .flags = 2 };
	struct umc_write call_write = { .flags = 1 };
	struct umc_gate call_gate = { .flags = 1 };
	struct umc_pending_list list = { .flags = 1 };
	struct umc_stats stats = { .flags = 1 };

	FAILS(ioctl(bus->group, UMC_ADD, &add), EINVAL);
	FAILS(ioctl(bus->group, UMC_REMOVE, &index), EINVAL);
	FAILS(ioctl(bus->group, UMC_FORGET, &index), EINVAL);
	FAILS(ioctl(bus->group, UMC_SET_FILTER, &filter), EINVAL);
	filter = (struct umc_filter){ .prog_fd = 3 };
	FAILS(ioctl(bus->group, UMC_SET_FILTER, &filter), EINVAL);
	filter = (struct umc_filter){ .flags = 1 };
	FAILS(ioctl(bus->group, UMC_SET_FILTER, &filter), EINVAL);
	filter = (struct umc_filter){ .which = 3 };
	FAILS(ioctl(bus->group, UMC_SET_FILTER, &filter), EINVAL);
	FAILS(ioctl(bus->group, UMC_SET_STAMP, &stamp), EINVAL);
	FAILS(ioctl(bus->group, UMC_WRITE, &call_write), EINVAL);
	call_write = (struct umc_write){ .reserved = 1 };
	FAILS(ioctl(bus->group, UMC_WRITE, &call_write), EINVAL);
	FAILS(ioctl(bus->group, UMC_GATE, &call_gate), EINVAL);
	FAILS(ioctl(bus->group, UMC_PENDING_LIST, &list), EINVAL);
	FAILS(ioctl(bus->group, UMC_GET_STATS, &stats), EINVAL);
	FAILS(ioctl(bus->group, _IO(UMC_IOC, 0x7f), NULL), ENOTTY);
	FAILS(ioctl(bus->group, UMC_ADD, NULL), EFAULT);
	bus_free(bus);
}

TEST(unicast_goes_directly, SMOKE | EACH_TYPE)
{
	struct bus *bus = bus_new(3);

	EQUAL(send_to(&bus->client[0], TO(1), 1), MINIMUM);
	expect(bus->client[1].fd, 1);
	expect_nothing(bus->client[0].daemon);
	expect_nothing(bus->client[2].fd);
	EQUAL(stats_of(bus, 0).direct, 1);
	EQUAL(stats_of(bus, 1).received, 1);
	bus_free(bus);
}

TEST(ask_reaches_the_daemon_unchanged, SMOKE | EACH_TYPE)
{
	struct bus *bus = bus_new(2);

	EQUAL(send_sized(&bus->client[0], UMC_ASK, 7, 5000), 5000);
	expect(bus->client[0].daemon, 7);
	expect_nothing(bus->client[1].fd);
	EQUAL(asked(bus, 0, UMC_ASKED_VERDICT), 1);
	bus_free(bus);
}

TEST(wake_up_by_epoll_and_hang_up, EACH_TYPE)
{
	struct bus *bus = bus_new(2);
	struct pollfd poll_fd = { .fd = bus->client[1].fd, .events = POLLIN | POLLRDHUP };

	EQUAL(poll(&poll_fd, 1, 0), 0);
	send_to(&bus->client[0], TO(1), 1);
	EQUAL(poll(&poll_fd, 1, 1000), 1);
	EQUAL(poll_fd.revents, POLLIN);
	expect(bus->client[1].fd, 1);
	close(bus->client[1].daemon);
	bus->client[1].daemon = -1;
	EQUAL(poll(&poll_fd, 1, 1000), 1);
	CHECK(poll_fd.revents & POLLHUP);
	bus_free(bus);
}

TEST(index_is_used_once, EACH_TYPE)
{
	struct bus *bus = bus_new(1);
	struct client other = { -1, -1, 0 };

	client_connect(bus, &other);
	FAILS(client_add(bus, &other, 0), EEXIST);
	FAILS(client_add(bus, &other, 64), EINVAL);
	CHECK(!client_add(bus, &other, 63));
	FAILS(client_add(bus, &bus->client[0], 5), EBUSY);
	client_close(&other);
	bus_free(bus);
}

TEST(removed_member_is_an_ordinary_socket, SMOKE | EACH_TYPE)
{
	struct bus *bus = bus_new(2);

	CHECK(!remove_member(bus, 0));
	send_to(&bus->client[0], TO(1), 1);
	expect(bus->client[0].daemon, 1);
	expect_nothing(bus->client[1].fd);
	EQUAL(state_of(bus, 0), UMC_STATE_DEAD);
	CHECK(!remove_member(bus, 0));
	FAILS(remove_member(bus, 9), ENOENT);
	EQUAL(release(bus, 0), -ENOENT);
	EQUAL(daemon_send(bus, 0, 1), -ENOENT);
	bus_free(bus);
}

TEST(a_socket_can_be_added_again, EACH_TYPE)
{
	struct bus *bus = bus_new(2);

	CHECK(!remove_member(bus, 0));
	FAILS(client_add(bus, &bus->client[0], 0), EEXIST);
	CHECK(!forget(bus, 0));
	CHECK(!client_add(bus, &bus->client[0], 0));
	set_standard_filters(bus);
	release_all(bus);
	send_to(&bus->client[0], TO(1), 3);
	expect(bus->client[1].fd, 3);
	bus_free(bus);
}

TEST(closed_group_loses_nothing, SMOKE | EACH_TYPE)
{
	struct bus *bus = bus_new(2);

	send_to(&bus->client[0], TO(1), 1);
	send_to(&bus->client[0], UMC_ASK, 2);
	close(bus->group);
	bus->group = -1;
	send_to(&bus->client[0], TO(1), 3);
	expect(bus->client[1].fd, 1);
	expect(bus->client[0].daemon, 2);
	expect(bus->client[0].daemon, 3);
	EQUAL(send(bus->client[1].daemon, "x", 1, 0), 1);
	bus_free(bus);
}

TEST(socket_moves_to_another_group, EACH_TYPE)
{
	struct bus *bus = bus_new(2);

	close(bus->group);
	bus->group = group_new(bus->device, UMC_MODE_ASK);
	CHECK(!client_add(bus, &bus->client[0], 0));
	CHECK(!client_add(bus, &bus->client[1], 1));
	set_standard_filters(bus);
	release_all(bus);
	send_to(&bus->client[0], TO(1), 1);
	expect(bus->client[1].fd, 1);
	bus_free(bus);
}

TEST(client_that_exits_leaves, SMOKE | EACH_TYPE)
{
	struct bus *bus = bus_new(2);

	close(bus->client[1].fd);
	bus->client[1].fd = -1;
	EQUAL(state_of(bus, 1), UMC_STATE_DEAD);
	send_to(&bus->client[0], TO(1), 1);
	expect(bus->client[0].daemon, 1);
	EQUAL(asked(bus, 0, UMC_ASKED_DEAD), 1);
	bus_free(bus);
}

TEST(index_reuse, SMOKE | EACH_TYPE)
{
	struct bus *bus = bus_new(3);

	/* Filters still name index 1 when its client has gone and another comes. */
	send_key(&bus->client[0], CALL(1), 1, 5);
	EQUAL(pending_count(bus, 0, 1), 1);
	client_close(&bus->client[1]);
	client_connect(bus, &bus->client[1]);
	FAILS(client_add(bus, &bus->client[1], 1), EEXIST);
	FAILS(forget(bus, 2), EBUSY);
	FAILS(forget(bus, 50), ENOENT);
	send_to(&bus->client[0], TO(1), 2);
	expect(bus->client[0].daemon, 2);
	EQUAL(release(bus, 0), 0);
	EQUAL(pending_count(bus, 0, 1), 1);
	CHECK(!forget(bus, 1));
	EQUAL(pending_count(bus, 0, 1), 0);
	CHECK(!client_add(bus, &bus->client[1], 1));
	set_standard_filters(bus);
	EQUAL(release(bus, 1), 0);
	send_to(&bus->client[0], TO(1), 3);
	expect(bus->client[1].fd, 3);
	/* The new index 1 can't answer a call to the old one. */
	send_key(&bus->client[1], REPLY(0), 4, 5);
	expect(bus->client[1].daemon, 4);
	bus_free(bus);
}

TEST(limits_of_an_unprivileged_user, 0)
{
	struct umc_create create = {
		.version = UMC_VERSION, .max_members = 2048, .max_pending = 8, .address_fd = -1,
	};
	int device, groups = 0;

	CHECK(!setgid(12345) && !setuid(12345));
	device = device_open();
	FAILS(ioctl(device, UMC_CREATE, &create), EPERM);
	create.max_members = 2;
	while (ioctl(device, UMC_CREATE, &create) >= 0)
		groups++;
	EQUAL(errno, EMFILE);
	EQUAL(groups, 64);
}
