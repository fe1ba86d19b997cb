// SPDX-License-Identifier: GPL-2.0
/* The table of pending calls: keys that a client chose to collide, and many of them. */

#include "system.h"
#include "umc.h"

static struct bus *bus_with_many_calls(void)
{
	struct umc_create create = {
		.version = UMC_VERSION, .mode = UMC_MODE_ASK, .max_members = 64,
		.max_pending = 65536, .address_fd = -1,
	};
	struct bus *bus = bus_new(0);

	close(bus->group);
	bus->group = ioctl(bus->device, UMC_CREATE, &create);
	CHECK(bus->group >= 0);
	for (bus->clients = 0; bus->clients < 4; bus->clients++) {
		client_connect(bus, &bus->client[bus->clients]);
		CHECK(!client_add(bus, &bus->client[bus->clients], bus->clients));
	}
	set_standard_filters(bus);
	release_all(bus);
	return bus;
}

#define ROTATE(x, n) ((x) << (n) | (x) >> (32 - (n)))

/* The kernel's jhash_3words() of caller, callee, key and the seed 0. */
static uint32_t unseeded(uint32_t a, uint32_t b, uint32_t c)
{
	const uint32_t first = 0xdeadbeef + (3 << 2);

	a += first;
	b += first;
	c += first;
	c ^= b; c -= ROTATE(b, 14);
	a ^= c; a -= ROTATE(c, 11);
	b ^= a; b -= ROTATE(a, 25);
	c ^= b; c -= ROTATE(b, 16);
	a ^= c; a -= ROTATE(c, 4);
	b ^= a; b -= ROTATE(a, 14);
	c ^= b; c -= ROTATE(b, 24);
	return c;
}

/* Microseconds of a call, the least of some batches, when this many wait for their replies. */
static double cost(struct bus *bus, uint32_t waiting, bool colliding)
{
	enum { BATCH = 250 };
	double least = 1e9, begin = 0;
	uint32_t key = 0;

	for (uint32_t n = 0; n < waiting; n++) {
		if (n % BATCH == 0)
			begin = seconds(CLOCK_THREAD_CPUTIME_ID);
		do
			key++;
		while (colliding && unseeded(0, 1, key) % 1024 != 7);
		/* The search for such keys is not the call's. */
		if (n < waiting - 4 * BATCH)
			begin = seconds(CLOCK_THREAD_CPUTIME_ID);
		CHECK(send_key(&bus->client[0], CALL(1), n, key) == (int)MINIMUM);
		if (n >= waiting - 4 * BATCH && n % BATCH == BATCH - 1) {
			double took = (seconds(CLOCK_THREAD_CPUTIME_ID) - begin) * 1e6 / BATCH;

			if (took < least)
				least = took;
		}
		expect(bus->client[1].fd, n);
	}
	return least;
}

TEST(chosen_keys_make_no_call_slower, 0)
{
	enum { WAITING = 20000 };
	double plain, colliding, begin, removed;
	struct bus *bus = bus_with_many_calls();

	plain = cost(bus, WAITING, false);
	EQUAL(pending_count(bus, 0, 1), WAITING);
	CHECK(!remove_member(bus, 0));
	CHECK(!forget(bus, 0));
	EQUAL(pending_count(bus, UMC_ANY, UMC_ANY), 0);
	CHECK(!client_add(bus, &bus->client[0], 0));
	set_standard_filters(bus);
	EQUAL(release(bus, 0), 0);
	colliding = cost(bus, WAITING, true);
	begin = seconds(CLOCK_THREAD_CPUTIME_ID);
	CHECK(!remove_member(bus, 3));
	removed = (seconds(CLOCK_THREAD_CPUTIME_ID) - begin) * 1e6;
	printf("# with %d calls waiting: %.1f us a call, %.1f with chosen keys; another's UMC_REMOVE %.0f us\n",
	       WAITING, plain, colliding, removed);
	CHECK(colliding < 3 * plain);
	bus_free(bus);
}

/* The calls are found again after the table has grown, and by callee and age too. */
TEST(many_calls_are_all_found, EACH_TYPE)
{
	enum { CALLS = 5000 };
	static struct umc_pending entries[CALLS];
	struct umc_pending_list list = {
		.entries = (uintptr_t)entries, .count = CALLS, .caller = UMC_ANY, .callee = 2,
	};
	struct bus *bus = bus_with_many_calls();

	for (uint32_t key = 1; key <= CALLS; key++) {
		CHECK(!pending_add(bus, 0, 1 + key % 2, key));
		FAILS(pending_add(bus, 0, 1 + key % 2, key), EEXIST);
	}
	CHECK(!ioctl(bus->group, UMC_PENDING_LIST, &list));
	EQUAL(list.count, CALLS / 2);
	for (uint32_t i = 0; i < CALLS / 2; i++)
		EQUAL(entries[i].key, 2 * i + 1);
	EQUAL(pending_count(bus, 0, 1), CALLS / 2);
	EQUAL(pending_count(bus, 0, UMC_ANY), CALLS);
	EQUAL(pending_count(bus, UMC_ANY, UMC_ANY), CALLS);
	for (uint32_t key = 2; key <= CALLS; key += 2)
		CHECK(!pending_take(bus, 0, 1, key));
	EQUAL(pending_count(bus, UMC_ANY, 1), 0);
	CHECK(!remove_member(bus, 2));
	EQUAL(pending_count(bus, UMC_ANY, 2), CALLS / 2);
	CHECK(!forget(bus, 2));
	EQUAL(pending_count(bus, UMC_ANY, UMC_ANY), 0);
	bus_free(bus);
}
