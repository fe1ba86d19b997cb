// SPDX-License-Identifier: GPL-2.0
/* A security module that refuses a delivery. */

#include "system.h"
#include "umc.h"

static int read_number(const char *path)
{
	FILE *file = fopen(path, "r");
	int number;

	CHECK(file && fscanf(file, "%d", &number) == 1);
	fclose(file);
	return number;
}

TEST(a_refusal_is_asked_for_once, INJECT | EACH_TYPE)
{
	static const char refuse[] = "/sys/module/unix_multicast/parameters/refuse";
	static const char refusals[] = "/sys/module/unix_multicast/parameters/refusals";
	struct bus *bus = bus_new(3);
	int before;

	CHECK(put(refuse, "1"));
	before = read_number(refusals);
	for (uint32_t i = 0; i < 10; i++) {
		send_to(&bus->client[0], TO(1), i);
		expect(bus->client[0].daemon, i);
		EQUAL(release(bus, 0), 0);
	}
	EQUAL(read_number(refusals), before + 1);
	EQUAL(asked(bus, 0, UMC_ASKED_SECURITY), 10);
	/* Another pair is asked for. */
	send_to(&bus->client[0], TO(2), 1);
	expect(bus->client[0].daemon, 1);
	EQUAL(release(bus, 0), 0);
	EQUAL(read_number(refusals), before + 2);
	/* So is this one again, once the filter that leads there is new. */
	CHECK(put(refuse, "0"));
	send_to(&bus->client[0], TO(1), 2);
	expect(bus->client[0].daemon, 2);
	EQUAL(release(bus, 0), 0);
	set_verdict(bus, UMC_FILTER_EGRESS, 0, TO(1));
	send_to(&bus->client[0], 0, 3);
	expect(bus->client[1].fd, 3);
	bus_free(bus);
}
