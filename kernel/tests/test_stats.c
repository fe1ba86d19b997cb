// SPDX-License-Identifier: GPL-2.0
/* Counters and states. */

#include <dirent.h>

#include "umc.h"

TEST(counters_of_members_and_group, SMOKE | EACH_TYPE)
{
	struct bus *bus = bus_new(3);
	struct umc_stats stats = { .index = 50 };
	struct umc_member_info info = { .index = 50 };

	send_to(&bus->client[0], TO(1), 1);
	send_to(&bus->client[0], UMC_MULTICAST, 2);
	send_to(&bus->client[0], UMC_ASK, 3);
	send_to(&bus->client[0], TO(1), 4);
	EQUAL(stats_of(bus, 0).direct, 2);
	EQUAL(stats_of(bus, 0).multicast, 1);
	EQUAL(stats_of(bus, 0).copies, 3);
	EQUAL(stats_of(bus, 0).received, 1);
	EQUAL(stats_of(bus, 1).received, 2);
	EQUAL(asked(bus, 0, UMC_ASKED_VERDICT), 1);
	EQUAL(asked(bus, 0, UMC_ASKED_DIRTY), 1);
	EQUAL(stats_of(bus, UMC_ANY).received, 4);
	/* A member that has left still counts for the group. */
	CHECK(!remove_member(bus, 0));
	EQUAL(stats_of(bus, UMC_ANY).direct, 2);
	EQUAL(stats_of(bus, UMC_ANY).asked[UMC_ASKED_DIRTY], 1);
	FAILS(ioctl(bus->group, UMC_GET_STATS, &stats), ENOENT);
	FAILS(ioctl(bus->group, UMC_GET_MEMBER, &info), ENOENT);
	info.index = 64;
	FAILS(ioctl(bus->group, UMC_GET_MEMBER, &info), EINVAL);
	bus_free(bus);
}

TEST(counters_in_debugfs, SMOKE)
{
	static const char folder[] = "/sys/kernel/debug/unix_multicast";
	struct bus *bus = bus_new(2);
	bool found = false;
	struct dirent *entry;
	DIR *dir;

	send_to(&bus->client[0], TO(1), 1);
	send_to(&bus->client[0], UMC_ASK, 2);
	dir = opendir(folder);
	CHECK(dir);
	while ((entry = readdir(dir))) {
		char path[400], line[400];
		FILE *file;

		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
		file = fopen(path, "r");
		CHECK(file);
		while (fgets(line, sizeof(line), file))
			found |= !strcmp(line, "0 direct 1 multicast 0 copies 0 received 0 dropped 0 "
					       "spilled 0 verdict 1\n");
		fclose(file);
	}
	closedir(dir);
	CHECK(found);
	bus_free(bus);
}
