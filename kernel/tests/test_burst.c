// SPDX-License-Identifier: GPL-2.0
/* Many messages without a pause: appended to what is unread. */

#include <linux/sockios.h>

#include "system.h"
#include "umc.h"

static uint32_t size_of(uint32_t i)
{
	static const uint32_t sizes[] = { MINIMUM, 100, 333, 25, 3000, 128, 4096, 5000 };

	return sizes[i % ARRAY_SIZE(sizes)];
}

static int queued(int fd)
{
	int bytes;

	CHECK(!ioctl(fd, FIONREAD, &bytes));
	return bytes;
}

/* What the daemon's end has queued at the member, as it is charged for it. */
static int charged(const struct client *client)
{
	int bytes;

	CHECK(!ioctl(client->daemon, SIOCOUTQ, &bytes));
	return bytes;
}

TEST(burst_arrives_whole_and_in_order, SMOKE | EACH_TYPE)
{
	struct bus *bus = bus_new(4);
	int bytes = 0;

	for (uint32_t i = 1; i <= 30; i++) {
		EQUAL(send_sized(&bus->client[i % 2], i % 5 ? UMC_MULTICAST : TO(3), i, size_of(i)), size_of(i));
		bytes += size_of(i);
	}
	if (socket_type == SOCK_STREAM)
		EQUAL(queued(bus->client[3].fd), bytes);
	for (uint32_t i = 1; i <= 30; i++) {
		expect(bus->client[3].fd, i);
		for (uint32_t j = 0; i % 5 && j < 3; j++)
			expect(bus->client[j].fd, i);
	}
	for (uint32_t j = 0; j < 4; j++) {
		expect_nothing(bus->client[j].fd);
		expect_nothing(bus->client[j].daemon);
		EQUAL(charged(&bus->client[j]), 0);
	}
	bus_free(bus);
}

TEST(burst_goes_on_behind_what_is_partly_read, SMOKE)
{
	struct bus *bus = bus_new(2);
	char first[100];
	uint32_t sent = 0;

	for (int round = 0; round < 20; round++) {
		for (int i = 0; i < 3; i++, sent++)
			EQUAL(send_sized(&bus->client[0], TO(1), sent + 1, 700), 700);
		/* Two of three, and a part of the last; the rest with the next round. */
		EQUAL(recv(bus->client[1].fd, first, 1, MSG_PEEK), 1);
		expect(bus->client[1].fd, sent - 2);
		expect(bus->client[1].fd, sent - 1);
		EQUAL(recv(bus->client[1].fd, first, sizeof(first), MSG_WAITALL), sizeof(first));
		EQUAL(((struct message *)first)->sequence, sent);
		EQUAL(send_sized(&bus->client[0], TO(1), 1000, 50), 50);
		EQUAL(queued(bus->client[1].fd), 600 + 50);
		for (int i = 0; i < 600; i++) {
			EQUAL(recv(bus->client[1].fd, first, 1, 0), 1);
			EQUAL(first[0], (char)(sent + 100 + i));
		}
		expect(bus->client[1].fd, 1000);
	}
	EQUAL(charged(&bus->client[1]), 0);
	bus_free(bus);
}

/* Messages of two senders in turn, or of one, until one asks; then all is read. */
static uint32_t fill_small(struct bus *bus, bool one)
{
	uint32_t sent = 0, from;

	do {
		from = one || sent % 2;
		EQUAL(send_sized(&bus->client[from], TO(2), ++sent, 128), 128);
	} while (!(state_of(bus, from) & UMC_STATE_DIRTY));
	expect(bus->client[from].daemon, sent);
	for (uint32_t i = 1; i < sent; i++)
		expect(bus->client[2].fd, i);
	expect_nothing(bus->client[2].fd);
	EQUAL(charged(&bus->client[2]), 0);
	EQUAL(release(bus, from), 0);
	return sent;
}

/* What keeps a page is charged for it; what lies on the same page as the one before only for itself. */
TEST(burst_is_charged_and_given_back, SMOKE | EACH_TYPE)
{
	struct bus *bus = bus_new(3);
	uint32_t in_turn, alone = 0;

	for (int round = 0; round < 5; round++) {
		in_turn = fill_small(bus, false);
		CHECK(in_turn < 400);
		alone = fill_small(bus, true);
		CHECK(alone < 2000);
	}
	if (appends())
		CHECK(alone > 1000);
	bus_free(bus);
}

static int send_descriptor(struct bus *bus, uint32_t to, struct message *message)
{
	char control[CMSG_SPACE(sizeof(int))] = {};
	struct cmsghdr *header = (struct cmsghdr *)control;
	struct iovec vector = { message, MINIMUM };
	struct umc_write_entry entry = {
		.index = to,
		.iov = (uintptr_t)&vector,
		.iov_count = 1,
		.control = (uintptr_t)control,
		.control_length = sizeof(control),
	};
	struct umc_write call = { .entries = (uintptr_t)&entry, .count = 1 };

	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(header), &bus->listener, sizeof(int));
	EQUAL(ioctl(bus->group, UMC_WRITE, &call), 1);
	return entry.result;
}

TEST(burst_is_not_appended_to_descriptors, SMOKE | EACH_TYPE)
{
	struct bus *bus = bus_new(2);
	struct message *message = message_new(TO(1), MINIMUM, 2);
	char bytes[1000], control[256];
	struct iovec vector = { bytes, sizeof(bytes) };
	struct msghdr received = { .msg_iov = &vector, .msg_iovlen = 1 };

	EQUAL(send_to(&bus->client[0], TO(1), 1), MINIMUM);
	EQUAL(send_descriptor(bus, 1, message), MINIMUM);
	for (uint32_t i = 3; i < 10; i++)
		EQUAL(send_to(&bus->client[0], TO(1), i), MINIMUM);
	expect(bus->client[1].fd, 1);
	received.msg_control = control;
	received.msg_controllen = sizeof(control);
	EQUAL(recvmsg(bus->client[1].fd, &received, MSG_DONTWAIT), MINIMUM);
	EQUAL(((struct message *)bytes)->sequence, 2);
	CHECK(CMSG_FIRSTHDR(&received) && CMSG_FIRSTHDR(&received)->cmsg_type == SCM_RIGHTS);
	for (uint32_t i = 3; i < 10; i++)
		expect(bus->client[1].fd, i);
	free(message);
	bus_free(bus);
}

TEST(burst_ends_with_the_receiver, SMOKE | EACH_TYPE)
{
	struct bus *bus = bus_new(3);

	for (uint32_t i = 1; i < 20; i++)
		EQUAL(send_to(&bus->client[0], UMC_MULTICAST, i), MINIMUM);
	CHECK(!shutdown(bus->client[1].fd, SHUT_RD));
	EQUAL(send_to(&bus->client[0], UMC_MULTICAST, 20), MINIMUM);
	close(bus->client[1].fd);
	bus->client[1].fd = -1;
	EQUAL(send_to(&bus->client[0], UMC_MULTICAST, 21), MINIMUM);
	for (uint32_t i = 1; i < 22; i++)
		expect(bus->client[2].fd, i);
	EQUAL(charged(&bus->client[1]), 0);
	bus_free(bus);
}

TEST(burst_is_appended_where_that_is_possible, SMOKE | EACH_TYPE)
{
	struct bus *bus = bus_new(2);
	int one;

	EQUAL(send_to(&bus->client[0], TO(1), 1), MINIMUM);
	one = charged(&bus->client[1]);
	for (uint32_t i = 2; i <= 100; i++)
		EQUAL(send_to(&bus->client[0], TO(1), i), MINIMUM);
	if (appends())
		CHECK(charged(&bus->client[1]) < 10 * one);
	else
		EQUAL(charged(&bus->client[1]), 100 * one);
	for (uint32_t i = 1; i <= 100; i++)
		expect(bus->client[1].fd, i);
	bus_free(bus);
}
