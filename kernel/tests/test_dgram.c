// SPDX-License-Identifier: GPL-2.0
/* Datagram members: join by address, send to it, block or drop. */

#include <pthread.h>
#include <sys/stat.h>

#include "umc.h"

struct dgroup {
	int device;
	int group;
	int address_fd;
	struct sockaddr_un address;
	socklen_t length;
};

static struct dgroup dgroup_at(const char *path, uint32_t mode, uint32_t flags)
{
	struct umc_create create = {
		.version = UMC_VERSION, .mode = mode, .flags = flags, .max_members = 8,
	};
	struct dgroup g = { .device = device_open() };
	socklen_t length = sizeof(sa_family_t);

	g.address.sun_family = AF_UNIX;
	if (path) {
		strcpy(g.address.sun_path, path);
		length = sizeof(g.address);
	}
	g.address_fd = socket(AF_UNIX, SOCK_DGRAM, 0);
	CHECK(!bind(g.address_fd, (struct sockaddr *)&g.address, length));
	g.length = sizeof(g.address);
	CHECK(!getsockname(g.address_fd, (struct sockaddr *)&g.address, &g.length));
	create.address_fd = g.address_fd;
	g.group = ioctl(g.device, UMC_CREATE, &create);
	CHECK(g.group >= 0);
	return g;
}

static int join(struct dgroup *g, int fd, uint32_t flags)
{
	struct umc_join call = { .fd = fd, .flags = flags, .length = g->length };

	memcpy(call.address, &g->address, sizeof(g->address));
	return ioctl(g->device, UMC_JOIN, &call) ? -1 : (int)call.index;
}

static int joined(struct dgroup *g)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0);

	CHECK(fd >= 0);
	CHECK(join(g, fd, 0) >= 0);
	return fd;
}

static int send_group(struct dgroup *g, int fd, const void *data, size_t length, int flags)
{
	return sendto(fd, data, length, flags, (struct sockaddr *)&g->address, g->length);
}

static void got(int fd, const char *text)
{
	char buffer[8192] = {};

	EQUAL(recv(fd, buffer, sizeof(buffer), MSG_DONTWAIT), strlen(text));
	CHECK(!strcmp(buffer, text));
}

TEST(dgram_reaches_all_others, SMOKE)
{
	struct dgroup g = dgroup_at(NULL, UMC_MODE_BLOCK, 0);
	struct sockaddr_un from, own;
	socklen_t length = sizeof(from), own_length = sizeof(own);
	int a = joined(&g), b = joined(&g), c = joined(&g);
	char buffer[10];

	EQUAL(send_group(&g, a, "one", 3, 0), 3);
	EQUAL(send(a, "two", 3, 0), 3);
	CHECK(!getsockname(a, (struct sockaddr *)&own, &own_length));
	EQUAL(recvfrom(b, buffer, 10, MSG_DONTWAIT, (struct sockaddr *)&from, &length), 3);
	/* The source address is the sender's. */
	EQUAL(length, own_length);
	CHECK(!memcmp(&from, &own, length));
	got(b, "two");
	got(c, "one");
	got(c, "two");
	expect_nothing(a);
	expect_nothing(g.address_fd);
}

TEST(dgram_loopback, SMOKE)
{
	struct dgroup g = dgroup_at(NULL, UMC_MODE_DROP, 0);
	int a = socket(AF_UNIX, SOCK_DGRAM, 0), b = joined(&g);

	CHECK(join(&g, a, UMC_JOIN_LOOPBACK) >= 0);
	EQUAL(send(a, "x", 1, 0), 1);
	got(a, "x");
	got(b, "x");
}

TEST(dgram_needs_the_groups_address, SMOKE)
{
	struct dgroup g = dgroup_at(NULL, UMC_MODE_DROP, 0);
	struct umc_join call = { .length = 10 };
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0), stream = socket(AF_UNIX, SOCK_STREAM, 0);
	struct dgroup elsewhere = g;

	elsewhere.address.sun_path[1] ^= 1;
	FAILS(join(&elsewhere, fd, 0), ECONNREFUSED);
	FAILS(join(&g, stream, 0), EINVAL);
	FAILS(join(&g, 99, 0), EBADF);
	FAILS(join(&g, g.device, 0), ENOTSOCK);
	FAILS(join(&g, fd, 0x80), EINVAL);
	call.fd = fd;
	call.length = 200;
	FAILS(ioctl(g.device, UMC_JOIN, &call), EINVAL);
	call.length = 1;
	FAILS(ioctl(g.device, UMC_JOIN, &call), EINVAL);
	CHECK(join(&g, fd, 0) >= 0);
	FAILS(join(&g, fd, 0), EBUSY);
	close(g.group);
	fd = socket(AF_UNIX, SOCK_DGRAM, 0);
	FAILS(join(&g, fd, 0), ECONNREFUSED);
}

TEST(dgram_closed_group, SMOKE)
{
	struct dgroup g = dgroup_at(NULL, UMC_MODE_DROP, UMC_CREATE_CLOSED);

	FAILS(join(&g, socket(AF_UNIX, SOCK_DGRAM, 0), 0), EPERM);
}

TEST(dgram_group_by_path_asks_for_permission, 0)
{
	char path[] = "/tmp/umc-XXXXXX/group";
	struct dgroup g;

	*strrchr(path, '/') = 0;
	CHECK(mkdtemp(path));
	CHECK(!chmod(path, 0755));
	path[strlen(path)] = '/';
	g = dgroup_at(path, UMC_MODE_DROP, 0);
	joined(&g);
	CHECK(!chmod(path, 0600));
	CHECK(!setgid(12345) && !setuid(12345));
	FAILS(join(&g, socket(AF_UNIX, SOCK_DGRAM, 0), 0), EACCES);
}

TEST(dgram_ask_is_refused, SMOKE)
{
	struct umc_create create = { .version = UMC_VERSION, .max_members = 8, .mode = UMC_MODE_ASK };
	struct dgroup g = dgroup_at(NULL, UMC_MODE_DROP, 0);
	const struct sock_filter no = BPF_STMT(BPF_RET | BPF_K, UMC_NO);
	struct bus bus = { .group = g.group, .device = g.device };
	struct umc_add add = { .listener_fd = g.address_fd, .accepted_fd = g.address_fd };
	struct umc_write call_write = {};
	int a = joined(&g), b = joined(&g);

	create.address_fd = g.address_fd;
	FAILS(ioctl(g.device, UMC_CREATE, &create), EOPNOTSUPP);
	create.mode = UMC_MODE_DROP;
	create.address_fd = socket(AF_UNIX, SOCK_DGRAM, 0);
	FAILS(ioctl(g.device, UMC_CREATE, &create), EADDRNOTAVAIL);
	create.address_fd = g.device;
	FAILS(ioctl(g.device, UMC_CREATE, &create), ENOTSOCK);
	FAILS(ioctl(g.group, UMC_ADD, &add), EOPNOTSUPP);
	FAILS(ioctl(g.group, UMC_WRITE, &call_write), EOPNOTSUPP);
	FAILS(ioctl(g.group, UMC_WATCH, &(struct umc_watch){ .fd = g.device }), EOPNOTSUPP);
	FAILS(set_filter(&bus, UMC_FILTER_EGRESS, 0, &no, 1), EOPNOTSUPP);
	FAILS(set_filter(&bus, UMC_FILTER_REST, UMC_ANY, &no, 1), EOPNOTSUPP);
	FAILS(set_filter(&bus, UMC_FILTER_FIRST, UMC_ANY, &no, 1), EOPNOTSUPP);
	FAILS(set_stamp(&bus, 0, "x", 1, 0, 0, 0), EOPNOTSUPP);
	/* An ingress filter keeps messages away. */
	CHECK(!set_filter(&bus, UMC_FILTER_INGRESS, 1, &no, 1));
	EQUAL(send(a, "x", 1, 0), 1);
	expect_nothing(b);
}

TEST(dgram_leave_returns_ordinary_behaviour, SMOKE)
{
	struct dgroup g = dgroup_at(NULL, UMC_MODE_DROP, 0);
	int a = joined(&g), b = joined(&g);
	struct umc_leave leave = { .fd = a };

	CHECK(!ioctl(g.device, UMC_LEAVE, &leave));
	FAILS(ioctl(g.device, UMC_LEAVE, &leave), ENOTCONN);
	FAILS(send(a, "x", 1, 0), ENOTCONN);
	EQUAL(send_group(&g, a, "plain", 5, 0), 5);
	got(g.address_fd, "plain");
	expect_nothing(b);
	CHECK(join(&g, a, 0) >= 0);
	EQUAL(send_group(&g, a, "again", 5, 0), 5);
	got(b, "again");
	leave.flags = 1;
	FAILS(ioctl(g.device, UMC_LEAVE, &leave), EINVAL);
	leave = (struct umc_leave){ .fd = g.device };
	FAILS(ioctl(g.device, UMC_LEAVE, &leave), ENOTSOCK);
}

TEST(dgram_to_others_is_ordinary, SMOKE)
{
	struct dgroup g = dgroup_at(NULL, UMC_MODE_DROP, 0);
	int a = joined(&g), b = joined(&g), pair[2];
	struct sockaddr_un other;
	socklen_t length = sizeof(other);

	CHECK(!getsockname(b, (struct sockaddr *)&other, &length));
	EQUAL(sendto(a, "direct", 6, 0, (struct sockaddr *)&other, length), 6);
	got(b, "direct");
	CHECK(!socketpair(AF_UNIX, SOCK_DGRAM, 0, pair));
	CHECK(join(&g, pair[0], 0) >= 0);
	EQUAL(send(pair[0], "pair", 4, 0), 4);
	got(pair[1], "pair");
	expect_nothing(b);
}

TEST(dgram_errors, 0)
{
	struct dgroup g = dgroup_at(NULL, UMC_MODE_DROP, 0);
	int a = joined(&g);
	char *large = calloc(1, UMC_MAX_MESSAGE + 1);

	FAILS(send(a, large, UMC_MAX_MESSAGE + 1, 0), EMSGSIZE);
	FAILS(send(a, (void *)8, 100, 0), EFAULT);
	FAILS(send(a, "x", 1, MSG_OOB), EOPNOTSUPP);
	free(large);
}

TEST(dgram_drop_counts, SMOKE)
{
	struct dgroup g = dgroup_at(NULL, UMC_MODE_DROP, 0);
	struct bus bus = { .group = g.group };
	int a = joined(&g), b = joined(&g), c = joined(&g), received = 0;

	for (int i = 0; i < 100; i++) {
		EQUAL(send(a, "x", 1, 0), 1);
		got(b, "x");
	}
	while (recv(c, &(char){ 0 }, 1, MSG_DONTWAIT) == 1)
		received++;
	CHECK(received > 0 && received < 100);
	EQUAL(stats_of(&bus, 2).dropped, 100 - received);
	EQUAL(stats_of(&bus, 1).dropped, 0);
	EQUAL(stats_of(&bus, 0).copies, 100 + received);
}

static void *send_one(void *argument)
{
	return (void *)(long)send(*(int *)argument, "last", 4, 0);
}

TEST(dgram_block_waits_for_room, SMOKE)
{
	struct dgroup g = dgroup_at(NULL, UMC_MODE_BLOCK, 0);
	int a = joined(&g), b = joined(&g), c = joined(&g), sent = 0;
	struct pollfd out = { .fd = a, .events = POLLOUT };
	pthread_t thread;
	void *result;

	EQUAL(poll(&out, 1, 0), 1);
	while (send(a, "x", 1, MSG_DONTWAIT) == 1)
		sent++;
	EQUAL(errno, EAGAIN);
	CHECK(sent > 3);
	EQUAL(poll(&out, 1, 0), 0);
	CHECK(!pthread_create(&thread, NULL, send_one, &a));
	for (int i = 0; i < sent; i++)
		got(b, "x");
	EQUAL(poll(&out, 1, 0), 0);
	for (int i = 0; i < sent; i++)
		got(c, "x");
	pthread_join(thread, &result);
	EQUAL((long)result, 4);
	got(b, "last");
	got(c, "last");
	EQUAL(poll(&out, 1, 1000), 1);
}

TEST(dgram_block_by_its_own_send_buffer, 0)
{
	struct dgroup g = dgroup_at(NULL, UMC_MODE_BLOCK, 0);
	int a = joined(&g), b = joined(&g), sent = 0, next = 0;
	static char large[60000];

	/* The sender's buffer is full before the receiver's queue is. */
	while (send(a, large, sizeof(large), MSG_DONTWAIT) == sizeof(large))
		sent++;
	EQUAL(errno, EAGAIN);
	CHECK(sent > 0 && sent < 10);
	while (recv(b, large, sizeof(large), MSG_DONTWAIT) > 0)
		next++;
	EQUAL(next, sent);
	EQUAL(send(a, large, sizeof(large), MSG_DONTWAIT), sizeof(large));
}

static void *send_many(void *argument)
{
	int fd = *(int *)argument;

	for (int i = 0; i < 500; i++)
		CHECK(send(fd, &i, sizeof(i), 0) == sizeof(i));
	return NULL;
}

TEST(dgram_same_order_everywhere, 0)
{
	enum { SENDERS = 3, EACH = 500 };
	struct dgroup g = dgroup_at(NULL, UMC_MODE_BLOCK, 0);
	struct sockaddr_un from[2];
	int receivers[2] = { joined(&g), joined(&g) }, senders[SENDERS];
	pthread_t threads[SENDERS];

	for (int i = 0; i < SENDERS; i++) {
		static const struct sock_filter no = BPF_STMT(BPF_RET | BPF_K, UMC_NO);
		struct bus bus = { .group = g.group };

		senders[i] = joined(&g);
		CHECK(!set_filter(&bus, UMC_FILTER_INGRESS, 2 + i, &no, 1));
	}
	for (int i = 0; i < SENDERS; i++)
		CHECK(!pthread_create(&threads[i], NULL, send_many, &senders[i]));
	for (int i = 0; i < SENDERS * EACH; i++) {
		int value[2];

		for (int r = 0; r < 2; r++) {
			socklen_t length = sizeof(from[r]);

			memset(&from[r], 0, sizeof(from[r]));
			EQUAL(recvfrom(receivers[r], &value[r], 4, 0, (struct sockaddr *)&from[r],
				       &length), 4);
		}
		EQUAL(value[0], value[1]);
		CHECK(!memcmp(&from[0], &from[1], sizeof(from[0])));
	}
	for (int i = 0; i < SENDERS; i++)
		pthread_join(threads[i], NULL);
}
