// SPDX-License-Identifier: GPL-2.0
/* Many messages without a pause: who is woken, and when. */

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/epoll.h>

#include "system.h"
#include "umc.h"

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
	/* With several CPUs a reader that the host does not run keeps the queue from being appended to. */
	if (!getenv("UMC_EXACT"))
		test_skip("only with one CPU that counts instructions");
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
	printf("longest time from a message of an endless burst to its reader: %.0f us\n", longest * 1e6);
	CHECK(longest < 1200e-6);
	bus_free(bus);
}
