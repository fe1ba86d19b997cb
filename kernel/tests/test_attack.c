// SPDX-License-Identifier: GPL-2.0
/* What one client can do to the others, and to the daemon. */

#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "umc.h"

#define CGROUP	"/run/cgroup"

static double seconds(clockid_t clock)
{
	struct timespec time;

	clock_gettime(clock, &time);
	return time.tv_sec + time.tv_nsec / 1e9;
}

static long times_slept(void)
{
	struct rusage usage;

	CHECK(!getrusage(RUSAGE_THREAD, &usage));
	return usage.ru_nvcsw;
}

/* ---- a sender that its cgroup throttles ---- */

static bool put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);
	bool done = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	if (fd >= 0)
		close(fd);
	return done;
}

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
	{ "UMC_RELEASE", let_go, NULL },
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

/* ---- keys that fall into one bucket of a table with a known hash ---- */

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

/* ---- filters of the greatest size ---- */

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

/* ---- a security module that objects ---- */

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
