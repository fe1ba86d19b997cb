// SPDX-License-Identifier: GPL-2.0
/* A watched descriptor: what it announces is in force when the announcement returns. */

#include <linux/netlink.h>
#include <pthread.h>
#include <stdatomic.h>

#include "umc.h"

/* What announces, and what becomes readable by that. */
struct news {
	int from;
	int fd;
};

static struct news news_new(void)
{
	struct sockaddr_nl address = { .nl_family = AF_NETLINK };
	socklen_t length = sizeof(address);
	struct news news;

	news.fd = socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK, NETLINK_USERSOCK);
	CHECK(news.fd >= 0);
	CHECK(!bind(news.fd, (struct sockaddr *)&address, length));
	CHECK(!getsockname(news.fd, (struct sockaddr *)&address, &length));
	news.from = socket(AF_NETLINK, SOCK_RAW, NETLINK_USERSOCK);
	CHECK(news.from >= 0);
	CHECK(!connect(news.from, (struct sockaddr *)&address, length));
	return news;
}

struct announcement {
	struct nlmsghdr header;
	uint32_t number;
};

static void announce(const struct news *news, uint32_t number)
{
	const struct announcement message = {
		.header = { .nlmsg_len = sizeof(message), .nlmsg_type = NLMSG_MIN_TYPE },
		.number = number,
	};

	EQUAL(send(news->from, &message, sizeof(message), 0), sizeof(message));
}

/* Reads all announcements; the number in the last of them, or what it was before. */
static uint32_t read_news(const struct news *news, uint32_t number)
{
	struct announcement message;

	while (recv(news->fd, &message, sizeof(message), 0) > 0)
		number = message.number;
	return number;
}

static int watch(struct bus *bus, int fd)
{
	return ioctl(bus->group, UMC_WATCH, &(struct umc_watch){ .fd = fd });
}

static int take_back(struct bus *bus)
{
	return ioctl(bus->group, UMC_REVOKE);
}

static bool is_alarmed(struct bus *bus)
{
	struct pollfd poll_fd = { .fd = bus->group, .events = POLLPRI };

	return poll(&poll_fd, 1, 0) == 1 && poll_fd.revents == POLLPRI;
}

TEST(an_announcement_closes_the_gate, SMOKE | EACH_TYPE)
{
	struct bus *bus = bus_new(2);
	struct news news = news_new();

	CHECK(!watch(bus, news.fd));
	send_to(&bus->client[0], TO(1), 1);
	expect(bus->client[1].fd, 1);
	CHECK(!is_alarmed(bus));
	announce(&news, 1);
	send_to(&bus->client[0], TO(1), 2);
	expect(bus->client[0].daemon, 2);
	EQUAL(asked(bus, 0, UMC_ASKED_GATE), 1);
	CHECK(is_alarmed(bus));
	/* Reading alone does not open it: what was decided before is still in force. */
	read_news(&news, 0);
	EQUAL(release(bus, 0), 0);
	send_to(&bus->client[0], TO(1), 3);
	expect(bus->client[0].daemon, 3);
	EQUAL(asked(bus, 0, UMC_ASKED_GATE), 2);
	CHECK(!take_back(bus));
	CHECK(!is_alarmed(bus));
	EQUAL(release(bus, 0), 0);
	send_to(&bus->client[0], TO(1), 4);
	expect(bus->client[0].daemon, 4);
	EQUAL(asked(bus, 0, UMC_ASKED_VERDICT), 1);
	set_standard_filters(bus);
	EQUAL(release(bus, 0), 0);
	send_to(&bus->client[0], TO(1), 5);
	expect(bus->client[1].fd, 5);
	bus_free(bus);
}

TEST(the_gate_stays_closed_while_there_is_something_to_read, SMOKE | EACH_TYPE)
{
	struct bus *bus = bus_new(2);
	struct news news = news_new();

	CHECK(!watch(bus, news.fd));
	announce(&news, 1);
	EQUAL(take_back(bus), 1);
	CHECK(is_alarmed(bus));
	set_standard_filters(bus);
	send_to(&bus->client[0], TO(1), 1);
	expect(bus->client[0].daemon, 1);
	EQUAL(asked(bus, 0, UMC_ASKED_GATE), 1);
	read_news(&news, 0);
	CHECK(!take_back(bus));
	/* One that comes later closes it again. */
	announce(&news, 2);
	EQUAL(take_back(bus), 1);
	read_news(&news, 0);
	CHECK(!take_back(bus));
	set_standard_filters(bus);
	EQUAL(release(bus, 0), 0);
	send_to(&bus->client[0], TO(1), 2);
	expect(bus->client[1].fd, 2);
	bus_free(bus);
}

TEST(what_is_readable_already_closes_the_gate, 0)
{
	struct bus *bus = bus_new(2);
	struct news first = news_new(), second = news_new();

	announce(&first, 1);
	CHECK(!watch(bus, first.fd));
	CHECK(is_alarmed(bus));
	CHECK(!watch(bus, second.fd));
	read_news(&first, 0);
	announce(&second, 1);
	/* All of them have to be read. */
	EQUAL(take_back(bus), 1);
	read_news(&second, 0);
	EQUAL(take_back(bus), 0);
	CHECK(!is_alarmed(bus));
	bus_free(bus);
}

TEST(the_owners_gate_is_another, EACH_TYPE)
{
	struct bus *bus = bus_new(2);
	struct news news = news_new();

	CHECK(!watch(bus, news.fd));
	CHECK(!gate(bus, true));
	CHECK(!is_alarmed(bus));
	announce(&news, 1);
	CHECK(!gate(bus, false));
	send_to(&bus->client[0], TO(1), 1);
	expect(bus->client[0].daemon, 1);
	EQUAL(asked(bus, 0, UMC_ASKED_GATE), 1);
	CHECK(!gate(bus, true));
	read_news(&news, 0);
	CHECK(!take_back(bus));
	set_standard_filters(bus);
	EQUAL(release(bus, 0), 0);
	send_to(&bus->client[0], TO(1), 2);
	expect(bus->client[0].daemon, 2);
	EQUAL(asked(bus, 0, UMC_ASKED_GATE), 2);
	CHECK(!gate(bus, false));
	EQUAL(release(bus, 0), 0);
	send_to(&bus->client[0], TO(1), 3);
	expect(bus->client[1].fd, 3);
	bus_free(bus);
}

/* The socket has an error then, and what was queued before. */
TEST(announcements_that_are_lost_close_the_gate, 0)
{
	const struct sockaddr_nl all = { .nl_family = AF_NETLINK, .nl_groups = 1 };
	const struct nlmsghdr header = { .nlmsg_len = NLMSG_LENGTH(0), .nlmsg_type = NLMSG_MIN_TYPE };
	struct bus *bus = bus_new(2);
	struct news news = news_new();
	char byte;

	CHECK(!setsockopt(news.fd, SOL_SOCKET, SO_RCVBUF, &(int){ 4096 }, sizeof(int)));
	CHECK(!setsockopt(news.fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &(int){ 1 }, sizeof(int)));
	CHECK(!watch(bus, news.fd));
	for (int i = 0; i < 100; i++)
		sendto(news.from, &header, sizeof(header), 0, (const struct sockaddr *)&all, sizeof(all));
	send_to(&bus->client[0], TO(1), 1);
	expect(bus->client[0].daemon, 1);
	EQUAL(asked(bus, 0, UMC_ASKED_GATE), 1);
	FAILS(recv(news.fd, &byte, 1, 0), ENOBUFS);
	EQUAL(take_back(bus), 1);
	read_news(&news, 0);
	CHECK(!take_back(bus));
	bus_free(bus);
}

TEST(room_in_a_watched_socket_is_no_announcement, 0)
{
	struct bus *bus = bus_new(2);
	struct news news = news_new(), other = news_new();
	struct sockaddr_nl address;
	socklen_t length = sizeof(address);

	CHECK(!watch(bus, news.fd));
	/* What it has sent is read, so that it may be written to. */
	CHECK(!getsockname(other.fd, (struct sockaddr *)&address, &length));
	CHECK(!connect(news.fd, (struct sockaddr *)&address, length));
	announce(&(struct news){ .from = news.fd }, 1);
	EQUAL(read_news(&other, 0), 1);
	CHECK(!is_alarmed(bus));
	send_to(&bus->client[0], TO(1), 1);
	expect(bus->client[1].fd, 1);
	bus_free(bus);
}

TEST(netlink_sockets_can_be_watched, SMOKE)
{
	struct bus *bus = bus_new(1);
	struct news news = news_new();
	int ends[2];

	FAILS(watch(bus, -1), EBADF);
	FAILS(watch(bus, bus->group), EOPNOTSUPP);
	FAILS(watch(bus, bus->client[0].fd), EOPNOTSUPP);
	CHECK(!pipe(ends));
	FAILS(watch(bus, ends[0]), EOPNOTSUPP);
	FAILS(ioctl(bus->group, UMC_WATCH, &(struct umc_watch){ .fd = news.fd, .flags = 1 }), EINVAL);
	FAILS(ioctl(bus->group, UMC_WATCH, NULL), EFAULT);
	for (int i = 0; i < UMC_MAX_WATCHED; i++)
		CHECK(!watch(bus, news.fd));
	FAILS(watch(bus, news.fd), ENOSPC);
	bus_free(bus);
}

TEST(either_end_of_a_watch_may_close_first, SMOKE)
{
	struct bus *bus = bus_new(2);
	struct news news = news_new();

	CHECK(!watch(bus, news.fd));
	close(bus->group);
	announce(&news, 1);
	bus->group = group_new(bus->device, UMC_MODE_ASK);
	CHECK(!watch(bus, news.fd));
	CHECK(is_alarmed(bus));
	/* Still announced to, but never read again. */
	close(news.fd);
	announce(&news, 2);
	EQUAL(take_back(bus), 1);
	bus_free(bus);
}

#define ANNOUNCEMENTS	1000u

/* An owner that reads announcements when it gets to it. */
struct owner {
	struct bus *bus;
	struct news news;
	_Atomic uint32_t read;		/* what its decisions rest on */
	_Atomic bool done;
};

static void *own(void *argument)
{
	struct owner *owner = argument;
	struct pollfd poll_fd = { .fd = owner->bus->group, .events = POLLPRI };
	char bytes[4096];
	uint32_t number = 0;

	while (!owner->done) {
		if (poll(&poll_fd, 1, 1) == 1) {
			number = read_news(&owner->news, number);
			CHECK(take_back(owner->bus) >= 0);
			owner->read = number;
			set_standard_filters(owner->bus);
		}
		while (recv(owner->bus->client[0].daemon, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
			;
		release_result(owner->bus, 0);
	}
	return NULL;
}

TEST(nothing_goes_by_what_was_decided_before_an_announcement, SMOKE | EACH_TYPE)
{
	struct owner owner = { .bus = bus_new(2), .news = news_new() };
	struct client *client = owner.bus->client;
	uint32_t after = 0, number;
	pthread_t thread;

	CHECK(!watch(owner.bus, owner.news.fd));
	CHECK(!pthread_create(&thread, NULL, own, &owner));
	for (uint32_t i = 1; i <= ANNOUNCEMENTS; i++) {
		announce(&owner.news, i);
		for (int more = 0; more < 3; more++) {
			send_to(&client[0], TO(1), i);
			number = receive(client[1].fd);
			if (number == (uint32_t)-1)
				continue;
			EQUAL(number, i);
			/* It was decided by what rests on this announcement. */
			CHECK(owner.read >= i);
			after++;
		}
	}
	/* The owner hears of each, also of one that it has read before the alarm. */
	while (stats_of(owner.bus, 0).direct == after) {
		send_to(&client[0], TO(1), 1);
		sched_yield();
	}
	owner.done = true;
	pthread_join(thread, NULL);
	bus_free(owner.bus);
}
