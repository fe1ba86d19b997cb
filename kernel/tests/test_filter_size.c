// SPDX-License-Identifier: GPL-2.0
/* Filters of the greatest size: their memory is counted, and so is the work that they make. */

#include <sched.h>

#include "system.h"
#include "umc.h"

static long available_kib(void)
{
	FILE *file = fopen("/proc/meminfo", "r");
	char line[200];
	long kib = 0;

	CHECK(file);
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "MemAvailable: %ld", &kib) == 1)
			break;
	fclose(file);
	return kib;
}

static int set_largest(struct bus *bus, uint32_t which, uint32_t index, uint32_t verdict)
{
	static struct sock_filter code[BPF_MAXINSNS];
	struct umc_program programs[UMC_MAX_PROGRAMS];
	struct umc_filter filter = {
		.index = index, .which = which, .count = UMC_MAX_PROGRAMS,
		.programs = (uintptr_t)programs,
	};

	code[0] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, verdict);
	for (int i = verdict ? 1 : 0; i < BPF_MAXINSNS - 1; i++)
		code[i] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_IND, i);
	code[BPF_MAXINSNS - 1] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, UMC_ASK);
	for (int i = 0; i < UMC_MAX_PROGRAMS; i++)
		programs[i] = (struct umc_program){ (uintptr_t)code, BPF_MAXINSNS, 0 };
	return ioctl(bus->group, UMC_SET_FILTER, &filter);
}

TEST(filters_are_counted_for_their_user, 0)
{
	const struct sock_filter no = BPF_STMT(BPF_RET | BPF_K, UMC_NO);
	struct bus *bus, *other;
	double deadline;
	long before;
	int more = 0;

	CHECK(!setgid(12345) && !setuid(12345));
	bus = bus_new(2);
	other = bus_new(2);
	for (int i = 0; i < 2; i++)
		CHECK(!set_filter(bus, UMC_FILTER_INGRESS, i, NULL, 0) &&
		      !set_filter(other, UMC_FILTER_INGRESS, i, NULL, 0) &&
		      !set_filter(bus, UMC_FILTER_EGRESS, i, NULL, 0) &&
		      !set_filter(other, UMC_FILTER_EGRESS, i, NULL, 0));
	CHECK(!set_filter(bus, UMC_FILTER_REST, UMC_ANY, NULL, 0) &&
	      !set_filter(other, UMC_FILTER_REST, UMC_ANY, NULL, 0));
	before = available_kib();
	/* What was replaced is freed a little later. */
	deadline = seconds(CLOCK_MONOTONIC) + 30;
	while (set_largest(bus, UMC_FILTER_EGRESS, 0, 0)) {
		EQUAL(errno, EDQUOT);
		CHECK(seconds(CLOCK_MONOTONIC) < deadline);
		sched_yield();
	}
	while (more < 8 && !set_largest(more % 2 ? bus : other, UMC_FILTER_INGRESS, more / 2 % 2, 0))
		more++;
	printf("# %ld KiB for %d filters of %d instructions\n", before - available_kib(), 1 + more,
	       UMC_MAX_PROGRAMS * BPF_MAXINSNS);
	EQUAL(more, 0);
	EQUAL(errno, EDQUOT);
	FAILS(set_filter(other, UMC_FILTER_INGRESS, 0, &no, 1), EDQUOT);
	/* To take one back needs nothing, and makes room again. */
	CHECK(!set_filter(bus, UMC_FILTER_EGRESS, 0, NULL, 0));
	deadline = seconds(CLOCK_MONOTONIC) + 30;
	while (set_filter(other, UMC_FILTER_INGRESS, 0, &no, 1)) {
		EQUAL(errno, EDQUOT);
		CHECK(seconds(CLOCK_MONOTONIC) < deadline);
		sched_yield();
	}
	bus_free(bus);
	bus_free(other);
}

/* What runs while others can't send is bounded for root's groups too. */
TEST(work_under_a_lock_is_bounded, 0)
{
	struct bus *bus = bus_new(3);

	CHECK(!set_largest(bus, UMC_FILTER_INGRESS, 0, UMC_NO));
	set_verdict(bus, UMC_FILTER_REST, UMC_ANY, UMC_NO);
	CHECK(!set_filter(bus, UMC_FILTER_INGRESS, 1, NULL, 0));
	send_to(&bus->client[0], UMC_MULTICAST, 1);
	expect(bus->client[0].daemon, 1);
	EQUAL(asked(bus, 0, UMC_ASKED_BUDGET), 1);
	bus_free(bus);
}
