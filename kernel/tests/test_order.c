// SPDX-License-Identifier: GPL-2.0
/* Order between direct and relayed messages: dirty, held, and what they prevent. */

#include <pthread.h>
#include <sys/syscall.h>

#include "umc.h"

TEST(a_new_member_is_dirty, SMOKE | EACH_TYPE)
{
	struct bus *bus = bus_new(2);
	struct client other;

	client_connect(bus, &other);
	CHECK(!client_add(bus, &other, 9));
	CHECK(state_of(bus, 9) & UMC_STATE_DIRTY);
	set_verdict(bus, UMC_FILTER_EGRESS, 9, TO(1));
	send_to(&other, 0, 1);
	expect(other.daemon, 1);
	EQUAL(asked(bus, 9, UMC_ASKED_DIRTY), 1);
	EQUAL(release(bus, 9), 0);
	send_to(&other, 0, 2);
	expect(bus->client[1].fd, 2);
	client_close(&other);
	bus_free(bus);
}

TEST(after_an_ask_everything_asks_until_released, SMOKE | EACH_TYPE)
{
	struct bus *bus = bus_new(2);

	send_to(&bus->client[0], UMC_ASK, 1);
	send_to(&bus->client[0], TO(1), 2);
	EQUAL(release(bus, 0), -EBUSY);
	expect(bus->client[0].daemon, 1);
	EQUAL(release(bus, 0), -EBUSY);
	send_to(&bus->client[0], UMC_MULTICAST, 3);
	expect(bus->client[0].daemon, 2);
	expect(bus->client[0].daemon, 3);
	expect_nothing(bus->client[1].fd);
	EQUAL(release(bus, 0), 0);
	send_to(&bus->client[0], TO(1), 4);
	expect(bus->client[1].fd, 4);
	bus_free(bus);
}

TEST(release_reports_each_member, SMOKE | EACH_TYPE)
{
	struct umc_release_entry entries[3] = { { .index = 0 }, { .index = 1 }, { .index = 40 } };
	struct umc_write call = { .releases = (uintptr_t)entries, .release_count = 3 };
	struct bus *bus = bus_new(2);

	send_to(&bus->client[1], UMC_ASK, 1);
	EQUAL(ioctl(bus->group, UMC_WRITE, &call), 0);
	EQUAL(entries[0].result, 0);
	EQUAL(entries[1].result, -EBUSY);
	EQUAL(entries[2].result, -ENOENT);
	call.release_count = UMC_MAX_ENTRIES + 1;
	FAILS(ioctl(bus->group, UMC_WRITE, &call), EINVAL);
	call = (struct umc_write){ .release_count = 1 };
	FAILS(ioctl(bus->group, UMC_WRITE, &call), EFAULT);
	bus_free(bus);
}

TEST(release_tells_whether_there_were_direct_messages, SMOKE | EACH_TYPE)
{
	struct bus *bus = bus_new(2);

	for (uint32_t i = 1; i < 8; i += 2) {
		send_to(&bus->client[0], TO(1), i);
		expect(bus->client[1].fd, i);
		send_to(&bus->client[0], UMC_ASK, i + 1);
		EQUAL(release_result(bus, 0), -EBUSY);
		expect(bus->client[0].daemon, i + 1);
		EQUAL(release_result(bus, 0), 1);
		EQUAL(release_result(bus, 0), 0);
	}
	bus_free(bus);
}

TEST(held_receiver_gets_everything_through_the_daemon, SMOKE | EACH_TYPE)
{
	struct bus *bus = bus_new(2);

	EQUAL(daemon_write(bus, 1, NULL, 0, UMC_WRITE_HOLD), 0);
	CHECK(state_of(bus, 1) & UMC_STATE_HELD);
	send_to(&bus->client[0], TO(1), 1);
	expect(bus->client[0].daemon, 1);
	EQUAL(asked(bus, 0, UMC_ASKED_HELD), 1);
	EQUAL(daemon_send(bus, 1, 1), MINIMUM);
	CHECK(!(state_of(bus, 1) & UMC_STATE_HELD));
	EQUAL(release(bus, 0), 0);
	send_to(&bus->client[0], TO(1), 2);
	expect(bus->client[1].fd, 1);
	expect(bus->client[1].fd, 2);
	bus_free(bus);
}

/* ---- C reacts before B is flushed ---- */

struct reaction {
	struct bus *bus;
	struct client *from, *to;
	uint32_t sequence;
};

static void *react(void *argument)
{
	struct reaction *r = argument;
	char buffer[MINIMUM];

	/* Blocks until the daemon's message is there, then answers to B at once. */
	CHECK(recv(r->from->fd, buffer, sizeof(buffer), MSG_WAITALL) == (int)MINIMUM);
	send_to(r->from, TO(r->to->index), r->sequence);
	return NULL;
}

TEST(c_reacts_before_b_is_flushed, SMOKE | EACH_TYPE)
{
	struct bus *bus = bus_new(3);
	struct client *b = &bus->client[1], *c = &bus->client[2];

	for (uint32_t round = 1; round < 200; round++) {
		struct message *cause = message_new(0, MINIMUM, round);
		struct iovec iov = { cause, MINIMUM };
		struct umc_write_entry entries[2] = {
			{ .index = c->index, .iov = (uintptr_t)&iov, .iov_count = 1 },
			{ .index = b->index, .iov = (uintptr_t)&iov, .iov_count = 1 },
		};
		struct umc_write call = { .entries = (uintptr_t)entries, .count = 2 };
		struct reaction r = { bus, c, b, 1000 + round };
		pthread_t thread;

		CHECK(!pthread_create(&thread, NULL, react, &r));
		/* C is written first; what it does then must not reach B before the cause. */
		EQUAL(ioctl(bus->group, UMC_WRITE, &call), 2);
		pthread_join(thread, NULL);
		expect(b->fd, round);
		if (receive(b->fd) != (int)(1000 + round)) {
			expect(c->daemon, 1000 + round);
			EQUAL(release(bus, c->index), 0);
		}
		free(cause);
	}
	bus_free(bus);
}

/* ---- the daemon wakes ---- */

struct releasing {
	struct bus *bus;
	_Atomic int thread;
	_Atomic uint32_t awaited;
	unsigned int refused;
};

/* As a daemon does: sleeps, reads, dispatches, releases. */
static void *read_and_release(void *argument)
{
	struct releasing *r = argument;
	struct client *client = &r->bus->client[0];

	r->thread = syscall(SYS_gettid);
	CHECK(readable(client->daemon, 5000));
	expect(client->daemon, r->awaited);
	r->refused += release(r->bus, 0) != 0;
	return NULL;
}

TEST(woken_daemon_can_release, SMOKE | EACH_TYPE)
{
	struct bus *bus = bus_new(2);
	struct releasing r = { .bus = bus };

	for (uint32_t round = 1; round <= 100; round++) {
		pthread_t thread;

		r.awaited = round;
		r.thread = 0;
		CHECK(!pthread_create(&thread, NULL, read_and_release, &r));
		wait_until_asleep(&r.thread);
		send_to(&bus->client[0], UMC_ASK, round);
		pthread_join(thread, NULL);
		EQUAL(r.refused, 0);
	}
	EQUAL(asked(bus, 0, UMC_ASKED_VERDICT), 100);
	bus_free(bus);
}

/* ---- receivers that sleep until the daemon has written ---- */

struct sleeper {
	struct client *client;
	uint32_t to;
	_Atomic int thread;
};

/* Sleeps in recv, and at once passes on what it gets. */
static void *pass_on(void *argument)
{
	struct sleeper *s = argument;
	struct message got;

	s->thread = syscall(SYS_gettid);
	EQUAL(recv(s->client->fd, &got, MINIMUM, 0), MINIMUM);
	EQUAL(send_to(s->client, TO(s->to), 1000 + got.sequence), MINIMUM);
	return NULL;
}

TEST(no_receiver_is_woken_before_all_are_written, SMOKE | EACH_TYPE)
{
	enum { SLEEPERS = 8, ROUNDS = 20 };
	struct bus *bus = bus_new(SLEEPERS + 1);
	struct umc_write_entry entries[SLEEPERS + 1];
	struct umc_write call = { .entries = (uintptr_t)entries, .count = SLEEPERS + 1 };
	unsigned int direct = 0;

	for (uint32_t round = 0; round < ROUNDS; round++) {
		struct message *message = message_new(0, MINIMUM, round);
		struct iovec iov = { message, MINIMUM };
		struct sleeper sleepers[SLEEPERS];
		pthread_t threads[SLEEPERS];

		/* The last one written is the receiver of all the others' messages. */
		for (uint32_t i = 0; i <= SLEEPERS; i++)
			entries[i] = (struct umc_write_entry){
				.index = i, .iov = (uintptr_t)&iov, .iov_count = 1,
			};
		for (uint32_t i = 0; i < SLEEPERS; i++) {
			sleepers[i] = (struct sleeper){ &bus->client[i], SLEEPERS, 0 };
			CHECK(!pthread_create(&threads[i], NULL, pass_on, &sleepers[i]));
			wait_until_asleep(&sleepers[i].thread);
		}
		EQUAL(ioctl(bus->group, UMC_WRITE, &call), SLEEPERS + 1);
		for (uint32_t i = 0; i < SLEEPERS; i++)
			pthread_join(threads[i], NULL);
		expect(bus->client[SLEEPERS].fd, round);
		/* Two that send at the same time may meet, and one of them asks. */
		while (receive(bus->client[SLEEPERS].fd) == (int)(1000 + round))
			direct++;
		settle(bus);
		free(message);
	}
	EQUAL(asked(bus, UMC_ANY, UMC_ASKED_HELD), 0);
	EQUAL(direct + asked(bus, UMC_ANY, UMC_ASKED_BUSY), SLEEPERS * ROUNDS);
	bus_free(bus);
}

TEST(a_long_batch_wakes_too, EACH_TYPE)
{
	enum { ENTRIES = 200 };
	struct bus *bus = bus_new(2);
	struct message *message = message_new(0, MINIMUM, 1);
	struct iovec iov = { message, MINIMUM };
	struct umc_write_entry entries[ENTRIES];
	struct umc_write call = { .entries = (uintptr_t)entries, .count = ENTRIES };
	struct sleeper sleeper = { &bus->client[0], 1, 0 };
	pthread_t thread;

	for (uint32_t i = 0; i < ENTRIES; i++)
		entries[i] = (struct umc_write_entry){
			.index = 0, .iov = (uintptr_t)&iov, .iov_count = 1,
		};
	CHECK(!pthread_create(&thread, NULL, pass_on, &sleeper));
	wait_until_asleep(&sleeper.thread);
	EQUAL(ioctl(bus->group, UMC_WRITE, &call), ENTRIES);
	pthread_join(thread, NULL);
	expect(bus->client[1].fd, 1001);
	for (uint32_t i = 1; i < ENTRIES; i++)
		expect(bus->client[0].fd, 1);
	expect_nothing(bus->client[0].fd);
	free(message);
	bus_free(bus);
}

TEST(c_reacts_while_the_daemon_still_holds_for_b, SMOKE | EACH_TYPE)
{
	struct bus *bus = bus_new(3);
	struct client *b = &bus->client[1], *c = &bus->client[2];

	/* B is full, so its part of the batch waits in the daemon; C has its own. */
	int before = fill(bus, &bus->client[0], b);

	CHECK(daemon_send(bus, b->index, 1) < 0);
	EQUAL(daemon_send(bus, c->index, 1), MINIMUM);
	expect(c->fd, 1);
	send_to(c, TO(b->index), 2);
	expect(c->daemon, 2);
	EQUAL(asked(bus, c->index, UMC_ASKED_HELD), 1);
	for (int i = 0; i < before; i++)
		expect(b->fd, i);
	expect_nothing(b->fd);
	EQUAL(daemon_send(bus, b->index, 1), MINIMUM);
	EQUAL(daemon_send(bus, b->index, 2), MINIMUM);
	expect(b->fd, 1);
	expect(b->fd, 2);
	bus_free(bus);
}

/* ---- two crossing broadcasts, one relayed ---- */

struct crossing {
	struct client *from;
	_Atomic uint32_t allowed;
	_Atomic uint32_t sent;
	_Atomic bool stop;
};

/* In bursts: a sender that never pauses stays with the daemon once it has asked. */
static void *broadcast(void *argument)
{
	struct crossing *c = argument;

	while (!c->stop) {
		if (c->sent < c->allowed && send_to(c->from, UMC_MULTICAST, c->sent + 1) == (int)MINIMUM)
			c->sent++;
		else
			sched_yield();
	}
	return NULL;
}

/* Writes one message to several members as one batch. */
static void relay(struct bus *bus, const uint32_t *to, unsigned int count, uint32_t sequence)
{
	struct message *message = message_new(0, MINIMUM, sequence);
	struct iovec iov = { message, MINIMUM };
	struct umc_write_entry entries[MAX_CLIENTS];
	struct umc_write call = { .entries = (uintptr_t)entries, .count = count };

	for (unsigned int i = 0; i < count; i++)
		entries[i] = (struct umc_write_entry){
			.index = to[i], .iov = (uintptr_t)&iov, .iov_count = 1,
		};
	/* A delivery may be under way: then its receiver is held, and the write is retried. */
	while (count) {
		unsigned int left = 0;

		CHECK(ioctl(bus->group, UMC_WRITE, &call) >= 0);
		for (unsigned int i = 0; i < count; i++) {
			if (entries[i].result == (int)MINIMUM)
				continue;
			CHECK(entries[i].result == -EBUSY || entries[i].result == -EAGAIN);
			entries[left++] = entries[i];
		}
		count = call.count = left;
	}
	free(message);
}

TEST(two_crossing_broadcasts_one_relayed, SMOKE | EACH_TYPE)
{
	static const uint32_t receivers[] = { 1, 2 };
	enum { ROUNDS = 150, BURST = 10, RELAYED = 1 << 20 };
	struct bus *bus = bus_new(4);
	struct crossing c = { .from = &bus->client[0] };
	uint32_t last = 0;
	pthread_t thread;

	set_verdict(bus, UMC_FILTER_INGRESS, 0, UMC_NO);
	set_verdict(bus, UMC_FILTER_INGRESS, 3, UMC_NO);
	CHECK(!pthread_create(&thread, NULL, broadcast, &c));
	for (uint32_t round = 0; round < ROUNDS; round++) {
		int asked_for, first;

		c.allowed += BURST;
		for (uint32_t i = 0; i < BURST / 2; i++)
			relay(bus, receivers, 2, RELAYED + round);
		do {
			asked_for = receive(bus->client[0].daemon);
			if (asked_for >= 0)
				relay(bus, receivers, 2, asked_for);
		} while (asked_for >= 0 || c.sent < c.allowed);
		release(bus, 0);
		/* Both see the same things in the same order, and nothing is missing. */
		while ((first = receive(bus->client[1].fd)) >= 0) {
			EQUAL(receive(bus->client[2].fd), first);
			if (first < RELAYED)
				EQUAL(first, ++last);
		}
	}
	c.stop = true;
	pthread_join(thread, NULL);
	settle(bus);
	CHECK(last >= (ROUNDS - 1) * BURST);
	CHECK(stats_of(bus, 0).multicast > 0);
	printf("# %llu direct of %u\n", (unsigned long long)stats_of(bus, 0).multicast, c.sent);
	bus_free(bus);
}
