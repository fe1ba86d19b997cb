// SPDX-License-Identifier: GPL-2.0
/* Multicasts reach all matching members or none, whatever happens in the middle. */

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "umc.h"

TEST(multicast_reaches_all_that_match, SMOKE | EACH_TYPE)
{
	struct bus *bus = bus_new(5);

	set_ingress_topic(bus, 0, 3);	/* the sender itself may be a receiver */
	set_ingress_topic(bus, 1, 3);
	set_ingress_topic(bus, 2, 4);
	set_verdict(bus, UMC_FILTER_INGRESS, 3, UMC_NO);
	EQUAL(send_topic(&bus->client[0], 3, 1), MINIMUM);
	EQUAL(send_topic(&bus->client[0], 4, 2), MINIMUM);
	expect(bus->client[0].fd, 1);
	expect_nothing(bus->client[0].fd);
	expect(bus->client[1].fd, 1);
	expect_nothing(bus->client[1].fd);
	expect(bus->client[2].fd, 2);
	expect_nothing(bus->client[3].fd);
	expect(bus->client[4].fd, 1);
	expect(bus->client[4].fd, 2);
	expect_nothing(bus->client[0].daemon);
	EQUAL(stats_of(bus, 0).multicast, 2);
	EQUAL(stats_of(bus, 0).copies, 5);
	EQUAL(stats_of(bus, UMC_ANY).received, 5);
	bus_free(bus);
}

TEST(unwanted_multicast_wakes_no_member, SMOKE | EACH_TYPE)
{
	struct bus *bus = bus_new(3);

	for (uint32_t i = 0; i < 3; i++)
		set_verdict(bus, UMC_FILTER_INGRESS, i, UMC_NO);
	EQUAL(send_to(&bus->client[0], UMC_MULTICAST, 1), MINIMUM);
	for (uint32_t i = 0; i < 3; i++) {
		expect_nothing(bus->client[i].fd);
		expect_nothing(bus->client[i].daemon);
	}
	bus_free(bus);
}

/* All three ask for the multicast as a whole: the others get nothing. */
static void expect_asked(struct bus *bus, int reason)
{
	int asked_before = asked(bus, 0, reason);

	EQUAL(send_to(&bus->client[0], UMC_MULTICAST, 77), MINIMUM);
	expect(bus->client[0].daemon, 77);
	for (unsigned int i = 1; i < bus->clients; i++)
		if (bus->client[i].daemon >= 0 && (reason != UMC_ASKED_FULL || i != 2))
			expect_nothing(bus->client[i].fd);
	EQUAL(asked(bus, 0, reason), asked_before + 1);
	EQUAL(release(bus, 0), 0);
}

TEST(one_ask_asks_for_all, SMOKE | EACH_TYPE)
{
	struct bus *bus = bus_new(4);

	set_verdict(bus, UMC_FILTER_INGRESS, 0, UMC_NO);
	set_verdict(bus, UMC_FILTER_INGRESS, 3, UMC_ASK);
	expect_asked(bus, UMC_ASKED_INGRESS);
	CHECK(!set_filter(bus, UMC_FILTER_INGRESS, 3, NULL, 0));
	expect_asked(bus, UMC_ASKED_INGRESS);
	set_verdict(bus, UMC_FILTER_INGRESS, 3, UMC_YES);
	set_verdict(bus, UMC_FILTER_REST, UMC_ANY, UMC_YES);
	expect_asked(bus, UMC_ASKED_REST);
	set_verdict(bus, UMC_FILTER_REST, UMC_ANY, UMC_ASK);
	expect_asked(bus, UMC_ASKED_REST);
	CHECK(!set_filter(bus, UMC_FILTER_REST, UMC_ANY, NULL, 0));
	expect_asked(bus, UMC_ASKED_REST);
	bus_free(bus);
}

TEST(one_held_receiver_asks_for_all, SMOKE | EACH_TYPE)
{
	struct bus *bus = bus_new(4);

	set_verdict(bus, UMC_FILTER_INGRESS, 0, UMC_NO);
	EQUAL(daemon_write(bus, 3, NULL, 0, UMC_WRITE_HOLD), 0);
	expect_asked(bus, UMC_ASKED_HELD);
	EQUAL(daemon_write(bus, 3, NULL, 0, 0), 0);
	send_to(&bus->client[0], UMC_MULTICAST, 1);
	expect(bus->client[3].fd, 1);
	bus_free(bus);
}

TEST(one_full_receiver_asks_for_all, SMOKE | EACH_TYPE)
{
	struct bus *bus = bus_new(4);

	set_verdict(bus, UMC_FILTER_INGRESS, 0, UMC_NO);
	fill(bus, &bus->client[1], &bus->client[2]);
	expect_asked(bus, UMC_ASKED_FULL);
	while (receive(bus->client[2].fd) >= 0)
		;
	send_to(&bus->client[0], UMC_MULTICAST, 1);
	for (int i = 1; i < 4; i++)
		expect(bus->client[i].fd, 1);
	bus_free(bus);
}

TEST(one_receiver_that_wants_credentials_asks_for_all, SMOKE | EACH_TYPE)
{
	struct bus *bus = bus_new(4);
	int one = 1, zero = 0;

	set_verdict(bus, UMC_FILTER_INGRESS, 0, UMC_NO);
	CHECK(!setsockopt(bus->client[3].fd, SOL_SOCKET, SO_PASSCRED, &one, sizeof(one)));
	expect_asked(bus, UMC_ASKED_CREDENTIALS);
	CHECK(!setsockopt(bus->client[3].fd, SOL_SOCKET, SO_PASSCRED, &zero, sizeof(zero)));
	CHECK(!setsockopt(bus->client[3].daemon, SOL_SOCKET, SO_PASSSEC, &one, sizeof(one)));
	expect_asked(bus, UMC_ASKED_CREDENTIALS);
	bus_free(bus);
}

TEST(receiver_with_passcred, SMOKE | EACH_TYPE)
{
	struct bus *bus = bus_new(2);
	int one = 1;

	/* It would get the credentials of the task that delivers. */
	CHECK(!setsockopt(bus->client[1].fd, SOL_SOCKET, SO_PASSCRED, &one, sizeof(one)));
	send_to(&bus->client[0], TO(1), 1);
	expect(bus->client[0].daemon, 1);
	EQUAL(asked(bus, 0, UMC_ASKED_CREDENTIALS), 1);
	bus_free(bus);
}

TEST(departed_members_do_not_count, EACH_TYPE)
{
	struct bus *bus = bus_new(4);

	CHECK(!remove_member(bus, 2));
	close(bus->client[3].fd);
	bus->client[3].fd = -1;
	send_to(&bus->client[0], UMC_MULTICAST, 1);
	expect(bus->client[0].fd, 1);
	expect(bus->client[1].fd, 1);
	expect_nothing(bus->client[2].fd);
	bus_free(bus);
}

TEST(closed_daemons_end_asks, EACH_TYPE)
{
	struct bus *bus = bus_new(4);

	/* The daemon should have removed it first; nothing may be lost even so. */
	set_verdict(bus, UMC_FILTER_INGRESS, 0, UMC_NO);
	close(bus->client[3].daemon);
	bus->client[3].daemon = -1;
	expect_asked(bus, UMC_ASKED_DEAD);
	send_to(&bus->client[0], TO(3), 2);
	expect(bus->client[0].daemon, 2);
	bus_free(bus);
}

TEST(receiver_killed_in_mid_multicast, EACH_TYPE)
{
	enum { ROUNDS = 60 };
	struct bus *bus = bus_new(3);
	uint32_t sequence = 0;

	set_verdict(bus, UMC_FILTER_INGRESS, 0, UMC_NO);
	for (int round = 0; round < ROUNDS; round++) {
		struct client victim;
		int next = sequence + 1, got;
		pid_t pid;

		client_connect(bus, &victim);
		CHECK(!client_add(bus, &victim, 10));
		set_verdict(bus, UMC_FILTER_INGRESS, 10, UMC_YES);
		pid = fork();
		if (pid == 0) {
			char byte[4096];

			for (unsigned int i = 0; i < bus->clients; i++)
				client_close(&bus->client[i]);
			while (recv(victim.fd, byte, sizeof(byte), 0) > 0)
				;
			_exit(0);
		}
		close(victim.fd);
		for (int i = 0; i < 40; i++) {
			if (i == 20)
				kill(pid, SIGKILL);
			EQUAL(send_to(&bus->client[0], UMC_MULTICAST, ++sequence), MINIMUM);
			if (receive(bus->client[0].daemon) >= 0) {
				/* Asked as a whole: no member has got it. */
				EQUAL(release(bus, 0), 0);
				sequence--;
			}
		}
		waitpid(pid, NULL, 0);
		for (; next <= (int)sequence; next++)
			for (int i = 1; i < 3; i++) {
				got = receive(bus->client[i].fd);
				EQUAL(got, next);
			}
		close(victim.daemon);
		CHECK(!remove_member(bus, 10));
		CHECK(!forget(bus, 10));
	}
	CHECK(stats_of(bus, 0).multicast > ROUNDS * 20);
	bus_free(bus);
}

TEST(many_receivers_at_once, EACH_TYPE)
{
	struct bus *bus = bus_new(MAX_CLIENTS);

	for (int i = 0; i < 50; i++)
		EQUAL(send_to(&bus->client[i % MAX_CLIENTS], UMC_MULTICAST, i), MINIMUM);
	for (int c = 0; c < MAX_CLIENTS; c++)
		for (int i = 0; i < 50; i++)
			expect(bus->client[c].fd, i);
	bus_free(bus);
}

/* ---- spill ---- */

static int read_spill(struct bus *bus, struct umc_spill *spill, struct message *message, size_t size)
{
	char buffer[LARGE];
	int n = read(bus->group, buffer, sizeof(buffer));

	if (n < 0)
		return n;
	memcpy(spill, buffer, sizeof(*spill));
	EQUAL(n, sizeof(*spill) + spill->length);
	CHECK(spill->length <= size);
	memcpy(message, buffer + sizeof(*spill), spill->length);
	return n;
}

TEST(nothing_spilled_nothing_to_read, SMOKE)
{
	struct bus *bus = bus_new(1);
	char buffer[100];

	CHECK(!fcntl(bus->group, F_SETFL, O_NONBLOCK));
	CHECK(!readable(bus->group, 0));
	FAILS(read(bus->group, buffer, sizeof(buffer)), EAGAIN);
	bus_free(bus);
}

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);

	CHECK(fd >= 0);
	CHECK(write(fd, text, strlen(text)) == (int)strlen(text));
	close(fd);
}

/* The daemon finishes every spilled delivery; every member has everything in order. */
static void finish_spills(struct bus *bus, unsigned int *spills)
{
	char buffer[LARGE];
	struct umc_spill spill;

	while (readable(bus->group, 0)) {
		struct message *message = (struct message *)buffer;
		int64_t written;

		CHECK(read_spill(bus, &spill, message, sizeof(buffer)) > 0);
		EQUAL(spill.sender, 0);
		CHECK(state_of(bus, spill.receiver) & UMC_STATE_HELD);
		written = daemon_write(bus, spill.receiver, buffer + spill.written,
				       spill.length - spill.written, 0);
		EQUAL(written, spill.length - spill.written);
		(*spills)++;
	}
}

TEST(spilled_delivery_is_finished_by_the_daemon, INJECT | EACH_TYPE)
{
	struct bus *bus = bus_new(3);
	struct umc_spill spill;
	struct message message;
	char small[4];

	set_verdict(bus, UMC_FILTER_INGRESS, 0, UMC_NO);
	write_file("/sys/module/unix_multicast/parameters/inject", "2");
	EQUAL(send_to(&bus->client[0], UMC_MULTICAST, 1), MINIMUM);
	write_file("/sys/module/unix_multicast/parameters/inject", "0");
	/* One of the two has got it, the other is held. */
	CHECK(readable(bus->group, 0));
	EQUAL(stats_of(bus, UMC_ANY).spilled, 1);
	FAILS(read(bus->group, small, sizeof(small)), EMSGSIZE);
	FAILS(readv(bus->group, &(struct iovec){ (void *)8, 4000 }, 1), EFAULT);
	EQUAL(daemon_send(bus, state_of(bus, 1) & UMC_STATE_SPILLED ? 1 : 2, 9), -EBUSY);
	send_to(&bus->client[0], UMC_MULTICAST, 2);
	expect(bus->client[0].daemon, 2);
	EQUAL(release(bus, 0), 0);
	CHECK(read_spill(bus, &spill, &message, sizeof(message)) > 0);
	EQUAL(spill.written, 0);
	EQUAL(spill.length, MINIMUM);
	EQUAL(message.sequence, 1);
	CHECK(!readable(bus->group, 0));
	expect(bus->client[3 - spill.receiver].fd, 1);
	expect_nothing(bus->client[spill.receiver].fd);
	CHECK(state_of(bus, spill.receiver) & UMC_STATE_HELD);
	EQUAL(daemon_write(bus, spill.receiver, &message, MINIMUM, 0), MINIMUM);
	CHECK(!(state_of(bus, spill.receiver) & UMC_STATE_HELD));
	expect(bus->client[spill.receiver].fd, 1);
	send_to(&bus->client[0], UMC_MULTICAST, 3);
	expect(bus->client[1].fd, 3);
	expect(bus->client[2].fd, 3);
	bus_free(bus);
}

TEST(random_failures_lose_nothing, INJECT | EACH_TYPE)
{
	struct bus *bus = bus_new(3);
	unsigned int spills = 0;
	int next[3] = {};

	set_verdict(bus, UMC_FILTER_INGRESS, 0, UMC_NO);
	write_file("/sys/module/unix_multicast/parameters/inject", "7");
	for (int i = 0; i < 500; i++) {
		int got;

		EQUAL(send_to(&bus->client[0], UMC_MULTICAST, i), MINIMUM);
		finish_spills(bus, &spills);
		while ((got = receive(bus->client[0].daemon)) >= 0)
			for (int c = 1; c < 3; c++)
				EQUAL(daemon_send(bus, c, got), MINIMUM);
		EQUAL(release(bus, 0), 0);
		for (int c = 1; c < 3; c++)
			while ((got = receive(bus->client[c].fd)) >= 0)
				EQUAL(got, next[c]++);
	}
	write_file("/sys/module/unix_multicast/parameters/inject", "0");
	EQUAL(next[1], 500);
	EQUAL(next[2], 500);
	CHECK(spills > 50);
	bus_free(bus);
}

TEST(unicast_that_fails_asks, INJECT | EACH_TYPE)
{
	struct bus *bus = bus_new(2);

	write_file("/sys/module/unix_multicast/parameters/inject", "1");
	send_key(&bus->client[0], CALL(1), 1, 5);
	write_file("/sys/module/unix_multicast/parameters/inject", "0");
	expect(bus->client[0].daemon, 1);
	EQUAL(asked(bus, 0, UMC_ASKED_MEMORY), 1);
	EQUAL(pending_count(bus, UMC_ANY, UMC_ANY), 0);
	bus_free(bus);
}

TEST(closing_the_group_delivers_what_was_spilled, INJECT | EACH_TYPE)
{
	struct bus *bus = bus_new(2);

	set_verdict(bus, UMC_FILTER_INGRESS, 0, UMC_NO);
	write_file("/sys/module/unix_multicast/parameters/inject", "1");
	EQUAL(send_to(&bus->client[0], UMC_MULTICAST, 1), MINIMUM);
	write_file("/sys/module/unix_multicast/parameters/inject", "0");
	expect_nothing(bus->client[1].fd);
	close(bus->group);
	bus->group = -1;
	expect(bus->client[1].fd, 1);
	bus_free(bus);
}

TEST(spilled_message_of_a_receiver_that_left, INJECT | EACH_TYPE)
{
	struct bus *bus = bus_new(2);
	struct umc_spill spill;
	struct message message;

	set_verdict(bus, UMC_FILTER_INGRESS, 0, UMC_NO);
	write_file("/sys/module/unix_multicast/parameters/inject", "1");
	EQUAL(send_to(&bus->client[0], UMC_MULTICAST, 1), MINIMUM);
	write_file("/sys/module/unix_multicast/parameters/inject", "0");
	CHECK(!remove_member(bus, 1));
	CHECK(read_spill(bus, &spill, &message, sizeof(message)) > 0);
	EQUAL(spill.receiver, 1);
	/* An ordinary socket again: the daemon writes to it as ever. */
	EQUAL(send(bus->client[1].daemon, &message, MINIMUM, 0), MINIMUM);
	expect(bus->client[1].fd, 1);
	bus_free(bus);
}

TEST(multicast_under_a_memcg_limit, 0)
{
	static const char group[] = "/run/cgroup/umc";
	enum { ROUNDS = 400, SIZE = 30000 };
	struct bus *bus;
	unsigned int spills = 0;
	int status;
	pid_t pid;

	socket_type = SOCK_STREAM;
	bus = bus_new(10);
	write_file("/run/cgroup/cgroup.subtree_control", "+memory");
	CHECK(!mkdir(group, 0755) || errno == EEXIST);
	write_file("/run/cgroup/umc/memory.max", "6M");
	write_file("/run/cgroup/umc/memory.oom.group", "0");
	set_verdict(bus, UMC_FILTER_INGRESS, 0, UMC_NO);
	for (uint32_t i = 1; i < 10; i++)
		CHECK(!setsockopt(bus->client[i].daemon, SOL_SOCKET, SO_SNDBUFFORCE,
				  &(int){ 8 << 20 }, sizeof(int)));
	pid = fork();
	if (pid == 0) {
		char text[20];

		snprintf(text, sizeof(text), "%d", getpid());
		write_file("/run/cgroup/umc/cgroup.procs", text);
		for (int i = 0; i < ROUNDS; i++)
			send_sized(&bus->client[0], UMC_MULTICAST, i, SIZE);
		_exit(0);
	}
	CHECK(waitpid(pid, &status, 0) == pid);
	rmdir(group);
	/* Its memory ran out, perhaps it was killed: what was delivered is the same for all. */
	finish_spills(bus, &spills);
	for (int i = 0, first = 0; first >= 0; i++) {
		first = receive(bus->client[1].fd);
		if (first >= 0)
			EQUAL(first, i);
		for (int c = 2; c < 10; c++)
			EQUAL(receive(bus->client[c].fd), first);
	}
	printf("# %llu multicasts, %u spilled, asked for memory %llu\n",
	       (unsigned long long)stats_of(bus, 0).multicast, spills,
	       (unsigned long long)asked(bus, 0, UMC_ASKED_MEMORY));
	CHECK(stats_of(bus, 0).multicast > 0 && stats_of(bus, 0).multicast < ROUNDS);
	bus_free(bus);
}
