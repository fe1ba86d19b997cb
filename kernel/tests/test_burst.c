// SPDX-License-Identifier: GPL-2.0
/* Many messages without a pause: appended to what is unread, and receivers that are woken later. */

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <linux/sockios.h>

#include "system.h"
#include "umc.h"

#define PARAMETERS	"/sys/module/unix_multicast/parameters/"

static unsigned long parameter(const char *name)
{
	char path[128], text[32] = {};
	int fd;

	snprintf(path, sizeof(path), PARAMETERS "%s", name);
	fd = open(path, O_RDONLY);
	CHECK(fd >= 0);
	CHECK(read(fd, text, sizeof(text) - 1) > 0);
	close(fd);
	return text[0] == 'Y' ? 1 : strtoul(text, NULL, 10);
}

static bool appends(void)
{
	return socket_type == SOCK_STREAM && !access(PARAMETERS "append", F_OK) && parameter("append");
}

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

/* ---- who is woken ---- */

struct reader {
	pthread_t thread;
	int fd;
	uint32_t last;		/* the message that ends it */
	_Atomic uint32_t got;
	double at;		/* when it had got that */
	_Atomic int id;
};

static void got_message(struct reader *reader, const void *bytes)
{
	const struct message *message = bytes;

	EQUAL(ntohl(message->length), MINIMUM);
	EQUAL(message->sequence, reader->got + 1);
	reader->at = seconds(CLOCK_MONOTONIC);
	atomic_store(&reader->got, message->sequence);
}

/* False: there is none, and it is not waited for. */
static bool get_message(struct reader *reader, int flags)
{
	char bytes[MINIMUM];
	int n = recv(reader->fd, bytes, sizeof(bytes), flags);

	if (n < 0 && errno == EAGAIN)
		return false;
	EQUAL(n, sizeof(bytes));
	got_message(reader, bytes);
	return true;
}

static bool more(const struct reader *reader)
{
	return atomic_load(&reader->got) < reader->last;
}

static void *blocking(void *argument)
{
	struct reader *reader = argument;

	reader->id = gettid();
	while (more(reader))
		get_message(reader, 0);
	return NULL;
}

/* It may sleep with unread bytes before it. */
static void *peeking(void *argument)
{
	struct reader *reader = argument;
	char byte;

	while (more(reader)) {
		EQUAL(recv(reader->fd, &byte, 1, MSG_PEEK), 1);
		get_message(reader, 0);
	}
	return NULL;
}

/* Sleeps in the middle of what it has asked for. */
static void *waiting_for_all(void *argument)
{
	struct reader *reader = argument;
	char bytes[2 * MINIMUM];
	int count = socket_type == SOCK_STREAM ? 2 : 1;

	while (more(reader)) {
		EQUAL(recv(reader->fd, bytes, count * MINIMUM, MSG_WAITALL), count * MINIMUM);
		for (int i = 0; i < count; i++)
			got_message(reader, bytes + i * MINIMUM);
	}
	return NULL;
}

static void *polling(void *argument)
{
	struct reader *reader = argument;

	while (more(reader)) {
		CHECK(readable(reader->fd, 20000));
		get_message(reader, MSG_DONTWAIT);
	}
	return NULL;
}

static void *edges(void *argument)
{
	struct reader *reader = argument;
	struct epoll_event event = { .events = EPOLLIN | EPOLLET };
	int epoll = epoll_create1(EPOLL_CLOEXEC);

	CHECK(epoll >= 0 && !epoll_ctl(epoll, EPOLL_CTL_ADD, reader->fd, &event));
	while (more(reader)) {
		EQUAL(epoll_wait(epoll, &event, 1, 20000), 1);
		while (get_message(reader, MSG_DONTWAIT))
			;
	}
	close(epoll);
	return NULL;
}

static void *(*const readers[])(void *argument) = { blocking, peeking, waiting_for_all, polling, edges };

/* Waits without a system call that would sleep: only a timer can wake the readers. */
static void spin_until(const struct reader *reader, uint32_t sequence)
{
	double end = seconds(CLOCK_MONOTONIC) + 20;

	while (atomic_load(&reader->got) < sequence)
		CHECK(seconds(CLOCK_MONOTONIC) < end);
}

TEST(burst_wakes_readers_of_every_kind, SMOKE | EACH_TYPE)
{
	enum { ALL = 3000 };
	struct bus *bus = bus_new(1 + ARRAY_SIZE(readers));
	struct reader state[ARRAY_SIZE(readers)] = {};
	uint32_t sent = 0;

	set_verdict(bus, UMC_FILTER_INGRESS, 0, UMC_NO);
	for (size_t i = 0; i < ARRAY_SIZE(readers); i++) {
		state[i].fd = bus->client[i + 1].fd;
		state[i].last = ALL;
		CHECK(!pthread_create(&state[i].thread, NULL, readers[i], &state[i]));
	}
	srand(1);
	while (sent < ALL) {
		int length = rand() % 24;

		for (; length && sent < ALL; length--)
			EQUAL(send_to(&bus->client[0], UMC_MULTICAST, ++sent), MINIMUM);
		/* Sometimes the sender sleeps, sometimes it waits at full speed. */
		if (rand() % 2)
			usleep(rand() % 200);
		else
			for (size_t i = 0; i < ARRAY_SIZE(readers); i++)
				spin_until(&state[i], sent - sent % 2);
	}
	for (size_t i = 0; i < ARRAY_SIZE(readers); i++) {
		spin_until(&state[i], ALL);
		CHECK(!pthread_join(state[i].thread, NULL));
	}
	expect_nothing(bus->client[0].daemon);
	bus_free(bus);
}

/* It gets the CPU as soon as it is woken. */
static void *urgent(void *argument)
{
	const struct sched_param first = { .sched_priority = 1 };

	CHECK(!pthread_setschedparam(pthread_self(), SCHED_FIFO, &first));
	return blocking(argument);
}

/* UMC_EXACT: a nanosecond is an instruction, and there is one CPU. */
TEST(burst_makes_no_reader_wait_long, SMOKE | EACH_TYPE)
{
	struct bus *bus = bus_new(2);
	struct reader reader = { .fd = bus->client[1].fd, .last = 20 * 24 };
	unsigned long later = parameter("later"), overdue = parameter("overdue");
	double sent, longest = 0;

	CHECK(!pthread_create(&reader.thread, NULL, urgent, &reader));
	wait_until_asleep(&reader.id);
	for (uint32_t i = 1; i <= reader.last; i++) {
		sent = seconds(CLOCK_MONOTONIC);
		EQUAL(send_to(&bus->client[0], TO(1), i), MINIMUM);
		if (i % 24)
			continue;
		spin_until(&reader, i);
		if (reader.at - sent > longest)
			longest = reader.at - sent;
	}
	CHECK(!pthread_join(reader.thread, NULL));
	if (parameter("run_long")) {
		CHECK(parameter("later") > later);
		if (getenv("UMC_EXACT"))
			CHECK(parameter("overdue") > overdue);
	} else {
		EQUAL(parameter("later"), later);
	}
	if (getenv("UMC_EXACT")) {
		printf("longest time from the last message of a burst to its reader: %.0f us\n", longest * 1e6);
		CHECK(longest < 250e-6);
	}
	bus_free(bus);
}

/* ---- a burst that does not end ---- */

enum { ENDLESS = 2000 };

struct endless {
	int fd;
	_Atomic int id;
	double sent[ENDLESS], read[ENDLESS];
};

/* Reads whatever there is, as soon as it is woken. */
static void *read_all(void *argument)
{
	const struct sched_param first = { .sched_priority = 1 };
	struct endless *e = argument;
	static char buffer[65536];
	size_t bytes = 0;

	CHECK(!sched_setscheduler(0, SCHED_FIFO, &first));
	e->id = gettid();
	for (int done = 0; done < ENDLESS;) {
		ssize_t n = recv(e->fd, buffer, sizeof(buffer), 0);
		double now = seconds(CLOCK_MONOTONIC);

		CHECK(n > 0);
		bytes += n;
		while (done < (int)(bytes / MINIMUM))
			e->read[done++] = now;
	}
	return NULL;
}

TEST(burst_without_end_makes_no_reader_wait_long, SMOKE)
{
	static struct endless e;
	struct timeval limit = { .tv_sec = 5 };
	struct bus *bus = bus_new(2);
	double longest = 0;
	pthread_t thread;

	if (!appends())
		test_skip("a queue has no room for so many");
	e.fd = bus->client[1].fd;
	CHECK(!setsockopt(e.fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)));
	CHECK(!pthread_create(&thread, NULL, read_all, &e));
	wait_until_asleep(&e.id);
	for (uint32_t i = 0; i < ENDLESS; i++) {
		e.sent[i] = seconds(CLOCK_MONOTONIC);
		EQUAL(send_to(&bus->client[0], TO(1), i), MINIMUM);
	}
	CHECK(!pthread_join(thread, NULL));
	for (uint32_t i = 0; i < ENDLESS; i++)
		if (e.read[i] - e.sent[i] > longest)
			longest = e.read[i] - e.sent[i];
	if (getenv("UMC_EXACT")) {
		printf("longest time from a message of an endless burst to its reader: %.0f us\n", longest * 1e6);
		CHECK(longest < 1200e-6);
	}
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
