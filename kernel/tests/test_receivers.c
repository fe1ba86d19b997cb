// SPDX-License-Identifier: GPL-2.0
/* The receivers of a multicast are remembered by its header, for as long as nothing they depend on has changed. */

#include "umc.h"

/* Wants a topic, and of that what has this parity, or all. */
static void set_ingress_parity(struct bus *bus, uint32_t index, uint32_t topic, uint32_t parity)
{
	const struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct message, topic)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, topic, 0, 3),
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, offsetof(struct message, sequence)),
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 1, parity ? 0 : 1, parity ? 1 : 0),
		BPF_STMT(BPF_RET | BPF_K, UMC_YES),
		BPF_STMT(BPF_RET | BPF_K, UMC_NO),
	};

	CHECK(!set_filter(bus, UMC_FILTER_INGRESS, index, code, ARRAY_SIZE(code)));
}

TEST(a_rule_that_looks_into_the_body_is_asked_each_time, SMOKE | EACH_TYPE)
{
	struct bus *bus = bus_new(3);

	set_ingress_topic(bus, 0, 9);
	set_ingress_topic(bus, 1, 1);
	set_ingress_parity(bus, 2, 1, 1);
	for (uint32_t i = 1; i < 40; i++) {
		send_topic(&bus->client[0], 1, i);
		expect(bus->client[1].fd, i);
		if (i % 2)
			expect(bus->client[2].fd, i);
		else
			expect_nothing(bus->client[2].fd);
	}
	bus_free(bus);
}

/* One that is quiet does not make others ask; what it wants is for the rest filter to say. */
TEST(a_quiet_member_wants_nothing_until_it_has_a_filter, SMOKE | EACH_TYPE)
{
	struct bus *bus = bus_new(2);
	struct client *quiet = &bus->client[bus->clients++];
	struct umc_add add = { .listener_fd = bus->listener, .index = 2, .flags = UMC_ADD_QUIET };
	struct umc_filter none = { .index = 2, .which = UMC_FILTER_INGRESS };
	uint32_t i = 1;

	set_ingress_topic(bus, 0, 9);
	set_ingress_topic(bus, 1, 1);
	client_connect(bus, quiet);
	quiet->index = 2;
	add.accepted_fd = quiet->daemon;
	EQUAL(ioctl(bus->group, UMC_ADD, &add), 0);
	for (; i < 4; i++) {
		send_topic(&bus->client[0], 1, i);
		expect(bus->client[1].fd, i);
		expect_nothing(quiet->fd);
	}
	set_verdict(bus, UMC_FILTER_REST, UMC_ANY, UMC_YES);
	send_topic(&bus->client[0], 1, i);
	expect(bus->client[0].daemon, i++);
	EQUAL(release(bus, 0), 0);
	set_verdict(bus, UMC_FILTER_REST, UMC_ANY, UMC_NO);
	set_ingress_topic(bus, 2, 1);
	send_topic(&bus->client[0], 1, i);
	expect(bus->client[1].fd, i);
	expect(quiet->fd, i++);
	/* An empty filter makes them ask, as that of any other member does. */
	EQUAL(ioctl(bus->group, UMC_SET_FILTER, &none), 0);
	send_topic(&bus->client[0], 1, i);
	expect(bus->client[0].daemon, i);
	expect_nothing(bus->client[1].fd);
	bus_free(bus);
}

/* In ingress, the length alone is something that differs between messages with the same header. */
TEST(a_rule_that_asks_for_the_length_is_asked_each_time, SMOKE | EACH_TYPE)
{
	static const struct sock_filter long_ones[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_LEN, 0),
		BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, 100, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, UMC_YES),
		BPF_STMT(BPF_RET | BPF_K, UMC_NO),
	};
	struct bus *bus = bus_new(2);

	set_ingress_topic(bus, 0, 9);
	CHECK(!set_filter(bus, UMC_FILTER_INGRESS, 1, long_ones, ARRAY_SIZE(long_ones)));
	for (uint32_t i = 1; i < 20; i++) {
		send_sized(&bus->client[0], UMC_MULTICAST, i, i % 2 ? 200 : 50);
		if (i % 2)
			expect(bus->client[1].fd, i);
		else
			expect_nothing(bus->client[1].fd);
	}
	bus_free(bus);
}

struct wish {
	uint32_t topic;
	uint32_t parity;	/* 2: either */
	bool there;
};

static bool is_wanted(const struct wish *wish, uint32_t topic, uint32_t sequence)
{
	return wish->there && wish->topic == topic && (wish->parity == 2 || wish->parity == sequence % 2);
}

static void wish_anew(struct bus *bus, struct wish *wish, uint32_t index)
{
	*wish = (struct wish){ rand() % 4, rand() % 4, true };
	if (wish->parity > 2)
		wish->parity = 2;
	if (wish->parity == 2)
		set_ingress_topic(bus, index, wish->topic);
	else
		set_ingress_parity(bus, index, wish->topic, wish->parity);
}

static void go_or_come(struct bus *bus, struct wish *wish, uint32_t index)
{
	struct client *client = &bus->client[index];

	if (wish->there) {
		EQUAL(remove_member(bus, index), 0);
		client_close(client);
		wish->there = false;
		if (rand() % 2)
			EQUAL(forget(bus, index), 0);
		return;
	}
	if (forget(bus, index))
		EQUAL(errno, ENOENT);
	client_connect(bus, client);
	EQUAL(client_add(bus, client, index), 0);
	wish_anew(bus, wish, index);
}

/* Whatever changes between two messages, each reaches those that want it then. */
TEST(receivers_are_those_of_now, SMOKE | EACH_TYPE)
{
	enum { MEMBERS = 24 };
	struct bus *bus = bus_new(MEMBERS);
	struct wish wishes[MEMBERS] = { { .topic = 99, .parity = 2, .there = true } };

	srand(7);
	set_ingress_topic(bus, 0, 99);
	for (uint32_t i = 1; i < MEMBERS; i++)
		wish_anew(bus, &wishes[i], i);
	for (uint32_t sequence = 1; sequence < 2000; sequence++) {
		uint32_t topic = rand() % 4;
		/* Few changes, or more than are looked at one by one. */
		int changes = rand() % 40 ? rand() % 3 : 30;

		while (changes--) {
			uint32_t index = 1 + rand() % (MEMBERS - 1);

			if (rand() % 8 == 0)
				go_or_come(bus, &wishes[index], index);
			else if (wishes[index].there)
				wish_anew(bus, &wishes[index], index);
		}
		if (rand() % 50 == 0)
			set_verdict(bus, UMC_FILTER_REST, UMC_ANY, UMC_NO);
		EQUAL(send_topic(&bus->client[0], topic, sequence), MINIMUM);
		for (uint32_t i = 1; i < MEMBERS; i++) {
			if (is_wanted(&wishes[i], topic, sequence))
				expect(bus->client[i].fd, sequence);
			else if (wishes[i].there)
				expect_nothing(bus->client[i].fd);
		}
	}
	expect_nothing(bus->client[0].daemon);
	bus_free(bus);
}
