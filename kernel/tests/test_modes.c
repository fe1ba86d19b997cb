// SPDX-License-Identifier: GPL-2.0
/* The modes of the proposal of 2012: wait until all have room, or drop. */

#include <pthread.h>
#include <signal.h>
#include <sys/time.h>

#include "umc.h"

static int fill_by_multicast(struct bus *bus)
{
	int sent = 0;

	while (send_sized(&bus->client[0], UMC_MULTICAST, sent, 8000) == 8000)
		sent++;
	EQUAL(errno, EAGAIN);
	return sent;
}

static bool writable(int fd, int ms)
{
	struct pollfd poll_fd = { .fd = fd, .events = POLLOUT };

	return poll(&poll_fd, 1, ms) == 1 && poll_fd.revents & POLLOUT;
}

TEST(block_tells_by_poll, SMOKE | EACH_TYPE)
{
	struct bus *bus = bus_new_mode(3, UMC_MODE_BLOCK);
	int sent;

	set_verdict(bus, UMC_FILTER_INGRESS, 0, UMC_NO);
	CHECK(writable(bus->client[0].fd, 0));
	sent = fill_by_multicast(bus);
	CHECK(sent > 3);
	CHECK(!writable(bus->client[0].fd, 0));
	expect_nothing(bus->client[0].daemon);
	for (int i = 0; i < sent; i++)
		expect(bus->client[1].fd, i);
	/* The other one is still full. */
	CHECK(!writable(bus->client[0].fd, 0));
	FAILS(send_sized(&bus->client[0], UMC_MULTICAST, sent, 8000), EAGAIN);
	for (int i = 0; i < sent; i++)
		expect(bus->client[2].fd, i);
	CHECK(writable(bus->client[0].fd, 0));
	EQUAL(send_sized(&bus->client[0], UMC_MULTICAST, sent, 8000), 8000);
	expect(bus->client[1].fd, sent);
	expect(bus->client[2].fd, sent);
	bus_free(bus);
}

static void *send_blocking(void *argument)
{
	struct client *client = argument;
	struct message *message = message_new(UMC_MULTICAST, 8000, 999);
	long sent = send(client->fd, message, 8000, 0);

	free(message);
	return (void *)(sent < 0 ? (long)-errno : sent);
}

TEST(block_waits_until_all_have_room, SMOKE | EACH_TYPE)
{
	struct bus *bus = bus_new_mode(3, UMC_MODE_BLOCK);
	pthread_t thread;
	void *result;
	int sent;

	set_verdict(bus, UMC_FILTER_INGRESS, 0, UMC_NO);
	sent = fill_by_multicast(bus);
	CHECK(!pthread_create(&thread, NULL, send_blocking, &bus->client[0]));
	for (int c = 1; c < 3; c++)
		for (int i = 0; i < sent; i++)
			expect(bus->client[c].fd, i);
	pthread_join(thread, &result);
	EQUAL((long)result, 8000);
	expect(bus->client[1].fd, 999);
	expect(bus->client[2].fd, 999);
	EQUAL(stats_of(bus, 0).asked[UMC_ASKED_FULL], 0);
	bus_free(bus);
}

TEST(block_ends_when_the_full_receiver_leaves, EACH_TYPE)
{
	struct bus *bus = bus_new_mode(3, UMC_MODE_BLOCK);
	pthread_t thread;
	void *result;

	set_verdict(bus, UMC_FILTER_INGRESS, 0, UMC_NO);
	set_verdict(bus, UMC_FILTER_INGRESS, 2, UMC_NO);
	fill_by_multicast(bus);
	CHECK(!pthread_create(&thread, NULL, send_blocking, &bus->client[0]));
	close(bus->client[1].fd);
	bus->client[1].fd = -1;
	pthread_join(thread, &result);
	EQUAL((long)result, 8000);
	bus_free(bus);
}

TEST(block_ends_with_the_group, EACH_TYPE)
{
	struct bus *bus = bus_new_mode(2, UMC_MODE_BLOCK);
	pthread_t thread;
	void *result;

	set_verdict(bus, UMC_FILTER_INGRESS, 0, UMC_NO);
	fill_by_multicast(bus);
	CHECK(!pthread_create(&thread, NULL, send_blocking, &bus->client[0]));
	close(bus->group);
	bus->group = -1;
	/* An ordinary socket again: it goes to the daemon. */
	pthread_join(thread, &result);
	EQUAL((long)result, 8000);
	expect(bus->client[0].daemon, 999);
	CHECK(writable(bus->client[0].fd, 0));
	bus_free(bus);
}

TEST(block_ends_when_the_receiver_splices, EACH_TYPE)
{
	struct bus *bus = bus_new_mode(2, UMC_MODE_BLOCK);
	pthread_t thread;
	void *result;
	int sent, pipes[2];

	if (socket_type != SOCK_STREAM)
		test_skip("only streams splice");
	set_verdict(bus, UMC_FILTER_INGRESS, 0, UMC_NO);
	sent = fill_by_multicast(bus);
	CHECK(!pipe(pipes));
	CHECK(!pthread_create(&thread, NULL, send_blocking, &bus->client[0]));
	for (int left = sent * 8000; left > 0;) {
		char buffer[8000];
		int n = splice(bus->client[1].fd, NULL, pipes[1], NULL, sizeof(buffer), SPLICE_F_MOVE);

		CHECK(n > 0);
		EQUAL(read(pipes[0], buffer, n), n);
		left -= n;
	}
	pthread_join(thread, &result);
	EQUAL((long)result, 8000);
	expect(bus->client[1].fd, 999);
	bus_free(bus);
}

TEST(block_respects_the_send_timeout, EACH_TYPE)
{
	struct bus *bus = bus_new_mode(2, UMC_MODE_BLOCK);
	struct timeval soon = { .tv_usec = 20000 };
	struct message *message = message_new(UMC_MULTICAST, 8000, 1);

	set_verdict(bus, UMC_FILTER_INGRESS, 0, UMC_NO);
	fill_by_multicast(bus);
	CHECK(!setsockopt(bus->client[0].fd, SOL_SOCKET, SO_SNDTIMEO, &soon, sizeof(soon)));
	FAILS(send(bus->client[0].fd, message, 8000, 0), EAGAIN);
	free(message);
	bus_free(bus);
}

static void nothing(int signal_number)
{
	(void)signal_number;
}

TEST(block_is_interrupted_by_signals, EACH_TYPE)
{
	struct bus *bus = bus_new_mode(2, UMC_MODE_BLOCK);
	struct sigaction action = { .sa_handler = nothing };
	struct itimerval timer = { .it_value = { .tv_usec = 20000 }, .it_interval = { .tv_usec = 20000 } };
	struct message *message = message_new(UMC_MULTICAST, 8000, 1);

	set_verdict(bus, UMC_FILTER_INGRESS, 0, UMC_NO);
	fill_by_multicast(bus);
	CHECK(!sigaction(SIGALRM, &action, NULL));
	CHECK(!setitimer(ITIMER_REAL, &timer, NULL));
	FAILS(send(bus->client[0].fd, message, 8000, 0), EINTR);
	free(message);
	bus_free(bus);
}

TEST(block_for_unicast, EACH_TYPE)
{
	struct bus *bus = bus_new_mode(2, UMC_MODE_BLOCK);
	int sent = 0;

	while (send_sized(&bus->client[0], TO(1), sent, 8000) == 8000)
		sent++;
	EQUAL(errno, EAGAIN);
	expect_nothing(bus->client[0].daemon);
	for (int i = 0; i < sent; i++)
		expect(bus->client[1].fd, i);
	CHECK(writable(bus->client[0].fd, 0));
	bus_free(bus);
}

TEST(drop_counts_what_it_drops, SMOKE | EACH_TYPE)
{
	struct bus *bus = bus_new_mode(3, UMC_MODE_DROP);
	int got = 0, last = -1;

	set_verdict(bus, UMC_FILTER_INGRESS, 0, UMC_NO);
	for (int i = 0; i < 200; i++) {
		EQUAL(send_sized(&bus->client[0], UMC_MULTICAST, i, 8000), 8000);
		expect(bus->client[1].fd, i);
	}
	while ((last = receive(bus->client[2].fd)) >= 0)
		EQUAL(last, got++);
	CHECK(got < 200);
	EQUAL(stats_of(bus, 2).dropped, 200 - got);
	EQUAL(stats_of(bus, 1).dropped, 0);
	expect_nothing(bus->client[0].daemon);
	bus_free(bus);
}

TEST(drop_for_unicast, EACH_TYPE)
{
	struct bus *bus = bus_new_mode(2, UMC_MODE_DROP);
	int got = 0;

	for (int i = 0; i < 200; i++)
		EQUAL(send_sized(&bus->client[0], TO(1), i, 8000), 8000);
	while (receive(bus->client[1].fd) >= 0)
		got++;
	EQUAL(got + stats_of(bus, 1).dropped, 200);
	bus_free(bus);
}
