// SPDX-License-Identifier: GPL-2.0
/* A sender that its cgroup throttles holds up none of the daemon's calls. */

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "system.h"
#include "umc.h"

#define CGROUP	"/run/cgroup"

/* The calling process gets four milliseconds of 200 from now on. */
static bool throttle(void)
{
	char pid[16];

	snprintf(pid, sizeof(pid), "%d", getpid());
	put(CGROUP "/cgroup.subtree_control", "+cpu");
	mkdir(CGROUP "/throttled", 0755);
	return put(CGROUP "/throttled/cpu.max", "4000 200000") &&
	       put(CGROUP "/throttled/cgroup.procs", pid);
}

/* Multicasts without end, or calls of another member; stops when its parent does. */
static pid_t throttled_sender(struct client *client, uint32_t verdict)
{
	int ready[2];
	char byte = 0;
	pid_t pid;

	CHECK(!pipe(ready));
	pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		byte = throttle();
		CHECK(write(ready[1], &byte, 1) == 1);
		for (uint32_t i = 1; byte; i++)
			send_to(client, verdict, i);
		_exit(0);
	}
	CHECK(read(ready[0], &byte, 1) == 1);
	if (!byte) {
		waitpid(pid, NULL, 0);
		test_skip("no cgroup with a cpu controller");
	}
	return pid;
}

static long times_slept(void)
{
	struct rusage usage;

	CHECK(!getrusage(RUSAGE_THREAD, &usage));
	return usage.ru_nvcsw;
}

struct tried {
	long calls;
	long slept;
	double longest;
};

static void try(struct tried *tried, struct bus *bus, void (*call)(struct bus *bus))
{
	double begin = seconds(CLOCK_MONOTONIC), took;
	long slept = times_slept();

	call(bus);
	tried->slept += times_slept() - slept;
	took = seconds(CLOCK_MONOTONIC) - begin;
	if (took > tried->longest)
		tried->longest = took;
	tried->calls++;
}

static void no_filter(struct bus *bus)
{
	CHECK(!set_filter(bus, UMC_FILTER_INGRESS, 2, NULL, 0));
}

/* Making a filter may sleep, for memory and for the compiler's own locks. */
static void new_filter(struct bus *bus)
{
	set_verdict(bus, UMC_FILTER_INGRESS, 2, UMC_YES);
}

static void no_egress(struct bus *bus)
{
	CHECK(!set_filter(bus, UMC_FILTER_EGRESS, 0, NULL, 0));
}

static void new_egress(struct bus *bus)
{
	set_verdict(bus, UMC_FILTER_EGRESS, 0, UMC_MULTICAST);
}

static void mark(struct bus *bus)
{
	CHECK(!ioctl(bus->group, UMC_SET_MARK, &(struct umc_mark){ .index = 0, .mark = 7 }));
}

static void stamp(struct bus *bus)
{
	CHECK(!set_stamp(bus, 0, "12345678", 8, 16, 0, 0));
}

static void close_gate(struct bus *bus)
{
	CHECK(!gate(bus, true));
	CHECK(!gate(bus, false));
}

static void write_to_all(struct bus *bus)
{
	char bytes[4096];

	while (recv(bus->client[0].fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		;
	for (uint32_t i = 1; i < 4; i++) {
		int64_t n = daemon_send(bus, i, 1);

		CHECK(n == MINIMUM || n == -EBUSY || n == -EAGAIN);
		while (recv(bus->client[i].fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
			;
		daemon_write(bus, i, NULL, 0, 0);
	}
}

static void leave_and_come(struct bus *bus)
{
	CHECK(!remove_member(bus, 3) || errno == EBUSY);
	CHECK(!forget(bus, 3));
	CHECK(!client_add(bus, &bus->client[3], 3));
}

static void new_ingress(struct bus *bus)
{
	set_verdict(bus, UMC_FILTER_INGRESS, 3, UMC_YES);
}

static void let_go(struct bus *bus)
{
	while (receive(bus->client[0].daemon) >= 0)
		;
	release(bus, 0);
}

static const struct {
	const char *name;
	void (*call)(struct bus *bus);
	void (*restore)(struct bus *bus);
} calls[] = {
	{ "UMC_SET_FILTER ingress", no_filter, new_filter },
	{ "UMC_SET_FILTER egress", no_egress, new_egress },
	{ "UMC_SET_MARK", mark, NULL },
	{ "UMC_SET_STAMP", stamp, NULL },
	{ "UMC_GATE", close_gate, NULL },
	{ "UMC_WRITE", write_to_all, NULL },
	{ "UMC_REMOVE, UMC_FORGET, UMC_ADD", leave_and_come, new_ingress },
	{ "UMC_WRITE, which releases", let_go, NULL },
};

/* A thread that sleeps in a call has waited for another. */
TEST(a_throttled_sender_stops_no_call, 0)
{
	enum { MEMBERS = 24, FOR = 10 };
	struct bus *bus = bus_new(MEMBERS);
	struct tried tried[ARRAY_SIZE(calls)] = {};
	long slept = 0;
	double end;
	pid_t pid;

	for (int i = 0; i < MEMBERS; i++)
		set_verdict(bus, UMC_FILTER_INGRESS, i, i < 4 ? UMC_YES : UMC_NO);
	pid = throttled_sender(&bus->client[0], UMC_MULTICAST);
	end = seconds(CLOCK_MONOTONIC) + FOR;
	while (seconds(CLOCK_MONOTONIC) < end) {
		for (size_t i = 0; i < ARRAY_SIZE(calls); i++) {
			try(&tried[i], bus, calls[i].call);
			if (calls[i].restore)
				calls[i].restore(bus);
		}
		usleep(1000);
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	for (size_t i = 0; i < ARRAY_SIZE(calls); i++) {
		printf("# %s: %ld times, slept %ld times, longest %.1f ms\n", calls[i].name,
		       tried[i].calls, tried[i].slept, tried[i].longest * 1e3);
		slept += tried[i].slept;
	}
	printf("# direct %llu, asked because of a change %llu\n",
	       (unsigned long long)stats_of(bus, 0).direct,
	       (unsigned long long)asked(bus, 0, UMC_ASKED_BUSY));
	EQUAL(slept, 0);
	bus_free(bus);
}
