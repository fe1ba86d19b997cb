// SPDX-License-Identifier: GPL-2.0
/* Receivers that are found by name, with the filter that all members share, and classes. */

#include "system.h"
#include "umc.h"

#define PARAMETER	"/sys/module/unix_multicast/parameters/names"
#define NAME_ROOM	24

/* Its header ends with the name; the key is its number. */
struct named {
	struct message base;
	uint32_t length;
	char name[NAME_ROOM];
};

#define NAMED(topic) \
	(UMC_NAMED | (topic) << UMC_VERDICT_TOPIC_SHIFT | offsetof(struct named, length) / 4)

static bool names_are_on(void)
{
	int fd = open(PARAMETER, O_RDONLY);
	char value;

	CHECK(fd >= 0);
	EQUAL(read(fd, &value, 1), 1);
	close(fd);
	return value == 'Y';
}

static int give(struct bus *bus, const char *text, uint32_t index)
{
	struct umc_name name = {
		.index = index, .length = strlen(text), .bytes = (uintptr_t)text,
	};

	return ioctl(bus->group, UMC_SET_NAME, &name);
}

static int set_class(struct bus *bus, uint32_t index, uint32_t class)
{
	return ioctl(bus->group, UMC_SET_CLASS, &(struct umc_class){ .index = index, .class = class });
}

/* The class accepts messages of that topic from those of one class. */
static int accept_topic(struct bus *bus, uint32_t class, uint32_t topic, uint32_t from)
{
	struct umc_accept accept = { .class = class };

	accept.from[topic] = 1ull << from;
	return ioctl(bus->group, UMC_SET_ACCEPT, &accept);
}

static void take_own_filter(struct bus *bus, uint32_t index)
{
	CHECK(!set_filter(bus, UMC_FILTER_EGRESS, index, NULL, 0));
}

/* Members of one class, which accepts topic 0 of itself, without filters of their own. */
static struct bus *named_bus_shaped(unsigned int clients, uint32_t header)
{
	struct bus *bus = bus_new_shaped(clients, UMC_MODE_ASK, header);

	if (!names_are_on())
		test_skip("names are off");
	CHECK(!set_own_verdict(bus, UMC_FILTER_SHARED, UMC_ANY));
	CHECK(!accept_topic(bus, 0, 0, 0));
	for (unsigned int i = 0; i < clients; i++) {
		CHECK(!set_class(bus, i, 0));
		take_own_filter(bus, i);
	}
	return bus;
}

static struct bus *named_bus(unsigned int clients)
{
	return named_bus_shaped(clients, sizeof(struct named));
}

static void send_named(struct client *from, const char *name, uint32_t verdict, uint32_t number)
{
	struct named message = {
		.base = { .verdict = htonl(verdict), .length = htonl(sizeof(message)), .key = number },
		.length = strlen(name),
	};

	strncpy(message.name, name, NAME_ROOM);
	EQUAL(send(from->fd, &message, sizeof(message), MSG_DONTWAIT | MSG_NOSIGNAL), sizeof(message));
}

static void expect_named(int fd, uint32_t number)
{
	struct named message;

	EQUAL(recv(fd, &message, sizeof(message), MSG_DONTWAIT), sizeof(message));
	EQUAL(message.base.key, number);
}

TEST(named_message_goes_to_the_member_of_that_name, SMOKE | EACH_TYPE)
{
	struct bus *bus = named_bus(3);

	CHECK(!give(bus, "one", 1));
	CHECK(!give(bus, "two", 2));
	CHECK(!give(bus, "another of two", 2));
	for (uint32_t i = 1; i < 20; i++) {
		send_named(&bus->client[0], "one", NAMED(0), i);
		send_named(&bus->client[0], "two", NAMED(0), i);
		send_named(&bus->client[1], "another of two", NAMED(0), 100 + i);
		expect_named(bus->client[1].fd, i);
		expect_named(bus->client[2].fd, i);
		expect_named(bus->client[2].fd, 100 + i);
	}
	EQUAL(stats_of(bus, 0).direct, 38);
	bus_free(bus);
}

TEST(named_message_follows_its_name, SMOKE | EACH_TYPE)
{
	struct bus *bus = named_bus(3);

	for (uint32_t i = 1; i < 50; i++) {
		uint32_t owner = 1 + i % 2;

		CHECK(!give(bus, "name", owner));
		for (int j = 0; j < 3; j++) {
			send_named(&bus->client[0], "name", NAMED(0), i);
			expect_named(bus->client[owner].fd, i);
		}
	}
	CHECK(!give(bus, "name", UMC_ANY));
	CHECK(!give(bus, "name", UMC_ANY));
	send_named(&bus->client[0], "name", NAMED(0), 50);
	expect_named(bus->client[0].daemon, 50);
	EQUAL(release(bus, 0), 0);
	CHECK(!give(bus, "name", 1));
	send_named(&bus->client[0], "name", NAMED(0), 51);
	expect_named(bus->client[1].fd, 51);
	bus_free(bus);
}

TEST(named_message_asks_without_a_receiver_that_accepts_it, SMOKE | EACH_TYPE)
{
	struct bus *bus = named_bus(3);
	uint32_t number = 0;

	CHECK(!give(bus, "name", 1));
	for (int round = 0; round < 2; round++) {
		send_named(&bus->client[0], "nam", NAMED(0), ++number);
		send_named(&bus->client[0], "names", NAMED(0), ++number);
		send_named(&bus->client[0], "", NAMED(0), ++number);
		for (uint32_t i = number - 2; i <= number; i++)
			expect_named(bus->client[0].daemon, i);
		EQUAL(release(bus, 0), 0);
		send_named(&bus->client[0], "name", NAMED(1), ++number);
		expect_named(bus->client[0].daemon, number);
		EQUAL(release(bus, 0), 0);
		send_named(&bus->client[0], "name", NAMED(0), ++number);
		expect_named(bus->client[1].fd, number);
	}
	/* By class: of the sender, of the receiver, and with another topic. */
	CHECK(!set_class(bus, 0, 1));
	send_named(&bus->client[0], "name", NAMED(0), ++number);
	expect_named(bus->client[0].daemon, number);
	CHECK(!accept_topic(bus, 0, 3, 1));
	EQUAL(release(bus, 0), 0);
	send_named(&bus->client[0], "name", NAMED(3), ++number);
	expect_named(bus->client[1].fd, number);
	CHECK(!set_class(bus, 1, UMC_ANY));
	send_named(&bus->client[0], "name", NAMED(3), ++number);
	expect_named(bus->client[0].daemon, number);
	bus_free(bus);
}

TEST(what_is_not_accepted_is_for_the_senders_own_filter, SMOKE | EACH_TYPE)
{
	struct bus *bus = named_bus(3);

	CHECK(!give(bus, "name", 1));
	set_verdict(bus, UMC_FILTER_EGRESS, 0, TO(2));
	for (uint32_t i = 1; i < 6; i++) {
		send_named(&bus->client[0], "name", NAMED(0), i);
		expect_named(bus->client[1].fd, i);
		send_named(&bus->client[0], "name", NAMED(1), i);
		expect_named(bus->client[2].fd, i);
		send_named(&bus->client[0], "unknown", NAMED(0), i);
		expect_named(bus->client[2].fd, i);
	}
	send_named(&bus->client[0], "name", UMC_ASK_NOW, 6);
	expect_named(bus->client[0].daemon, 6);
	bus_free(bus);
}

/* What is remembered of a name that no member has is not that the sender's own filter asks. */
TEST(name_is_found_once_a_member_has_it, SMOKE | EACH_TYPE)
{
	struct bus *bus = named_bus(2);

	set_verdict(bus, UMC_FILTER_EGRESS, 0, UMC_ASK);
	for (uint32_t i = 1; i < 6; i++) {
		send_named(&bus->client[0], "name", NAMED(0), i);
		expect_named(bus->client[0].daemon, i);
		EQUAL(release(bus, 0), 0);
	}
	CHECK(!give(bus, "name", 1));
	send_named(&bus->client[0], "name", NAMED(0), 6);
	expect_named(bus->client[1].fd, 6);
	bus_free(bus);
}

TEST(shared_filter_is_of_members_with_a_class, SMOKE | EACH_TYPE)
{
	struct bus *bus = named_bus(3);

	set_verdict(bus, UMC_FILTER_INGRESS, 0, UMC_NO);
	send_named(&bus->client[0], "", UMC_MULTICAST, 1);
	expect_named(bus->client[1].fd, 1);
	expect_named(bus->client[2].fd, 1);
	CHECK(!set_class(bus, 0, UMC_ANY));
	send_named(&bus->client[0], "", UMC_MULTICAST, 2);
	expect_named(bus->client[0].daemon, 2);
	expect_nothing(bus->client[1].fd);
	bus_free(bus);
}

TEST(named_call_is_recorded, SMOKE | EACH_TYPE)
{
	struct bus *bus = named_bus(2);

	CHECK(!give(bus, "name", 1));
	CHECK(!give(bus, "caller", 0));
	for (uint32_t i = 1; i < 4; i++) {
		send_named(&bus->client[0], "name", NAMED(0) | UMC_VERDICT_CALL | KEY, i);
		expect_named(bus->client[1].fd, i);
		EQUAL(pending_count(bus, 0, 1), 1);
		send_named(&bus->client[1], "caller", NAMED(0) | UMC_VERDICT_REPLY | KEY, i);
		expect_named(bus->client[0].fd, i);
		EQUAL(pending_count(bus, 0, 1), 0);
	}
	/* None is expected. */
	send_named(&bus->client[1], "caller", NAMED(0) | UMC_VERDICT_REPLY | KEY, 9);
	expect_named(bus->client[1].daemon, 9);
	bus_free(bus);
}

TEST(names_end_with_their_member, SMOKE | EACH_TYPE)
{
	struct bus *bus = named_bus(2);
	struct client other;
	char text[16];

	for (int i = 0; i < 600; i++) {
		snprintf(text, sizeof(text), "name %d", i);
		CHECK(!give(bus, text, 1));
	}
	send_named(&bus->client[0], "name 599", NAMED(0), 1);
	expect_named(bus->client[1].fd, 1);
	EQUAL(remove_member(bus, 1), 0);
	FAILS(give(bus, "name 1", 1), ENOENT);
	EQUAL(forget(bus, 1), 0);
	client_connect(bus, &other);
	CHECK(!client_add(bus, &other, 1));
	CHECK(!set_class(bus, 1, 0));
	send_named(&bus->client[0], "name 599", NAMED(0), 2);
	expect_named(bus->client[0].daemon, 2);
	EQUAL(release(bus, 0), 0);
	CHECK(!give(bus, "name 599", 1));
	send_named(&bus->client[0], "name 599", NAMED(0), 3);
	expect_named(other.fd, 3);
	client_close(&other);
	bus_free(bus);
}

TEST(revoke_takes_back_classes, SMOKE | EACH_TYPE)
{
	struct bus *bus = named_bus(2);

	CHECK(!give(bus, "name", 1));
	send_named(&bus->client[0], "name", NAMED(0), 1);
	expect_named(bus->client[1].fd, 1);
	CHECK(!ioctl(bus->group, UMC_REVOKE));
	send_named(&bus->client[0], "name", NAMED(0), 2);
	expect_named(bus->client[0].daemon, 2);
	EQUAL(release(bus, 0), 0);
	/* The sender's class alone, and then the receiver's, are not enough. */
	CHECK(!set_class(bus, 0, 0));
	CHECK(!set_class(bus, 1, 0));
	send_named(&bus->client[0], "name", NAMED(0), 3);
	expect_named(bus->client[0].daemon, 3);
	EQUAL(release(bus, 0), 0);
	CHECK(!accept_topic(bus, 0, 0, 0));
	send_named(&bus->client[0], "name", NAMED(0), 4);
	expect_named(bus->client[1].fd, 4);
	bus_free(bus);
}

TEST(name_behind_the_header_is_looked_up_each_time, SMOKE | EACH_TYPE)
{
	struct bus *bus = named_bus_shaped(3, HEADER);

	CHECK(!give(bus, "one", 1));
	CHECK(!give(bus, "two", 2));
	for (uint32_t i = 1; i < 10; i++) {
		send_named(&bus->client[0], "one", NAMED(0), i);
		send_named(&bus->client[0], "two", NAMED(0), i);
		expect_named(bus->client[1].fd, i);
		expect_named(bus->client[2].fd, i);
		expect_nothing(bus->client[1].fd);
	}
	bus_free(bus);
}

TEST(name_that_is_not_in_the_message_asks, SMOKE | EACH_TYPE)
{
	struct bus *bus = named_bus(2);
	uint32_t far = UMC_NAMED | UMC_VERDICT_NAME_MASK;
	uint32_t last = UMC_NAMED | sizeof(struct named) / 4;
	uint32_t text = UMC_NAMED | (offsetof(struct named, name) + 4) / 4;

	CHECK(!give(bus, "name", 1));
	send_named(&bus->client[0], "name", far, 1);
	send_named(&bus->client[0], "name", last, 2);
	/* Its length would be that of the text. */
	send_named(&bus->client[0], "name name name", text, 3);
	for (uint32_t i = 1; i < 4; i++)
		expect_named(bus->client[0].daemon, i);
	bus_free(bus);
}

TEST(names_and_classes_are_checked, SMOKE)
{
	static char text[UMC_MAX_NAME + 1];
	struct bus *bus = named_bus(2);
	struct umc_name name = { .index = 1, .bytes = (uintptr_t)text };
	struct umc_accept accept = { .class = UMC_MAX_CLASSES };

	memset(text, 'x', sizeof(text));
	FAILS(ioctl(bus->group, UMC_SET_NAME, &name), EINVAL);
	name.length = UMC_MAX_NAME + 1;
	FAILS(ioctl(bus->group, UMC_SET_NAME, &name), EINVAL);
	name.length = UMC_MAX_NAME;
	CHECK(!ioctl(bus->group, UMC_SET_NAME, &name));
	name.flags = 1;
	FAILS(ioctl(bus->group, UMC_SET_NAME, &name), EINVAL);
	name.flags = 0;
	name.bytes = 1;
	FAILS(ioctl(bus->group, UMC_SET_NAME, &name), EFAULT);
	FAILS(give(bus, "name", 2), ENOENT);
	FAILS(give(bus, "name", 4711), ENOENT);
	FAILS(set_class(bus, 0, UMC_MAX_CLASSES), EINVAL);
	FAILS(set_class(bus, 2, 0), ENOENT);
	FAILS(ioctl(bus->group, UMC_SET_ACCEPT, &accept), EINVAL);
	accept = (struct umc_accept){ .flags = 1 };
	FAILS(ioctl(bus->group, UMC_SET_ACCEPT, &accept), EINVAL);
	bus_free(bus);
}

TEST(names_are_bounded, 0)
{
	struct bus *bus = named_bus(1);
	char text[16];
	int given = 0;

	/* 16 for each member that there may be: 64. */
	do
		snprintf(text, sizeof(text), "name %d", given);
	while (!give(bus, text, 0) && ++given);
	EQUAL(errno, ENOSPC);
	EQUAL(given, 16 * 64);
	CHECK(!give(bus, "name 0", UMC_ANY));
	CHECK(!give(bus, text, 0));
	bus_free(bus);
}

TEST(names_can_be_switched_off, SMOKE)
{
	struct bus *bus = named_bus(2);

	CHECK(!give(bus, "name", 1));
	CHECK(put(PARAMETER, "0"));
	send_named(&bus->client[0], "name", NAMED(0), 1);
	expect_named(bus->client[0].daemon, 1);
	FAILS(set_class(bus, 0, 0), EOPNOTSUPP);
	CHECK(put(PARAMETER, "1"));
	EQUAL(release(bus, 0), 0);
	send_named(&bus->client[0], "name", NAMED(0), 2);
	expect_named(bus->client[1].fd, 2);
	bus_free(bus);
}
