// SPDX-License-Identifier: GPL-2.0
/*
 * unix-multicast-bench [-b NAME=PATH] [-r ROUNDS]: prints "CASE CONTENDER KEY=VALUE...". Times are nanoseconds a message,
 * or instructions where QEMU counts them. A round of ping-pong is two messages.
 */

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"

#define WINDOW	64
#define FANOUT	8
#define SLOW	4	/* receivers, of which the last one is slow */

struct shared *shared;
static int rounds = 1000;

/*
 * No process spins: one that yields in a loop falls behind the others' virtual run time, and the scheduler lets it catch up
 * while it is being measured.
 */
static int ready_pipe[2], go_pipe[2], over_pipe[2];

static void make_pipes(void)
{
	if (pipe(ready_pipe) || pipe(go_pipe) || pipe(over_pipe))
		DIE("pipe");
}

static void close_pipes(void)
{
	close(ready_pipe[0]);
	close(ready_pipe[1]);
	close(go_pipe[0]);
	close(go_pipe[1]);
	close(over_pipe[0]);
	close(over_pipe[1]);
}

/* The other side has closed it. */
static void wait_for_end(int end[2])
{
	char byte;

	if (read(end[0], &byte, 1))
		DIE("read");
}

static void be_ready(void)
{
	close(go_pipe[1]);
	close(over_pipe[1]);
	if (write(ready_pipe[1], "r", 1) != 1)
		DIE("write");
	wait_for_end(go_pipe);
}

static void wait_for_ready(int receivers)
{
	char byte;

	while (receivers--)
		if (read(ready_pipe[0], &byte, 1) != 1)
			DIE("read");
	close(go_pipe[1]);
}

uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static void read_exactly(int fd, size_t bytes)
{
	static char buffer[65536];

	while (bytes) {
		ssize_t n = recv(fd, buffer, bytes < sizeof(buffer) ? bytes : sizeof(buffer), 0);

		if (n <= 0)
			DIE("recv");
		bytes -= n;
	}
}

/* Reads one message, and returns its length on arrival. */
static size_t read_first(const struct contender *c, int fd)
{
	uint8_t header[16];
	size_t length;

	if (recv(fd, header, sizeof(header), MSG_PEEK | MSG_WAITALL) != sizeof(header))
		DIE("recv");
	length = c->total(header);
	read_exactly(fd, length);
	return length;
}

static void send_exactly(int fd, const void *data, size_t length)
{
	while (send(fd, data, length, MSG_NOSIGNAL) != (ssize_t)length) {
		/* netlink multicasts, and then finds no receiver in the kernel: it has been sent. */
		if (errno == ECONNREFUSED)
			return;
		if (errno != EAGAIN && errno != ENOBUFS)
			DIE("send");
	}
}

/* To all: one message, or a loop where the transport has no multicast. */
static void send_all(const struct contender *c, int fd, int receivers, const void *data, size_t length)
{
	if (c != &direct) {
		send_exactly(fd, data, length);
		return;
	}
	for (int i = 1; i <= receivers; i++)
		send_exactly(receiver_fds[i], data, length);
}

static void take_acks(const struct contender *c, int fd, int receivers, size_t length)
{
	if (c != &direct) {
		read_exactly(fd, receivers * length);
		return;
	}
	for (int i = 1; i <= receivers; i++)
		read_exactly(receiver_fds[i], length);
}

/* A receiver: after every @window messages an acknowledgement. A first message warms everything up. */
static void receiver(const struct contender *c, int self, int window, int count)
{
	int fd = c->open(self);
	char ack[512];
	size_t ack_length, length;

	be_ready();
	ack_length = c->make(ack, self, 0, 1);
	length = read_first(c, fd);
	send_exactly(fd, ack, ack_length);
	for (int done = 0; done < count; done += window) {
		read_exactly(fd, window * length);
		ack_length = c->make(ack, self, 0, done + 2);
		send_exactly(fd, ack, ack_length);
	}
	wait_for_end(over_pipe);
	_exit(0);
}

struct result {
	double per_message;
	double wake_ups;
};

static size_t first_round(const struct contender *c, int fd, int receivers, const void *data, size_t length)
{
	size_t ack = 0;

	send_all(c, fd, receivers, data, length);
	for (int i = 1; i <= receivers; i++)
		ack = read_first(c, c == &direct ? receiver_fds[i] : fd);
	return ack;
}

static void sender(const struct contender *c, int receivers, int window, int count, struct result *result)
{
	int fd = c->open(0), to = receivers == 1 ? 1 : ALL;
	char data[512];
	size_t length, ack;
	uint64_t begin, wake_ups;

	if (fd >= 0 && c == &direct)
		receiver_fds[1] = fd;
	wait_for_ready(receivers);
	length = c->make(data, 0, to, 1);
	ack = first_round(c, fd, receivers, data, length);
	wake_ups = shared->wake_ups;
	begin = now();
	for (int done = 0; done < count; done += window) {
		for (int i = 0; i < window; i++) {
			length = c->make(data, 0, to, done + i + 2);
			send_all(c, fd, receivers, data, length);
		}
		take_acks(c, fd, receivers, ack);
	}
	result->per_message = (double)(now() - begin) / count;
	result->wake_ups = (double)(shared->wake_ups - wake_ups) / count;
	close(over_pipe[1]);
}

static struct result measure(const struct contender *c, int receivers, int window, int count)
{
	struct result *result = (struct result *)((char *)shared + 8192), copy;
	pid_t daemon, pids[MANY + 1];

	memset(shared, 0, 16384);
	daemon = c->start(receivers + 1);
	make_pipes();
	for (int i = receivers; i >= 0; i--) {
		pids[i] = fork();
		if (pids[i])
			continue;
		if (i)
			receiver(c, i, window, count);
		sender(c, receivers, window, count, result);
		_exit(0);
	}
	close_pipes();
	for (int i = 0; i <= receivers; i++) {
		int status;

		if (waitpid(pids[i], &status, 0) < 0 || status) {
			fprintf(stderr, "%s: client %d failed\n", c->name, i);
			exit(1);
		}
	}
	copy = *result;
	c->stop(daemon);
	return copy;
}

/* ---- a slow receiver: messages lost, clients delayed ---- */

static void counting_receiver(const struct contender *c, int self, bool slow, int count)
{
	int fd = c->open(self);
	static char buffer[65536];
	struct timeval patience = { .tv_usec = 500000 };
	size_t bytes = 0;
	ssize_t n;

	be_ready();
	/* The slow one does not read until the sender is done and the others have everything. */
	if (slow)
		wait_for_end(over_pipe);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	while (shared->received[self] < (uint64_t)count) {
		n = recv(fd, buffer, sizeof(buffer), 0);
		if (n <= 0 && errno == ENOBUFS)
			continue;	/* netlink reports once that it lost something */
		if (n <= 0)
			break;
		bytes += n;
		shared->received[self] = bytes / SIZE;
		shared->done[self] = now();
	}
	_exit(0);
}

static void slow_case(const struct contender *c, bool slow, int count)
{
	pid_t daemon, pids[SLOW];
	uint64_t begin, sent = 0, last = 0, lost = 0, lost_slow = 0;
	char data[512];
	size_t length;
	int fd;

	memset(shared, 0, 16384);
	daemon = c->start(SLOW + 1);
	make_pipes();
	for (int i = 1; i <= SLOW; i++) {
		pids[i - 1] = fork();
		if (!pids[i - 1])
			counting_receiver(c, i, slow && i == SLOW, count);
	}
	fd = c->open(0);
	wait_for_ready(SLOW);
	begin = now();
	for (int i = 0; i < count; i++) {
		length = c->make(data, 0, ALL, i + 1);
		if (c == &direct) {
			/* What does not fit is lost, or all would wait for the slow one. */
			for (int k = 1; k <= SLOW; k++)
				send(receiver_fds[k], data, length, MSG_NOSIGNAL | (slow ? MSG_DONTWAIT : 0));
		} else {
			send_exactly(fd, data, length);
		}
		if (i % 16 == 15)
			sched_yield();
	}
	sent = now() - begin;
	for (int i = 0; i < SLOW - slow; i++)
		waitpid(pids[i], NULL, 0);
	close_pipes();
	for (int i = SLOW - slow; i < SLOW; i++)
		waitpid(pids[i], NULL, 0);
	for (int i = 1; i <= SLOW; i++) {
		if (slow && i == SLOW) {
			lost_slow = count - shared->received[i];
			continue;
		}
		lost += count - shared->received[i];
		if (shared->done[i] - begin > last)
			last = shared->done[i] - begin;
	}
	printf("slow-receiver %s slow=%d sender=%.0f others=%.0f lost_by_others=%llu lost_by_slow=%llu of=%d wake_ups=%.3f asked=%.3f\n",
	       c->name, slow, (double)sent / count, (double)last / count, (unsigned long long)lost,
	       (unsigned long long)lost_slow, count, (double)shared->wake_ups / count,
	       c == &group ? (double)group_asked() / count : 0);
	fflush(stdout);
	if (fd >= 0 && c->fanout_only)
		close(fd);
	c->stop(daemon);
}

static void report(const char *name, const struct contender *c, const char *as, struct result r)
{
	printf("%s %s each=%.0f", name, as, r.per_message);
	if (c == &relay || c == &group)
		printf(" wake_ups=%.3f", r.wake_ups);
	printf("\n");
	fflush(stdout);
}

static void all_cases(const struct contender *c, const char *as)
{
	if (!c->fanout_only) {
		report("ping-pong", c, as, measure(c, 1, 1, rounds));
		report("pipeline", c, as, measure(c, 1, WINDOW, rounds / WINDOW * WINDOW));
	}
	if (c->lossy)
		return;
	report("fanout-ack", c, as, measure(c, FANOUT, 1, rounds / 2));
	report("fanout", c, as, measure(c, FANOUT, WINDOW, rounds / WINDOW * WINDOW));
}

int main(int argc, char **argv)
{
	static const struct contender *const plain[] = { &direct, &relay, &group };
	static const struct contender *const slow[] = { &direct, &relay, &group, &udp, &netlink };
	int option;

	shared = mmap(NULL, 16384 * 2, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	signal(SIGPIPE, SIG_IGN);
	while ((option = getopt(argc, argv, "b:r:")) != -1) {
		char *path;

		switch (option) {
		case 'b':
			path = strchr(optarg, '=');
			if (!path)
				return 2;
			*path = 0;
			bus_path = path + 1;
			all_cases(&bus, optarg);
			return 0;
		case 'r':
			rounds = atoi(optarg);
			break;
		default:
			return 2;
		}
	}
	for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++)
		all_cases(plain[i], plain[i]->name);
	for (int with = 0; with < 2; with++)
		for (size_t i = 0; i < sizeof(slow) / sizeof(slow[0]); i++)
			slow_case(slow[i], with, rounds * 4);
	return 0;
}
