// SPDX-License-Identifier: GPL-2.0
/* What the daemon writes: in pieces, in batches, with descriptors. */

#include "umc.h"

TEST(half_written_message_is_not_broken, SMOKE | EACH_TYPE)
{
	struct bus *bus = bus_new(2);
	struct message *large = message_new(0, LARGE, 1);
	int64_t written;

	if (socket_type != SOCK_STREAM)
		test_skip("packets are whole");
	CHECK(!setsockopt(bus->client[1].daemon, SOL_SOCKET, SO_SNDBUF, &(int){ 50000 }, sizeof(int)));
	written = daemon_write(bus, 1, large, LARGE, 0);
	CHECK(written > 0 && written < LARGE);
	CHECK(state_of(bus, 1) & UMC_STATE_HELD);
	send_to(&bus->client[0], TO(1), 2);
	expect(bus->client[0].daemon, 2);
	for (size_t read = 0; read < LARGE;) {
		char buffer[65536];
		int n = recv(bus->client[1].fd, buffer, sizeof(buffer), MSG_DONTWAIT);

		CHECK(n > 0 && !memcmp(buffer, (char *)large + read, n));
		read += n;
		if (written < LARGE) {
			int64_t more = daemon_write(bus, 1, (char *)large + written, LARGE - written, 0);

			if (more > 0)
				written += more;
		}
	}
	CHECK(!(state_of(bus, 1) & UMC_STATE_HELD));
	free(large);
	bus_free(bus);
}

TEST(an_entry_stops_later_ones_for_its_member, EACH_TYPE)
{
	struct bus *bus = bus_new(3);
	struct message *small = message_new(0, MINIMUM, 5);
	struct iovec iov = { small, MINIMUM };
	struct umc_write_entry entries[4] = {
		{ .index = 1, .iov = (uintptr_t)&iov, .iov_count = 1 },
		{ .index = 2, .iov = (uintptr_t)&iov, .iov_count = 1 },
		{ .index = 1, .iov = (uintptr_t)&iov, .iov_count = 1 },
		{ .index = 2, .flags = UMC_WRITE_HOLD, .iov = (uintptr_t)&iov, .iov_count = 1 },
	};
	struct umc_write call = { .entries = (uintptr_t)entries, .count = 4 };

	fill(bus, &bus->client[0], &bus->client[1]);
	EQUAL(ioctl(bus->group, UMC_WRITE, &call), 2);
	EQUAL(entries[0].result, -EAGAIN);
	EQUAL(entries[1].result, MINIMUM);
	EQUAL(entries[2].result, -EAGAIN);
	EQUAL(entries[3].result, MINIMUM);
	CHECK(state_of(bus, 1) & UMC_STATE_HELD);
	CHECK(state_of(bus, 2) & UMC_STATE_HELD);
	EQUAL(daemon_write(bus, 2, NULL, 0, 0), 0);
	CHECK(!(state_of(bus, 2) & UMC_STATE_HELD));
	call.entries = 8;
	FAILS(ioctl(bus->group, UMC_WRITE, &call), EFAULT);
	call.count = UMC_MAX_ENTRIES + 1;
	FAILS(ioctl(bus->group, UMC_WRITE, &call), EINVAL);
	free(small);
	bus_free(bus);
}

/* What a released member sends comes behind what the same call writes to its receiver. */
TEST(one_call_releases_and_writes, SMOKE | EACH_TYPE)
{
	struct bus *bus = bus_new(3);
	struct message *small = message_new(0, MINIMUM, 5);
	struct iovec iov = { small, MINIMUM };
	struct umc_write_entry entries[2] = {
		{ .index = 1, .iov = (uintptr_t)&iov, .iov_count = 1 },
		{ .index = 2, .flags = UMC_WRITE_HOLD },
	};
	struct umc_release_entry releases[3] = { { .index = 0 }, { .index = 2 }, { .index = 40 } };
	struct umc_write call = {
		.entries = (uintptr_t)entries, .count = 2,
		.releases = (uintptr_t)releases, .release_count = 3,
	};

	send_to(&bus->client[0], UMC_ASK, 1);
	expect(bus->client[0].daemon, 1);
	send_to(&bus->client[2], UMC_ASK, 2);
	EQUAL(ioctl(bus->group, UMC_WRITE, &call), 2);
	EQUAL(entries[0].result, MINIMUM);
	EQUAL(entries[1].result, 0);
	EQUAL(releases[0].result, 0);
	EQUAL(releases[1].result, -EBUSY);
	EQUAL(releases[2].result, -ENOENT);
	CHECK(!(state_of(bus, 1) & UMC_STATE_HELD));
	CHECK(state_of(bus, 2) & UMC_STATE_HELD);
	send_to(&bus->client[0], TO(1), 6);
	expect(bus->client[1].fd, 5);
	expect(bus->client[1].fd, 6);
	/* Releases that can't be read don't stop the entries. */
	send_to(&bus->client[0], UMC_ASK, 7);
	expect(bus->client[0].daemon, 7);
	call.releases = 8;
	FAILS(ioctl(bus->group, UMC_WRITE, &call), EFAULT);
	EQUAL(entries[0].result, MINIMUM);
	expect(bus->client[1].fd, 5);
	EQUAL(release(bus, 0), 0);
	free(small);
	bus_free(bus);
}

TEST(write_passes_descriptors, SMOKE | EACH_TYPE)
{
	struct bus *bus = bus_new(1);
	struct message *message = message_new(0, MINIMUM, 5);
	union { struct cmsghdr header; char bytes[CMSG_SPACE(sizeof(int))]; } control = {
		.header = { CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS },
	}, got;
	struct iovec iov = { message, MINIMUM };
	struct umc_write_entry entry = {
		.index = 0, .iov = (uintptr_t)&iov, .iov_count = 1,
		.control = (uintptr_t)&control, .control_length = sizeof(control),
	};
	struct umc_write call = { .entries = (uintptr_t)&entry, .count = 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &got, .msg_controllen = sizeof(got),
	};

	memcpy(CMSG_DATA(&control.header), &bus->device, sizeof(int));
	EQUAL(ioctl(bus->group, UMC_WRITE, &call), 1);
	EQUAL(recvmsg(bus->client[0].fd, &msg, 0), MINIMUM);
	EQUAL(got.header.cmsg_type, SCM_RIGHTS);
	entry.control_length = UMC_MAX_CONTROL + 1;
	EQUAL(ioctl(bus->group, UMC_WRITE, &call), 0);
	EQUAL(entry.result, -EINVAL);
	free(message);
	bus_free(bus);
}
