// SPDX-License-Identifier: GPL-2.0
/* What filters said of a message is remembered by its header, for as long as it holds. */

#include <pthread.h>

#include "umc.h"

static bool remembers(void)
{
	return parameter("remember") && parameter("interpret");
}

/* To client 1 if the key, which is not the first byte of anything else, is below 100; otherwise to client 2. */
static const struct sock_filter by_key[] = {
	BPF_STMT(BPF_LD | BPF_B | BPF_ABS, offsetof(struct message, key)),
	BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 100, 0, 1),
	BPF_STMT(BPF_RET | BPF_K, TO(2)),
	BPF_STMT(BPF_RET | BPF_K, TO(1)),
};

/* A filter that looks at the word that its owner said it does not look at shows that it did not run. */
TEST(a_verdict_is_remembered, SMOKE | EACH_TYPE)
{
	struct bus *bus = bus_new(3);

	CHECK(!set_filter(bus, UMC_FILTER_EGRESS, 0, by_key, ARRAY_SIZE(by_key)));
	for (uint32_t i = 1; i < 5; i++) {
		send_key(&bus->client[0], 7, i, i);
		expect(bus->client[1].fd, i);
	}
	send_key(&bus->client[0], 7, 5, 101);
	expect(bus->client[remembers() ? 1 : 2].fd, 5);
	/* Another header, and a key that is none. */
	send_key(&bus->client[0], 8, 6, 101);
	expect(bus->client[2].fd, 6);
	send_key(&bus->client[0], 7, 7, 0);
	expect(bus->client[1].fd, 7);
	/* The same filter, set anew. */
	CHECK(!set_filter(bus, UMC_FILTER_EGRESS, 0, by_key, ARRAY_SIZE(by_key)));
	send_key(&bus->client[0], 7, 8, 101);
	expect(bus->client[2].fd, 8);
	bus_free(bus);
}

/* Asks if the key is below 100; otherwise to client 2. */
static const struct sock_filter asks_by_key[] = {
	BPF_STMT(BPF_LD | BPF_B | BPF_ABS, offsetof(struct message, key)),
	BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 100, 0, 1),
	BPF_STMT(BPF_RET | BPF_K, TO(2)),
	BPF_STMT(BPF_RET | BPF_K, UMC_ASK),
};

TEST(that_a_filter_asks_is_remembered, SMOKE | EACH_TYPE)
{
	struct bus *bus = bus_new(3);

	CHECK(!set_filter(bus, UMC_FILTER_EGRESS, 0, asks_by_key, ARRAY_SIZE(asks_by_key)));
	for (uint32_t i = 1; i < 5; i++) {
		send_key(&bus->client[0], 7, i, i);
		expect(bus->client[0].daemon, i);
		EQUAL(release(bus, 0), 0);
	}
	send_key(&bus->client[0], 7, 5, 101);
	expect(remembers() ? bus->client[0].daemon : bus->client[2].fd, 5);
	EQUAL(release(bus, 0), 0);
	/* Another header, then the same filter, set anew. */
	send_key(&bus->client[0], 8, 6, 101);
	expect(bus->client[2].fd, 6);
	CHECK(!set_filter(bus, UMC_FILTER_EGRESS, 0, asks_by_key, ARRAY_SIZE(asks_by_key)));
	send_key(&bus->client[0], 7, 7, 101);
	expect(bus->client[2].fd, 7);
	bus_free(bus);
}

static void send_fields(struct client *from, uint32_t fields, uint32_t length, uint32_t key)
{
	struct message *message = message_new(7, length, 1);

	message->topic = htonl(fields);
	message->key = key;
	EQUAL(send(from->fd, message, length, MSG_DONTWAIT | MSG_NOSIGNAL), length);
	free(message);
}

TEST(a_long_header_is_remembered_between_short_ones, SMOKE | EACH_TYPE)
{
	struct bus *bus = bus_new_shaped(3, UMC_MODE_ASK, 0);

	CHECK(!set_filter(bus, UMC_FILTER_EGRESS, 0, by_key, ARRAY_SIZE(by_key)));
	for (uint32_t i = 1; i < 6; i++) {
		send_fields(&bus->client[0], 200, 300, i);
		send_fields(&bus->client[0], 0, MINIMUM, i);
		expect(bus->client[1].fd, 1);
		expect(bus->client[1].fd, 1);
	}
	send_fields(&bus->client[0], 200, 300, 101);
	expect(bus->client[remembers() ? 1 : 2].fd, 1);
	send_fields(&bus->client[0], 0, MINIMUM, 101);
	expect(bus->client[remembers() ? 1 : 2].fd, 1);
	bus_free(bus);
}

TEST(a_longer_message_is_judged_anew, SMOKE | EACH_TYPE)
{
	static const struct sock_filter at_most_30[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_LEN, 0),
		BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, 30, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, UMC_ASK),
		BPF_STMT(BPF_RET | BPF_K, TO(1)),
	};
	struct bus *bus = bus_new(2);

	CHECK(!set_filter(bus, UMC_FILTER_EGRESS, 0, at_most_30, ARRAY_SIZE(at_most_30)));
	for (uint32_t i = 1; i < 5; i++) {
		send_sized(&bus->client[0], 1, i, 26 + i);
		expect(bus->client[1].fd, i);
	}
	send_sized(&bus->client[0], 1, 5, 31);
	expect(bus->client[0].daemon, 5);
	bus_free(bus);
}

TEST(a_new_filter_decides_about_the_next_message, SMOKE | EACH_TYPE)
{
	struct bus *bus = bus_new(3);

	for (uint32_t i = 1; i < 600; i++) {
		uint32_t to = 1 + i / 3 % 2;

		if (i % 3 == 0)
			set_verdict(bus, UMC_FILTER_EGRESS, 0, TO(to));
		else if (i < 3)
			set_verdict(bus, UMC_FILTER_EGRESS, 0, TO(1));
		send_to(&bus->client[0], 1, i);
		expect(bus->client[to].fd, i);
	}
	EQUAL(ioctl(bus->group, UMC_REVOKE), 0);
	send_to(&bus->client[0], 1, 1);
	expect(bus->client[0].daemon, 1);
	bus_free(bus);
}

TEST(a_mark_decides_about_the_next_message, SMOKE)
{
	static const struct sock_filter marked[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, SKF_AD_OFF + SKF_AD_MARK),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 5, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, UMC_YES),
		BPF_STMT(BPF_RET | BPF_K, UMC_NO),
	};
	struct bus *bus = bus_new(2);

	set_verdict(bus, UMC_FILTER_INGRESS, 0, UMC_NO);
	CHECK(!set_filter(bus, UMC_FILTER_INGRESS, 1, marked, ARRAY_SIZE(marked)));
	for (uint32_t i = 1; i < 30; i++) {
		CHECK(!ioctl(bus->group, UMC_SET_MARK,
			     &(struct umc_mark){ .index = 0, .mark = i / 4 % 2 ? 5 : 6 }));
		send_topic(&bus->client[0], 1, i);
		if (i / 4 % 2)
			expect(bus->client[1].fd, i);
		else
			expect_nothing(bus->client[1].fd);
	}
	bus_free(bus);
}

/* More headers than are remembered, each several times. */
TEST(many_headers_are_told_apart, SMOKE | EACH_TYPE)
{
	struct bus *bus = bus_new(3);

	for (uint32_t i = 1; i < 1000; i++) {
		uint32_t topic = rand() % 4 ? rand() % 8 : rand() % 200;

		set_ingress_topic(bus, 1, topic + i % 2);
		EQUAL(send_topic(&bus->client[0], topic, i), MINIMUM);
		expect(bus->client[2].fd, i);
		expect(bus->client[0].fd, i);
		if (i % 2 == 0)
			expect(bus->client[1].fd, i);
		expect_nothing(bus->client[1].fd);
		send_to(&bus->client[0], TO(1 + topic % 2), i);
		expect(bus->client[1 + topic % 2].fd, i);
	}
	bus_free(bus);
}

static void *send_many(void *argument)
{
	struct client *client = argument;

	for (uint32_t i = 0; i < 3000; i++) {
		struct message *message = message_new(i % 3 ? UMC_MULTICAST : TO(1), MINIMUM, 1 + i % 7);

		message->topic = htonl(i % 60);
		send(client->fd, message, MINIMUM, MSG_DONTWAIT | MSG_NOSIGNAL);
		free(message);
	}
	return NULL;
}

/* Two threads share a socket, and with it what is remembered. */
TEST(threads_of_one_sender, SMOKE | EACH_TYPE)
{
	struct bus *bus = bus_new(3);
	pthread_t threads[2];
	char bytes[4096];

	for (int i = 0; i < 2; i++)
		CHECK(!pthread_create(&threads[i], NULL, send_many, &bus->client[0]));
	for (int round = 0; round < 200; round++) {
		set_ingress_topic(bus, 1 + round % 2, round % 60);
		for (int i = 0; i < 3; i++)
			while (recv(bus->client[i].fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
				;
		while (recv(bus->client[0].daemon, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
			;
		release(bus, 0);
	}
	for (int i = 0; i < 2; i++)
		CHECK(!pthread_join(threads[i], NULL));
	bus_free(bus);
}

TEST(shape_is_checked, SMOKE)
{
	static const struct umc_shape right = {
		.flags = UMC_SHAPE_ORDER, .size = 16, .alignment = 8, .fields_at = 12, .length_at = 4,
		.skip_at = 8, .order_at = 0, .little = 'l', .big = 'B',
	};
	struct bus *bus = bus_new(0);
	struct umc_shape wrong[] = { right, right, right, right, right, right, right, right, right };

	wrong[0].flags = 8;
	wrong[1].size = 3;
	wrong[2].size = 513;
	wrong[3].alignment = 12;
	wrong[4].fields_at = 13;
	wrong[5].length_at = 7;
	wrong[6].skip_at = ~0u;
	wrong[7].order_at = 16;
	wrong[8].reserved[1] = 1;
	for (unsigned int i = 0; i < ARRAY_SIZE(wrong); i++)
		FAILS(ioctl(bus->group, UMC_SET_SHAPE, &wrong[i]), EINVAL);
	EQUAL(ioctl(bus->group, UMC_SET_SHAPE, &right), 0);
	client_connect(bus, bus->client);
	CHECK(!client_add(bus, bus->client, 0));
	FAILS(ioctl(bus->group, UMC_SET_SHAPE, &right), EBUSY);
	client_close(bus->client);
	bus_free(bus);
}
