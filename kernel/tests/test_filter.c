// SPDX-License-Identifier: GPL-2.0
/* Filters: what verdicts mean, chaining, replacement, the gate, and that members can't interfere. */

#include <pthread.h>

#include "umc.h"

TEST(no_filter_asks, SMOKE | EACH_TYPE)
{
	struct bus *bus = bus_new(2);

	CHECK(!set_filter(bus, UMC_FILTER_EGRESS, 0, NULL, 0));
	send_to(&bus->client[0], TO(1), 1);
	expect(bus->client[0].daemon, 1);
	bus_free(bus);
}

TEST(unknown_verdict_asks, SMOKE | EACH_TYPE)
{
	static const uint32_t verdicts[] = {
		UMC_ASK, UMC_ASK_NOW, UMC_NO | 1, UMC_YES | 1, 0x50000001, 0xe0000001, 0x08000001, ~0u,
	};
	struct bus *bus = bus_new(2);

	for (unsigned int i = 0; i < ARRAY_SIZE(verdicts); i++) {
		send_to(&bus->client[0], verdicts[i], i);
		expect(bus->client[0].daemon, i);
		EQUAL(release(bus, 0), 0);
	}
	bus_free(bus);
}

TEST(load_out_of_range_asks, SMOKE | EACH_TYPE)
{
	static const struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 4000),
		BPF_STMT(BPF_RET | BPF_K, TO(1)),
	};
	static const struct sock_filter ingress[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 4000),
		BPF_STMT(BPF_RET | BPF_K, UMC_NO),
	};
	struct bus *bus = bus_new(2);

	CHECK(!set_filter(bus, UMC_FILTER_EGRESS, 0, code, ARRAY_SIZE(code)));
	send_to(&bus->client[0], 0, 1);
	expect(bus->client[0].daemon, 1);
	set_standard_filters(bus);
	EQUAL(release(bus, 0), 0);
	/* A signal must not vanish because an ingress filter can't decide. */
	CHECK(!set_filter(bus, UMC_FILTER_INGRESS, 1, ingress, ARRAY_SIZE(ingress)));
	send_to(&bus->client[0], UMC_MULTICAST, 2);
	expect(bus->client[0].daemon, 2);
	EQUAL(asked(bus, 0, UMC_ASKED_INGRESS), 1);
	bus_free(bus);
}

/* The other filters find the result of the first one; here it is the topic. */
static const struct sock_filter first_says_topic[] = {
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct message, topic)),
	BPF_STMT(BPF_RET | BPF_A, 0),
};

TEST(the_first_filter_tells_the_others, SMOKE | EACH_TYPE)
{
	static const struct sock_filter egress[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, SKF_AD_OFF + SKF_AD_RXHASH),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, UMC_YES | 7, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, TO(1)),
		BPF_STMT(BPF_RET | BPF_K, UMC_MULTICAST),
	};
	static const struct sock_filter ingress[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, SKF_AD_OFF + SKF_AD_RXHASH),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, UMC_UNICAST | 8, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, UMC_YES),
		BPF_STMT(BPF_RET | BPF_K, UMC_NO),
	};
	struct bus *bus = bus_new(0);
	struct client *client = bus->client;

	CHECK(!set_filter(bus, UMC_FILTER_FIRST, UMC_ANY, first_says_topic, 2));
	for (bus->clients = 0; bus->clients < 3; bus->clients++) {
		client_connect(bus, client + bus->clients);
		CHECK(!client_add(bus, client + bus->clients, bus->clients));
		CHECK(!set_filter(bus, UMC_FILTER_EGRESS, bus->clients, egress, ARRAY_SIZE(egress)));
		CHECK(!set_filter(bus, UMC_FILTER_INGRESS, bus->clients, ingress, ARRAY_SIZE(ingress)));
	}
	release_all(bus);
	send_topic(client, UMC_YES | 7, 1);
	expect(client[1].fd, 1);
	send_topic(client, UMC_UNICAST | 8, 2);
	expect(client[0].fd, 2);
	expect(client[1].fd, 2);
	expect(client[2].fd, 2);
	send_topic(client, UMC_UNICAST | 9, 3);
	expect_nothing(client[2].fd);
	EQUAL(stats_of(bus, 0).direct, 3);
	/* If it asks, no other filter runs. */
	send_topic(client, 0, 4);
	expect(client[0].daemon, 4);
	EQUAL(release(bus, 0), 0);
	send_topic(client, UMC_ASK_NOW | 7, 5);
	expect(client[0].daemon, 5);
	EQUAL(asked(bus, 0, UMC_ASKED_VERDICT), 2);
	FAILS(set_filter(bus, UMC_FILTER_FIRST, UMC_ANY, first_says_topic, 2), EBUSY);
	FAILS(set_filter(bus, UMC_FILTER_FIRST, 0, first_says_topic, 2), EINVAL);
	FAILS(set_filter(bus, UMC_FILTER_SHARED + 1, UMC_ANY, first_says_topic, 2), EINVAL);
	bus_free(bus);
}

TEST(any_ancillary_load_is_harmless, EACH_TYPE)
{
	struct bus *bus = bus_new(2);

	/* Everything classic BPF offers must run on our copy without a warning. */
	for (int what = 0; what <= SKF_AD_VLAN_TPID; what += 4) {
		struct sock_filter code[] = {
			BPF_STMT(BPF_LDX | BPF_W | BPF_IMM, 0),
			BPF_STMT(BPF_LD | BPF_W | BPF_IMM, 8),
			BPF_STMT(BPF_LD | BPF_W | BPF_ABS, SKF_AD_OFF + what),
			BPF_STMT(BPF_RET | BPF_K, TO(1)),
		};

		if (set_filter(bus, UMC_FILTER_EGRESS, 0, code, ARRAY_SIZE(code)))
			continue;
		send_to(&bus->client[0], 0, what);
		if (receive(bus->client[1].fd) != what) {
			expect(bus->client[0].daemon, what);
			EQUAL(release(bus, 0), 0);
		}
	}
	for (int base = 0; base < 2; base++) {
		struct sock_filter code[] = {
			BPF_STMT(BPF_LD | BPF_W | BPF_ABS, base ? SKF_LL_OFF : SKF_NET_OFF),
			BPF_STMT(BPF_RET | BPF_A, 0),
		};

		CHECK(!set_filter(bus, UMC_FILTER_EGRESS, 0, code, ARRAY_SIZE(code)));
		send_to(&bus->client[0], TO(1), 500 + base);
		expect(bus->client[1].fd, 500 + base);
	}
	bus_free(bus);
}

static int set_chain(struct bus *bus, uint32_t which, uint32_t index, struct umc_program *programs,
		     uint32_t count)
{
	struct umc_filter filter = {
		.index = index, .which = which, .count = count, .programs = (uintptr_t)programs,
	};

	return ioctl(bus->group, UMC_SET_FILTER, &filter);
}

TEST(chain_beyond_4096_instructions, SMOKE | EACH_TYPE)
{
	static struct sock_filter padded[BPF_MAXINSNS];
	struct sock_filter last = BPF_STMT(BPF_RET | BPF_K, TO(1));
	struct sock_filter stop = BPF_STMT(BPF_RET | BPF_K, UMC_ASK_NOW);
	struct bus *bus = bus_new(2);
	struct umc_program programs[4];

	for (unsigned int i = 0; i < BPF_MAXINSNS - 1; i++)
		padded[i] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_IMM, i);
	padded[BPF_MAXINSNS - 1] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, UMC_ASK);
	for (int i = 0; i < 3; i++)
		programs[i] = (struct umc_program){ (uintptr_t)padded, BPF_MAXINSNS, 0 };
	programs[3] = (struct umc_program){ (uintptr_t)&last, 1, 0 };
	CHECK(!set_chain(bus, UMC_FILTER_EGRESS, 0, programs, 4));
	send_to(&bus->client[0], 0, 1);
	expect(bus->client[1].fd, 1);
	/* The first verdict that is not plain ask wins. */
	programs[1] = (struct umc_program){ (uintptr_t)&stop, 1, 0 };
	CHECK(!set_chain(bus, UMC_FILTER_EGRESS, 0, programs, 4));
	send_to(&bus->client[0], 0, 2);
	expect(bus->client[0].daemon, 2);
	bus_free(bus);
}

TEST(bad_programs_are_refused, SMOKE)
{
	struct sock_filter endless = BPF_STMT(BPF_LD | BPF_IMM, 1);
	struct sock_filter good = BPF_STMT(BPF_RET | BPF_K, 0);
	struct umc_program program = { (uintptr_t)&good, 1, 0 };
	struct umc_program many[UMC_MAX_PROGRAMS + 1];
	struct bus *bus = bus_new(2);

	FAILS(set_filter(bus, UMC_FILTER_EGRESS, 0, &endless, 1), EINVAL);
	FAILS(set_filter(bus, UMC_FILTER_EGRESS, 50, &good, 1), ENOENT);
	FAILS(set_filter(bus, UMC_FILTER_REST, 0, &good, 1), EINVAL);
	FAILS(set_filter(bus, UMC_FILTER_EGRESS, UMC_ANY, &good, 1), EINVAL);
	program.length = 0;
	FAILS(set_chain(bus, UMC_FILTER_EGRESS, 0, &program, 1), EINVAL);
	program.length = BPF_MAXINSNS + 1;
	FAILS(set_chain(bus, UMC_FILTER_EGRESS, 0, &program, 1), EINVAL);
	program = (struct umc_program){ (uintptr_t)&good, 1, 1 };
	FAILS(set_chain(bus, UMC_FILTER_EGRESS, 0, &program, 1), EINVAL);
	program = (struct umc_program){ 8, 1, 0 };
	FAILS(set_chain(bus, UMC_FILTER_EGRESS, 0, &program, 1), EFAULT);
	FAILS(set_chain(bus, UMC_FILTER_EGRESS, 0, NULL, 1), EFAULT);
	for (unsigned int i = 0; i < ARRAY_SIZE(many); i++)
		many[i] = (struct umc_program){ (uintptr_t)&good, 1, 0 };
	FAILS(set_chain(bus, UMC_FILTER_EGRESS, 0, many, ARRAY_SIZE(many)), EINVAL);
	/* A refused replacement leaves the old filter. */
	send_to(&bus->client[0], TO(1), 1);
	expect(bus->client[1].fd, 1);
	bus_free(bus);
}

TEST(member_can_not_touch_its_filters, SMOKE | EACH_TYPE)
{
	struct sock_filter all = BPF_STMT(BPF_RET | BPF_K, ~0u);
	struct sock_fprog fprog = { 1, &all };
	struct sock_filter read[16];
	struct bus *bus = bus_new(2);
	int fd = bus->client[0].fd, zero = 0, one = 1;
	socklen_t length = ARRAY_SIZE(read);

	FAILS(setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, &zero, sizeof(zero)), ENOENT);
	CHECK(!getsockopt(fd, SOL_SOCKET, SO_GET_FILTER, read, &length));
	EQUAL(length, 0);
	CHECK(!setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &fprog, sizeof(fprog)));
	CHECK(!setsockopt(fd, SOL_SOCKET, SO_LOCK_FILTER, &one, sizeof(one)));
	set_verdict(bus, UMC_FILTER_EGRESS, 0, UMC_ASK);
	send_to(&bus->client[0], TO(1), 1);
	expect(bus->client[0].daemon, 1);
	set_verdict(bus, UMC_FILTER_EGRESS, 0, TO(1));
	EQUAL(release(bus, 0), 0);
	send_to(&bus->client[0], 0, 2);
	expect(bus->client[1].fd, 2);
	/* The member has no way to the group's ioctls either. */
	FAILS(ioctl(fd, UMC_WRITE, &zero), ENOTTY);
	bus_free(bus);
}

TEST(ingress_sees_the_senders_mark, SMOKE | EACH_TYPE)
{
	static const struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, SKF_AD_OFF + SKF_AD_MARK),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 77, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, UMC_YES),
		BPF_STMT(BPF_RET | BPF_K, UMC_ASK),
	};
	struct umc_mark mark = { .index = 0, .mark = 77 };
	struct bus *bus = bus_new(2);

	CHECK(!set_filter(bus, UMC_FILTER_INGRESS, 1, code, ARRAY_SIZE(code)));
	send_to(&bus->client[0], UMC_MULTICAST, 1);
	expect(bus->client[0].daemon, 1);
	EQUAL(release(bus, 0), 0);
	CHECK(!ioctl(bus->group, UMC_SET_MARK, &mark));
	send_to(&bus->client[0], UMC_MULTICAST, 2);
	expect(bus->client[1].fd, 2);
	expect(bus->client[0].fd, 2);
	mark.index = 40;
	FAILS(ioctl(bus->group, UMC_SET_MARK, &mark), ENOENT);
	bus_free(bus);
}

TEST(closed_gate_makes_every_member_ask, SMOKE | EACH_TYPE)
{
	struct bus *bus = bus_new(3);

	CHECK(!gate(bus, true));
	send_to(&bus->client[0], TO(1), 1);
	send_to(&bus->client[1], UMC_MULTICAST, 2);
	expect(bus->client[0].daemon, 1);
	expect(bus->client[1].daemon, 2);
	EQUAL(asked(bus, 0, UMC_ASKED_GATE), 1);
	release_all(bus);
	send_to(&bus->client[0], TO(1), 3);
	expect(bus->client[0].daemon, 3);
	CHECK(!gate(bus, false));
	release_all(bus);
	send_to(&bus->client[0], TO(1), 4);
	expect(bus->client[1].fd, 4);
	bus_free(bus);
}

TEST(revoked_filters_ask_until_they_are_new, SMOKE | EACH_TYPE)
{
	struct bus *bus = bus_new(2);

	CHECK(!ioctl(bus->group, UMC_REVOKE));
	send_to(&bus->client[0], TO(1), 1);
	expect(bus->client[0].daemon, 1);
	EQUAL(asked(bus, 0, UMC_ASKED_VERDICT), 1);
	EQUAL(release(bus, 0), 0);
	/* One filter is not the other. */
	set_verdict(bus, UMC_FILTER_EGRESS, 0, UMC_MULTICAST);
	send_to(&bus->client[0], 0, 2);
	expect(bus->client[0].daemon, 2);
	EQUAL(asked(bus, 0, UMC_ASKED_REST), 1);
	EQUAL(release(bus, 0), 0);
	set_verdict(bus, UMC_FILTER_REST, UMC_ANY, UMC_NO);
	send_to(&bus->client[0], 0, 3);
	expect(bus->client[0].daemon, 3);
	EQUAL(asked(bus, 0, UMC_ASKED_INGRESS), 1);
	EQUAL(release(bus, 0), 0);
	set_verdict(bus, UMC_FILTER_INGRESS, 0, UMC_NO);
	set_verdict(bus, UMC_FILTER_INGRESS, 1, UMC_YES);
	send_to(&bus->client[0], 0, 4);
	expect(bus->client[1].fd, 4);
	expect_nothing(bus->client[0].daemon);
	bus_free(bus);
}

struct storm {
	struct client *client;
	uint32_t verdict;
	_Atomic bool stop;
	_Atomic uint32_t sent;
	int kind;
};

/* Sends as fast as it can; whatever asks goes to the daemon's end and waits there. */
static void *storm(void *argument)
{
	struct storm *s = argument;

	while (!s->stop)
		if (send_to(s->client, s->verdict, s->sent + 1) == (int)MINIMUM)
			s->sent++;
	return NULL;
}

TEST(filter_swapped_against_a_send_in_flight, EACH_TYPE)
{
	struct bus *bus = bus_new(3);
	struct storm s = { .client = &bus->client[0], .verdict = TO(1) };
	pthread_t thread;

	CHECK(!pthread_create(&thread, NULL, storm, &s));
	for (int round = 0; round < 300; round++) {
		uint32_t index = 1 + round % 2;

		set_verdict(bus, UMC_FILTER_EGRESS, 0, TO(index));
		/* What comes behind the daemon's next message was decided by the new filter. */
		catch_up(bus, &bus->client[3 - index]);
		for (int i = 0; i < 20; i++) {
			receive(bus->client[index].fd);
			expect_nothing(bus->client[3 - index].fd);
		}
		sched_yield();
		while (receive(bus->client[0].daemon) >= 0)
			;
		release(bus, 0);
	}
	s.stop = true;
	pthread_join(thread, NULL);
	CHECK(stats_of(bus, 0).direct > 0);
	bus_free(bus);
}

TEST(ingress_swapped_against_a_multicast_in_flight, EACH_TYPE)
{
	struct bus *bus = bus_new(3);
	struct storm s = { .client = &bus->client[0], .verdict = UMC_MULTICAST };
	pthread_t thread;

	set_verdict(bus, UMC_FILTER_INGRESS, 0, UMC_NO);
	CHECK(!pthread_create(&thread, NULL, storm, &s));
	for (int round = 0; round < 300; round++) {
		set_verdict(bus, UMC_FILTER_INGRESS, 1, UMC_NO);
		catch_up(bus, &bus->client[1]);
		for (int i = 0; i < 20; i++) {
			receive(bus->client[2].fd);
			expect_nothing(bus->client[1].fd);
		}
		set_verdict(bus, UMC_FILTER_INGRESS, 1, UMC_YES);
		for (int i = 0; i < 100 && receive(bus->client[2].fd) >= 0; i++)
			;
		while (receive(bus->client[0].daemon) >= 0)
			;
		release(bus, 0);
		sched_yield();
	}
	s.stop = true;
	pthread_join(thread, NULL);
	CHECK(stats_of(bus, 0).multicast > 0);
	bus_free(bus);
}

TEST(gate_closed_against_a_send_in_flight, EACH_TYPE)
{
	struct bus *bus = bus_new(2);
	struct storm s = { .client = &bus->client[0], .verdict = TO(1) };
	pthread_t thread;

	CHECK(!pthread_create(&thread, NULL, storm, &s));
	for (int round = 0; round < 300; round++) {
		CHECK(!gate(bus, true));
		catch_up(bus, &bus->client[1]);
		for (int i = 0; i < 20; i++)
			expect_nothing(bus->client[1].fd);
		CHECK(!gate(bus, false));
		while (receive(bus->client[0].daemon) >= 0)
			;
		release(bus, 0);
	}
	s.stop = true;
	pthread_join(thread, NULL);
	bus_free(bus);
}

TEST(too_much_filter_work_asks, 0)
{
	enum { HALF = UMC_MAX_PROGRAMS / 2 };
	struct sock_filter no = BPF_STMT(BPF_RET | BPF_K, UMC_NO);
	static struct sock_filter padded[BPF_MAXINSNS];
	struct umc_program programs[HALF];
	struct bus *bus = bus_new(3);

	/* Long programs count even if the first instruction decides. */
	for (unsigned int i = 0; i < BPF_MAXINSNS; i++)
		padded[i] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, UMC_ASK);
	for (int i = 0; i < HALF; i++)
		programs[i] = (struct umc_program){ (uintptr_t)padded, BPF_MAXINSNS, 0 };
	programs[0] = (struct umc_program){ (uintptr_t)&no, 1, 0 };
	CHECK(!set_chain(bus, UMC_FILTER_INGRESS, 0, programs, HALF));
	CHECK(!set_chain(bus, UMC_FILTER_INGRESS, 1, programs, HALF));
	send_to(&bus->client[0], UMC_MULTICAST, 1);
	expect(bus->client[2].fd, 1);
	CHECK(!set_chain(bus, UMC_FILTER_INGRESS, 2, programs, HALF));
	send_to(&bus->client[0], UMC_MULTICAST, 2);
	expect(bus->client[0].daemon, 2);
	EQUAL(asked(bus, 0, UMC_ASKED_BUDGET), 1);
	bus_free(bus);
}
