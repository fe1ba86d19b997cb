// SPDX-License-Identifier: GPL-2.0
/*
 * unix-multicast-stress SECONDS [SEED [stream|seqpacket [failslab]]]: members come, send, go and are killed; filters are swapped; the gate closes and opens;
 * the group is closed under load and made anew.  The daemon checks that what it reads is whole; the kernel's own detectors
 * report the rest.
 */

#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

#include <linux/netlink.h>

#include "umc.h"

#define SLOTS	8

int socket_type = SOCK_STREAM;

static struct bus bus;
static pid_t children[SLOTS], daemon_pid;
static int watched = -1;	/* a netlink socket that sends to itself */
static unsigned long long added, direct, multicast, asked_for, written, spilled;

/* Called by CHECK of bus.c, which is also used here. */
void test_fail(const char *file, int line, const char *format, ...)
{
	(void)format;
	/* A client may fail as it likes, when memory does. */
	if (getpid() != daemon_pid)
		_exit(1);
	printf("not ok stress: %s:%d, errno %d\n", file, line, errno);
	fflush(stdout);
	_exit(1);
}

static void *drain(void *argument)
{
	char buffer[65536];

	while (recv(*(int *)argument, buffer, sizeof(buffer), 0) > 0)
		;
	return NULL;
}

static void *talk(void *argument)
{
	struct client self = { .fd = *(int *)argument };
	unsigned int seed = self.fd * 31 + getpid();

	for (uint32_t i = 0;; i++) {
		static const uint32_t sizes[] = { 24, 24, 24, 100, 3000, 5000, 30000 };
		uint32_t to = rand_r(&seed) % SLOTS, verdict = TO(to);

		switch (rand_r(&seed) % 12) {
		case 0: case 1: verdict = UMC_MULTICAST; break;
		case 2: verdict = UMC_ASK; break;
		case 3: case 4: verdict = CALL(to); break;
		case 5: verdict = REPLY(to); break;
		case 6: setsockopt(self.fd, SOL_SOCKET, SO_PASSCRED, &(int){ i % 2 }, sizeof(int)); break;
		}
		if (send_sized(&self, verdict, 1 + rand_r(&seed) % 8, sizes[rand_r(&seed) % 7]) < 0 &&
		    errno != EAGAIN && errno != ENOMEM && errno != ENOBUFS)
			return NULL;
		if (i % 8 == 7)
			usleep(30000);
	}
}

/* A client: two threads send, one reads. */
static void client(void)
{
	pthread_t threads[3];
	int fd = socket(AF_UNIX, socket_type, 0);

	/* The daemon must keep up, or nothing goes directly. */
	if (nice(10) == -1)
		_exit(1);
	signal(SIGPIPE, SIG_IGN);
	if (connect(fd, (struct sockaddr *)&bus.address, bus.address_length))
		_exit(1);
	pthread_create(&threads[0], NULL, talk, &fd);
	pthread_create(&threads[1], NULL, talk, &fd);
	pthread_create(&threads[2], NULL, drain, &fd);
	alarm(20);
	pthread_join(threads[0], NULL);
	_exit(0);
}

static const struct sock_filter own_verdict[] = {
	BPF_STMT(BPF_LD | BPF_W | BPF_LEN, 0),
	BPF_STMT(BPF_MISC | BPF_TAX, 0),
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 4),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_X, 0, 1, 0),
	BPF_STMT(BPF_RET | BPF_K, UMC_ASK),
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
	BPF_STMT(BPF_RET | BPF_A, 0),
};

static void set_ingress(uint32_t index, uint32_t verdict)
{
	const struct sock_filter code[] = { BPF_STMT(BPF_RET | BPF_K, verdict) };

	set_filter(&bus, UMC_FILTER_INGRESS, index, code, 1);
}

/* If memory fails the rest follows later: a member without filters asks. */
static void attach(uint32_t slot)
{
	set_filter(&bus, UMC_FILTER_EGRESS, slot, own_verdict, ARRAY_SIZE(own_verdict));
	set_ingress(slot, UMC_YES);
	set_stamp(&bus, slot, "12345678", 8 * (slot % 2), 24, 20, UMC_STAMP_LENGTH);
}

static void join_member(uint32_t slot)
{
	struct client *c = &bus.client[slot];

	children[slot] = fork();
	if (children[slot] == 0)
		client();
	if (children[slot] < 0 || !readable(bus.listener, 5000))
		return;
	c->daemon = accept4(bus.listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (c->daemon < 0)
		return;
	if (!client_add(&bus, c, slot))
		added++;
	attach(slot);
}

static void leave_member(uint32_t slot)
{
	struct client *c = &bus.client[slot];

	if (children[slot] > 0) {
		kill(children[slot], SIGKILL);
		if (slot % 3)
			waitpid(children[slot], NULL, 0);
	}
	remove_member(&bus, slot);
	if (c->daemon >= 0)
		close(c->daemon);
	c->daemon = -1;
	forget(&bus, slot);
	if (children[slot] > 0)
		waitpid(children[slot], NULL, 0);
	children[slot] = 0;
}

static void count(void)
{
	struct umc_stats stats = { .index = UMC_ANY };

	ioctl(bus.group, UMC_GET_STATS, &stats);
	direct += stats.direct;
	multicast += stats.multicast;
}

static void group_again(void)
{
	const struct sock_filter no = BPF_STMT(BPF_RET | BPF_K, UMC_NO);

	if (bus.group >= 0) {
		count();
		close(bus.group);
	}
	do
		bus.group = group_new(bus.device, rand() % 3);
	while (bus.group < 0);
	fcntl(bus.group, F_SETFL, O_NONBLOCK);
	set_shape(bus.group, HEADER);
	ioctl(bus.group, UMC_WATCH, &(struct umc_watch){ .fd = watched });
	set_filter(&bus, UMC_FILTER_REST, UMC_ANY, &no, 1);
	for (uint32_t i = 0; i < SLOTS; i++)
		if (bus.client[i].daemon >= 0 && !client_add(&bus, &bus.client[i], i))
			attach(i);
}

/* Reads what was asked, writes some of it to others, and releases. */
static void serve(uint32_t slot)
{
	static char buffer[70000];
	int fd = bus.client[slot].daemon, n;
	struct umc_release_entry entry = { .index = slot };
	struct umc_write call = { .releases = (uintptr_t)&entry, .release_count = 1 };

	if (fd < 0)
		return;
	for (int i = 0; i < 8 && (n = recv(fd, buffer, sizeof(buffer), MSG_DONTWAIT)) > 0; i++) {
		asked_for++;
		if (daemon_write(&bus, rand() % SLOTS, buffer, n, rand() % 64 ? 0 : UMC_WRITE_HOLD) > 0)
			written++;
	}
	ioctl(bus.group, UMC_WRITE, &call);
	while (read(bus.group, buffer, sizeof(buffer)) > 0)
		spilled++;
}

/* Removes and adds the member again, under load. */
static void add_again(uint32_t slot)
{
	struct client *c = &bus.client[slot];

	remove_member(&bus, slot);
	forget(&bus, slot);
	if (c->daemon >= 0 && !client_add(&bus, c, slot))
		attach(slot);
}

static void watched_new(void)
{
	struct sockaddr_nl address = { .nl_family = AF_NETLINK };
	socklen_t length = sizeof(address);

	watched = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_USERSOCK);
	if (watched < 0)
		return;
	CHECK(!bind(watched, (struct sockaddr *)&address, length));
	CHECK(!getsockname(watched, (struct sockaddr *)&address, &length));
	CHECK(!connect(watched, (struct sockaddr *)&address, length));
}

/* What a group watches is announced to, perhaps read, and then all is taken back and set anew. */
static void policy_changes(void)
{
	struct nlmsghdr header = { .nlmsg_len = NLMSG_LENGTH(0), .nlmsg_type = NLMSG_MIN_TYPE };
	char byte;

	if (watched >= 0)
		send(watched, &header, sizeof(header), MSG_DONTWAIT);
	while (watched >= 0 && rand() % 8 && recv(watched, &byte, 1, MSG_DONTWAIT) > 0)
		;
	if (ioctl(bus.group, UMC_REVOKE) < 0)
		return;
	for (uint32_t i = 0; i < SLOTS; i++)
		attach(i);
}

static void reconfigure(uint32_t slot)
{
	struct umc_stats stats = { .index = UMC_ANY };
	struct umc_pending_list list = { .caller = UMC_ANY, .callee = UMC_ANY };
	static const uint32_t verdicts[] = { UMC_YES, UMC_YES, UMC_NO, UMC_ASK };

	switch (rand() % 16) {
	case 0: leave_member(slot); join_member(slot); break;
	case 1: set_ingress(slot, verdicts[rand() % 4]); break;
	case 2: attach(slot); break;
	case 3: gate(&bus, true); gate(&bus, false); break;
	case 4: if (!(rand() % 10)) group_again(); break;
	case 5: ioctl(bus.group, UMC_GET_STATS, &stats); break;
	case 6: ioctl(bus.group, UMC_PENDING_LIST, &list); break;
	case 7: daemon_write(&bus, slot, NULL, 0, 0); break;
	case 8: add_again(slot); break;
	case 10: pending_add(&bus, slot, rand() % SLOTS, 1 + rand() % 8); break;
	case 9: pending_take(&bus, slot, rand() % SLOTS, 1 + rand() % 8); break;
	case 11: policy_changes(); break;
	}
}

/* Begins or stops to let this process's allocations fail. */
static void fail(int fd, const char *whether)
{
	CHECK(fd >= 0 && write(fd, whether, 1) == 1);
}

int main(int argc, char **argv)
{
	int failing = -1;
	time_t end;

	daemon_pid = getpid();
	srand(argc > 2 ? atoi(argv[2]) : 1);
	if (argc > 3 && !strcmp(argv[3], "seqpacket"))
		socket_type = SOCK_SEQPACKET;
	signal(SIGPIPE, SIG_IGN);
	bus.device = device_open();
	bus.group = -1;
	bus.listener = socket(AF_UNIX, socket_type | SOCK_CLOEXEC, 0);
	bus.address.sun_family = AF_UNIX;
	CHECK(!bind(bus.listener, (struct sockaddr *)&bus.address, sizeof(sa_family_t)));
	bus.address_length = sizeof(bus.address);
	CHECK(!getsockname(bus.listener, (struct sockaddr *)&bus.address, &bus.address_length));
	CHECK(!listen(bus.listener, 64));
	for (uint32_t i = 0; i < SLOTS; i++)
		bus.client[i].daemon = -1;
	watched_new();
	group_again();
	for (uint32_t i = 0; i < SLOTS; i++)
		join_member(i);
	if (argc > 4 && !strcmp(argv[4], "failslab")) {
		failing = open("/proc/self/make-it-fail", O_WRONLY);
		fail(failing, "1");
	}
	end = time(NULL) + (argc > 1 ? atoi(argv[1]) : 10);
	while (time(NULL) < end) {
		for (uint32_t i = 0; i < 4 * SLOTS; i++)
			serve(i % SLOTS);
		reconfigure(rand() % SLOTS);
	}
	for (uint32_t i = 0; i < SLOTS; i++)
		leave_member(i);
	count();
	close(bus.group);
	/* Otherwise the result may not get out. */
	if (failing >= 0)
		fail(failing, "0");
	printf("# %llu added, %llu direct, %llu multicast, %llu read, %llu written, %llu spilled\n", added, direct, multicast,
	       asked_for, written, spilled);
	printf("ok stress\n");
	return 0;
}
