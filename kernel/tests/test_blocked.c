// SPDX-License-Identifier: GPL-2.0
/* Sends under way: blocked for room, and by several threads at once. */

#include <pthread.h>
#include <sys/syscall.h>

#include "umc.h"

/* ---- a send in flight while the member is added ---- */

static _Atomic int blocking_thread;

static void *block_in_send(void *argument)
{
	struct client *client = argument;
	struct message *message = message_new(TO(1), 60000, 1);

	blocking_thread = syscall(SYS_gettid);

	/* Blocks on the full queue, then at once sends a message that a filter lets go directly. */
	CHECK(send(client->fd, message, 60000, 0) == 60000);
	free(message);
	send_to(client, TO(1), 2);
	return NULL;
}

TEST(a_send_in_flight_while_the_member_is_added, SMOKE | EACH_TYPE)
{
	struct bus *bus = bus_new(2);
	struct client late;
	int filler = 0, got;
	pthread_t thread;

	client_connect(bus, &late);
	while (send_sized(&late, 0, filler, 8000) == 8000)
		filler++;
	CHECK(!pthread_create(&thread, NULL, block_in_send, &late));
	wait_until_asleep(&blocking_thread);
	CHECK(!client_add(bus, &late, 9));
	set_verdict(bus, UMC_FILTER_EGRESS, 9, TO(1));
	/* The daemon reads everything and releases as soon as it may. */
	for (int next = 0; next <= filler;) {
		while (!readable(late.daemon, 0) && release(bus, 9))
			sched_yield();
		got = receive(late.daemon);
		if (got < 0)
			continue;
		if (next == filler) {
			EQUAL(got, 1);
			break;
		}
		EQUAL(got, next++);
	}
	/* Message 1 is with the daemon, not dispatched yet: 2 must not overtake it. */
	CHECK(readable(late.daemon, 2000));
	expect(late.daemon, 2);
	expect_nothing(bus->client[1].fd);
	pthread_join(thread, NULL);
	client_close(&late);
	bus_free(bus);
}

TEST(release_waits_for_an_ask_that_is_blocked, EACH_TYPE)
{
	struct bus *bus = bus_new(2);
	struct client *from = &bus->client[0];
	struct umc_member_info info = { .index = 0 };
	int filler = 0;
	pthread_t thread;

	while (send_sized(from, UMC_ASK, filler, 8000) == 8000)
		filler++;
	CHECK(!pthread_create(&thread, NULL, block_in_send, from));
	do {
		sched_yield();
		CHECK(!ioctl(bus->group, UMC_GET_MEMBER, &info));
	} while (!info.asking);
	for (int i = 0; i < filler; i++) {
		EQUAL(release(bus, 0), -EBUSY);
		expect(from->daemon, i);
	}
	while (receive(from->daemon) != 1)
		EQUAL(release(bus, 0), -EBUSY);
	CHECK(readable(from->daemon, 2000));
	expect(from->daemon, 2);
	pthread_join(thread, NULL);
	bus_free(bus);
}

/* ---- several threads on one socket ---- */

struct sender {
	struct client *client;
	uint32_t base;
	uint32_t count;
};

static void *send_series(void *argument)
{
	struct sender *s = argument;

	for (uint32_t i = 0; i < s->count; i++)
		while (send_to(s->client, TO(1), s->base + i) != (int)MINIMUM)
			sched_yield();
	return NULL;
}

TEST(several_threads_on_one_socket, SMOKE | EACH_TYPE)
{
	enum { THREADS = 4, EACH = 400 };
	struct bus *bus = bus_new(2);
	struct sender senders[THREADS];
	pthread_t threads[THREADS];
	uint32_t next[THREADS] = {}, total = 0;

	for (int i = 0; i < THREADS; i++) {
		senders[i] = (struct sender){ &bus->client[0], i * 100000, EACH };
		CHECK(!pthread_create(&threads[i], NULL, send_series, &senders[i]));
	}
	while (total < THREADS * EACH) {
		struct pollfd fds[2] = {
			{ .fd = bus->client[1].fd, .events = POLLIN },
			{ .fd = bus->client[0].daemon, .events = POLLIN },
		};
		int got;

		CHECK(poll(fds, 2, 5000) > 0);
		/* What asked comes after what went directly: the daemon relays it. */
		while ((got = receive(bus->client[0].daemon)) >= 0) {
			int64_t written;

			do {
				int direct;

				while ((direct = receive(bus->client[1].fd)) >= 0) {
					EQUAL(direct % 100000, next[direct / 100000]++);
					total++;
				}
				written = daemon_send(bus, 1, got);
			} while (written == -EAGAIN || written == -EBUSY);
			EQUAL(written, MINIMUM);
		}
		release(bus, 0);
		while ((got = receive(bus->client[1].fd)) >= 0) {
			EQUAL(got % 100000, next[got / 100000]++);
			total++;
		}
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	CHECK(stats_of(bus, 0).direct > 0);
	bus_free(bus);
}
