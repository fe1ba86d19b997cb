// SPDX-License-Identifier: GPL-2.0
/* Replies pass only for pending calls. */

#include "umc.h"

TEST(call_and_reply_go_directly, SMOKE | EACH_TYPE)
{
	struct bus *bus = bus_new(2);

	EQUAL(send_key(&bus->client[0], CALL(1), 1, 42), MINIMUM);
	expect(bus->client[1].fd, 1);
	EQUAL(pending_count(bus, 0, 1), 1);
	EQUAL(send_key(&bus->client[1], REPLY(0), 2, 42), MINIMUM);
	expect(bus->client[0].fd, 2);
	EQUAL(pending_count(bus, UMC_ANY, UMC_ANY), 0);
	/* A second reply is unsolicited. */
	send_key(&bus->client[1], REPLY(0), 3, 42);
	expect(bus->client[1].daemon, 3);
	EQUAL(asked(bus, 1, UMC_ASKED_REPLY), 1);
	bus_free(bus);
}

TEST(unsolicited_reply_asks, SMOKE | EACH_TYPE)
{
	struct bus *bus = bus_new(3);

	send_key(&bus->client[0], CALL(1), 1, 42);
	/* Wrong key, wrong callee, wrong caller. */
	send_key(&bus->client[1], REPLY(0), 2, 43);
	expect(bus->client[1].daemon, 2);
	send_key(&bus->client[2], REPLY(0), 3, 42);
	expect(bus->client[2].daemon, 3);
	EQUAL(release(bus, 1), 0);
	send_key(&bus->client[1], REPLY(2), 4, 42);
	expect(bus->client[1].daemon, 4);
	EQUAL(release(bus, 1), 0);
	EQUAL(pending_count(bus, 0, 1), 1);
	send_key(&bus->client[1], REPLY(0), 5, 42);
	expect(bus->client[0].fd, 5);
	bus_free(bus);
}

TEST(key_zero_and_duplicates_ask, SMOKE | EACH_TYPE)
{
	struct bus *bus = bus_new(2);

	send_key(&bus->client[0], CALL(1), 1, 0);
	expect(bus->client[0].daemon, 1);
	EQUAL(release(bus, 0), 0);
	send_key(&bus->client[0], CALL(1), 2, 7);
	expect(bus->client[1].fd, 2);
	send_key(&bus->client[0], CALL(1), 3, 7);
	expect(bus->client[0].daemon, 3);
	EQUAL(release(bus, 0), 0);
	send_key(&bus->client[0], CALL(1) | UMC_VERDICT_REPLY, 4, 8);
	expect(bus->client[0].daemon, 4);
	EQUAL(release(bus, 0), 0);
	/* A key beyond the message. */
	send_key(&bus->client[0], TO(1) | UMC_VERDICT_CALL | KEY_AT(MINIMUM), 5, 9);
	expect(bus->client[0].daemon, 5);
	EQUAL(asked(bus, 0, UMC_ASKED_REPLY), 4);
	EQUAL(release(bus, 0), 0);
	send_key(&bus->client[0], UMC_MULTICAST | UMC_VERDICT_CALL | KEY, 6, 9);
	expect(bus->client[0].daemon, 6);
	EQUAL(pending_count(bus, UMC_ANY, UMC_ANY), 1);
	bus_free(bus);
}

TEST(keys_are_normalised, SMOKE | EACH_TYPE)
{
	struct bus *bus = bus_new(2);
	struct umc_pending entry;
	struct umc_pending_list list = {
		.entries = (uintptr_t)&entry, .count = 1, .caller = UMC_ANY, .callee = UMC_ANY,
	};

	send_key(&bus->client[0], CALL(1) | UMC_VERDICT_BIG_ENDIAN, 1, htonl(0x12345678));
	CHECK(!ioctl(bus->group, UMC_PENDING_LIST, &list));
	EQUAL(list.count, 1);
	EQUAL(entry.key, 0x12345678);
	send_key(&bus->client[1], REPLY(0), 2, 0x12345678);
	expect(bus->client[0].fd, 2);
	bus_free(bus);
}

TEST(failed_call_leaves_nothing_pending, SMOKE | EACH_TYPE)
{
	struct bus *bus = bus_new(2);

	CHECK(!daemon_write(bus, 1, NULL, 0, UMC_WRITE_HOLD));
	send_key(&bus->client[0], CALL(1), 1, 5);
	expect(bus->client[0].daemon, 1);
	EQUAL(pending_count(bus, UMC_ANY, UMC_ANY), 0);
	bus_free(bus);
}

TEST(failed_reply_stays_pending, SMOKE | EACH_TYPE)
{
	struct bus *bus = bus_new(2);

	send_key(&bus->client[0], CALL(1), 1, 5);
	send_key(&bus->client[0], CALL(1), 2, 6);
	CHECK(!daemon_write(bus, 0, NULL, 0, UMC_WRITE_HOLD));
	send_key(&bus->client[1], REPLY(0), 2, 5);
	expect(bus->client[1].daemon, 2);
	EQUAL(pending_count(bus, 0, 1), 2);
	/* The daemon delivers it, and takes it from the table. */
	CHECK(!pending_take(bus, 0, 1, 5));
	FAILS(pending_take(bus, 0, 1, 5), ENOENT);
	FAILS(pending_take(bus, 0, 99, 5), EINVAL);
	EQUAL(pending_count(bus, 0, 1), 1);
	bus_free(bus);
}

TEST(unanswered_callers_of_a_member_that_goes, SMOKE | EACH_TYPE)
{
	struct umc_pending entries[4];
	struct umc_pending_list list = {
		.entries = (uintptr_t)entries, .count = 4, .caller = UMC_ANY, .callee = 2,
	};
	struct bus *bus = bus_new(3);

	send_key(&bus->client[0], CALL(2), 1, 10);
	send_key(&bus->client[1], CALL(2), 2, 11);
	send_key(&bus->client[0], CALL(1), 3, 12);
	send_key(&bus->client[2], CALL(0), 4, 13);
	close(bus->client[2].fd);
	bus->client[2].fd = -1;
	CHECK(!remove_member(bus, 2));
	CHECK(!ioctl(bus->group, UMC_PENDING_LIST, &list));
	EQUAL(list.count, 2);
	EQUAL(entries[0].caller, 0);
	EQUAL(entries[0].key, 10);
	EQUAL(entries[1].caller, 1);
	EQUAL(entries[1].key, 11);
	/* Its own calls are no longer pending. */
	EQUAL(pending_count(bus, 2, UMC_ANY), 0);
	EQUAL(pending_count(bus, 0, 1), 1);
	CHECK(!forget(bus, 2));
	EQUAL(pending_count(bus, UMC_ANY, 2), 0);
	bus_free(bus);
}

TEST(pending_list_by_age_and_room, EACH_TYPE)
{
	struct bus *bus = bus_new(2);
	struct umc_pending entries[2];
	struct umc_pending_list list = {
		.entries = (uintptr_t)entries, .count = 2, .caller = UMC_ANY, .callee = UMC_ANY,
	};

	for (uint32_t key = 1; key <= 5; key++)
		send_key(&bus->client[0], CALL(1), key, key);
	CHECK(!ioctl(bus->group, UMC_PENDING_LIST, &list));
	EQUAL(list.count, 5);
	EQUAL(entries[0].key, 1);
	EQUAL(entries[1].key, 2);
	list.count = 2;
	list.min_age_ms = 60000;
	CHECK(!ioctl(bus->group, UMC_PENDING_LIST, &list));
	EQUAL(list.count, 0);
	list.count = 2;
	list.min_age_ms = 0;
	list.entries = 8;
	FAILS(ioctl(bus->group, UMC_PENDING_LIST, &list), EFAULT);
	bus_free(bus);
}

TEST(limit_of_unanswered_calls, SMOKE | EACH_TYPE)
{
	struct bus *bus = bus_new(2);
	uint32_t key;

	for (key = 1; key <= 64; key++)
		send_key(&bus->client[0], CALL(1), key, key);
	expect_nothing(bus->client[0].daemon);
	send_key(&bus->client[0], CALL(1), 65, 65);
	expect(bus->client[0].daemon, 65);
	EQUAL(asked(bus, 0, UMC_ASKED_REPLY), 1);
	EQUAL(release(bus, 0), 0);
	/* An answer makes room. */
	send_key(&bus->client[1], REPLY(0), 1, 1);
	send_key(&bus->client[0], CALL(1), 66, 66);
	expect_nothing(bus->client[0].daemon);
	EQUAL(pending_count(bus, 0, 1), 64);
	bus_free(bus);
}

/* Calls that the daemon delivers count like direct ones. */
TEST(calls_of_the_daemon, SMOKE | EACH_TYPE)
{
	struct bus *bus = bus_new(2);

	CHECK(!pending_add(bus, 0, 1, 42));
	FAILS(pending_add(bus, 0, 1, 42), EEXIST);
	FAILS(pending_add(bus, 0, 1, 0), EINVAL);
	FAILS(pending_add(bus, 0, 99, 42), EINVAL);
	/* A call with that key asks, its reply goes directly. */
	send_key(&bus->client[0], CALL(1), 1, 42);
	expect(bus->client[0].daemon, 1);
	EQUAL(asked(bus, 0, UMC_ASKED_REPLY), 1);
	EQUAL(send_key(&bus->client[1], REPLY(0), 2, 42), MINIMUM);
	expect(bus->client[0].fd, 2);
	EQUAL(pending_count(bus, UMC_ANY, UMC_ANY), 0);
	/* A member that has left can't be called, but its own calls are still pending. */
	CHECK(!pending_add(bus, 0, 1, 43));
	CHECK(!remove_member(bus, 1));
	CHECK(!pending_add(bus, 0, 1, 44));
	EQUAL(pending_count(bus, 0, 1), 2);
	FAILS(pending_add(bus, 1, 0, 45), ENOENT);
	bus_free(bus);
}
