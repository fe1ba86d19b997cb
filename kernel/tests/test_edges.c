// SPDX-License-Identifier: GPL-2.0
/* Unusual sends: odd flags, memory, sizes, and connections that end. */

#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/sendfile.h>

#include "umc.h"

TEST(control_data_asks, SMOKE | EACH_TYPE)
{
	struct bus *bus = bus_new(2);
	struct message *message = message_new(TO(1), MINIMUM, 1);
	union { struct cmsghdr header; char bytes[CMSG_SPACE(sizeof(int))]; } control = {
		.header = { CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS },
	}, got;
	struct iovec iov = { message, MINIMUM };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control),
	};

	memcpy(CMSG_DATA(&control.header), &bus->device, sizeof(int));
	EQUAL(sendmsg(bus->client[0].fd, &msg, 0), MINIMUM);
	msg.msg_control = &got;
	EQUAL(recvmsg(bus->client[0].daemon, &msg, 0), MINIMUM);
	EQUAL(got.header.cmsg_type, SCM_RIGHTS);
	expect_nothing(bus->client[1].fd);
	EQUAL(asked(bus, 0, UMC_ASKED_CONTROL), 1);
	free(message);
	bus_free(bus);
}

TEST(out_of_band_asks, SMOKE | EACH_TYPE)
{
	struct bus *bus = bus_new(2);
	struct message *message = message_new(TO(1), MINIMUM, 1);
	char byte;

	if (socket_type == SOCK_SEQPACKET) {
		FAILS(send(bus->client[0].fd, message, MINIMUM, MSG_OOB), EOPNOTSUPP);
	} else if (send(bus->client[0].fd, message, MINIMUM, MSG_OOB) == (int)MINIMUM) {
		EQUAL(recv(bus->client[0].daemon, &byte, 1, MSG_OOB), 1);
		/* With out-of-band data pending, nothing overtakes the rest. */
		EQUAL(release(bus, 0), -EBUSY);
	}
	expect_nothing(bus->client[1].fd);
	EQUAL(asked(bus, 0, UMC_ASKED_CONTROL), 1);
	free(message);
	bus_free(bus);
}

TEST(efault_in_the_middle, SMOKE | EACH_TYPE)
{
	struct bus *bus = bus_new(2);
	struct message *message = message_new(TO(1), MINIMUM + 100, 1);
	char *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct iovec iov[2] = { { message, MINIMUM }, { page + 4096 - 50, 100 } };

	CHECK(page != MAP_FAILED);
	CHECK(!mprotect(page + 4096, 4096, PROT_NONE));
	FAILS(writev(bus->client[0].fd, iov, 2), EFAULT);
	EQUAL(asked(bus, 0, UMC_ASKED_FAULT), 1);
	expect_nothing(bus->client[1].fd);
	expect_nothing(bus->client[0].daemon);
	/* As without the module: nothing was sent, and the connection lives. */
	EQUAL(release(bus, 0), 0);
	send_to(&bus->client[0], TO(1), 2);
	expect(bus->client[1].fd, 2);
	free(message);
	bus_free(bus);
}

struct changing {
	struct message *message;
	_Atomic bool stop;
};

static void *change(void *argument)
{
	struct changing *c = argument;
	volatile uint32_t *verdict = &c->message->verdict;

	while (!c->stop) {
		*verdict = htonl(TO(1));
		*verdict = htonl(TO(2));
	}
	return NULL;
}

TEST(iovecs_that_change_under_the_copy, SMOKE | EACH_TYPE)
{
	struct bus *bus = bus_new(3);
	struct changing c = { .message = message_new(TO(1), MINIMUM, 1) };
	struct message got;
	pthread_t thread;

	CHECK(!pthread_create(&thread, NULL, change, &c));
	for (int i = 0; i < 3000; i++) {
		EQUAL(send(bus->client[0].fd, c.message, MINIMUM, 0), MINIMUM);
		/* What arrives is what was judged: it names its own destination. */
		for (uint32_t to = 1; to < 3; to++)
			while (receive_message(bus->client[to].fd, &got, sizeof(got)) > 0)
				EQUAL(ntohl(got.verdict), TO(to));
	}
	c.stop = true;
	pthread_join(thread, NULL);
	EQUAL(stats_of(bus, 0).direct, 3000);
	bus_free(bus);
}

TEST(gathered_message_is_one, SMOKE | EACH_TYPE)
{
	struct bus *bus = bus_new(2);
	struct message *message = message_new(TO(1), 300, 1);
	struct iovec iov[3] = {
		{ message, 10 }, { (char *)message + 10, 90 }, { (char *)message + 100, 200 },
	};

	EQUAL(writev(bus->client[0].fd, iov, 3), 300);
	expect(bus->client[1].fd, 1);
	free(message);
	bus_free(bus);
}

TEST(half_a_message_asks, SMOKE | EACH_TYPE)
{
	struct bus *bus = bus_new(2);
	struct message *message = message_new(TO(1), 300, 1);

	if (socket_type != SOCK_STREAM)
		test_skip("packets are whole");
	EQUAL(send(bus->client[0].fd, message, 100, 0), 100);
	EQUAL(send(bus->client[0].fd, (char *)message + 100, 200, 0), 200);
	send_to(&bus->client[0], TO(1), 2);
	expect(bus->client[0].daemon, 1);
	expect(bus->client[0].daemon, 2);
	expect_nothing(bus->client[1].fd);
	free(message);
	bus_free(bus);
}

TEST(sizes, SMOKE | EACH_TYPE)
{
	struct bus *bus = bus_new(2);
	int largest = 0;

	/* Powers of two and their neighbours: whichever way, all of it arrives. */
	for (int size = 32; size <= 131072; size *= 2)
		for (int length = size - 1; length <= size + 1; length++) {
			EQUAL(send_sized(&bus->client[0], TO(1), length, length), length);
			if (readable(bus->client[1].fd, 0)) {
				expect(bus->client[1].fd, length);
				largest = length;
			} else {
				expect(bus->client[0].daemon, length);
				EQUAL(release(bus, 0), 0);
			}
		}
	CHECK(largest >= 32768);
	CHECK(largest <= UMC_MAX_MESSAGE);
	CHECK(asked(bus, 0, UMC_ASKED_SIZE) > 0);
	bus_free(bus);
}

TEST(empty_message, EACH_TYPE)
{
	struct bus *bus = bus_new(2);

	EQUAL(send(bus->client[0].fd, "", 0, 0), 0);
	EQUAL(asked(bus, 0, UMC_ASKED_SIZE), 1);
	bus_free(bus);
}

TEST(tiny_sndbuf, SMOKE | EACH_TYPE)
{
	struct bus *bus = bus_new(2);
	int tiny = 1;

	/* At the daemon's end of the receiver: nothing larger fits in one piece. */
	CHECK(!setsockopt(bus->client[1].daemon, SOL_SOCKET, SO_SNDBUF, &tiny, sizeof(tiny)));
	EQUAL(send_sized(&bus->client[0], TO(1), 1, 20000), 20000);
	expect(bus->client[0].daemon, 1);
	EQUAL(asked(bus, 0, UMC_ASKED_SIZE), 1);
	EQUAL(release(bus, 0), 0);
	EQUAL(send_sized(&bus->client[0], UMC_MULTICAST, 2, 20000), 20000);
	expect(bus->client[0].daemon, 2);
	expect_nothing(bus->client[0].fd);
	EQUAL(release(bus, 0), 0);
	send_to(&bus->client[0], TO(1), 3);
	expect(bus->client[1].fd, 3);
	/* At the sender's: it does not matter for what goes directly. */
	CHECK(!setsockopt(bus->client[0].fd, SOL_SOCKET, SO_SNDBUF, &tiny, sizeof(tiny)));
	set_verdict(bus, UMC_FILTER_INGRESS, 1, UMC_NO);
	EQUAL(send_sized(&bus->client[0], UMC_MULTICAST, 4, 20000), 20000);
	expect(bus->client[0].fd, 4);
	bus_free(bus);
}

TEST(full_receiver_asks_and_no_sender_blocks, SMOKE | EACH_TYPE)
{
	struct bus *bus = bus_new(4);
	int before = fill(bus, &bus->client[0], &bus->client[1]);

	send_to(&bus->client[2], TO(1), 1);
	expect(bus->client[2].daemon, 1);
	EQUAL(asked(bus, 2, UMC_ASKED_FULL), 1);
	send_to(&bus->client[0], TO(3), 2);
	expect(bus->client[3].fd, 2);
	for (int i = 0; i < before; i++)
		expect(bus->client[1].fd, i);
	bus_free(bus);
}

TEST(sendfile_and_splice, EACH_TYPE)
{
	struct bus *bus = bus_new(2);
	struct message *message = message_new(TO(1), MINIMUM, 1);
	int memory = memfd_create("message", 0), pipes[2];
	off_t offset = 0;

	EQUAL(write(memory, message, MINIMUM), MINIMUM);
	EQUAL(sendfile(bus->client[0].fd, memory, &offset, MINIMUM), MINIMUM);
	/* A stream of pieces: whole here, so either path is right, but it is never lost. */
	if (receive(bus->client[1].fd) != 1) {
		expect(bus->client[0].daemon, 1);
		EQUAL(release(bus, 0), 0);
	}
	CHECK(!pipe(pipes));
	EQUAL(write(pipes[1], message, MINIMUM), MINIMUM);
	EQUAL(splice(pipes[0], NULL, bus->client[0].fd, NULL, MINIMUM, 0), MINIMUM);
	if (receive(bus->client[1].fd) != 1)
		expect(bus->client[0].daemon, 1);
	free(message);
	bus_free(bus);
}

TEST(sendfile_does_not_append_to_what_is_queued, EACH_TYPE)
{
	struct bus *bus = bus_new(2);
	struct message *message = message_new(TO(1), 3000, 1);
	int memory = memfd_create("message", 0);
	off_t offset = 0;

	if (socket_type != SOCK_STREAM)
		test_skip("packets are whole");
	/* In two pieces, the first of which is queued at the daemon's end. */
	EQUAL(write(memory, message, 3000), 3000);
	EQUAL(send(bus->client[0].fd, message, 1000, 0), 1000);
	offset = 1000;
	EQUAL(sendfile(bus->client[0].fd, memory, &offset, 2000), 2000);
	expect(bus->client[0].daemon, 1);
	expect_nothing(bus->client[1].fd);
	free(message);
	bus_free(bus);
}

TEST(shutdown_and_cut_off, SMOKE | EACH_TYPE)
{
	struct bus *bus = bus_new(3);

	signal(SIGPIPE, SIG_IGN);
	CHECK(!shutdown(bus->client[0].fd, SHUT_WR));
	FAILS(send_to(&bus->client[0], TO(1), 1), EPIPE);
	EQUAL(asked(bus, 0, UMC_ASKED_SHUTDOWN), 1);
	/* Cut off by the daemon: closed, or not read from any more. */
	CHECK(!shutdown(bus->client[1].daemon, SHUT_RD));
	FAILS(send_to(&bus->client[1], TO(2), 1), EPIPE);
	CHECK(!remove_member(bus, 2));
	close(bus->client[2].daemon);
	bus->client[2].daemon = -1;
	FAILS(send_to(&bus->client[2], TO(1), 1), EPIPE);
	expect_nothing(bus->client[1].fd);
	bus_free(bus);
}

TEST(receiver_that_shut_down_reading, EACH_TYPE)
{
	struct bus *bus = bus_new(2);

	CHECK(!shutdown(bus->client[1].fd, SHUT_RD));
	EQUAL(send_to(&bus->client[0], TO(1), 1), MINIMUM);
	expect(bus->client[0].daemon, 1);
	EQUAL(asked(bus, 0, UMC_ASKED_DEAD), 1);
	EQUAL(release(bus, 0), 0);
	/* In a multicast it counts as delivered. */
	EQUAL(send_to(&bus->client[0], UMC_MULTICAST, 2), MINIMUM);
	expect(bus->client[0].fd, 2);
	expect_nothing(bus->client[0].daemon);
	bus_free(bus);
}

TEST(remove_tells_what_is_under_way, EACH_TYPE)
{
	for (int round = 0; round < 30; round++) {
		struct bus *bus = bus_new(2);
		pid_t pid = fork();

		if (pid == 0)
			for (uint32_t i = 0;; i++)
				send_to(&bus->client[0], TO(1), i);
		while (!readable(bus->client[1].fd, 5000))
			;
		while (remove_member(bus, 1))
			EQUAL(errno, EBUSY);
		while (receive(bus->client[1].fd) >= 0)
			;
		for (int i = 0; i < 20; i++)
			expect_nothing(bus->client[1].fd);
		kill(pid, SIGKILL);
		bus_free(bus);
	}
}

TEST(members_dup_and_fork, EACH_TYPE)
{
	struct bus *bus = bus_new(2);
	struct client copy = bus->client[0];
	pid_t pid;

	copy.fd = dup(bus->client[0].fd);
	close(bus->client[0].fd);
	bus->client[0].fd = copy.fd;
	pid = fork();
	if (pid == 0) {
		send_to(&copy, TO(1), 1);
		_exit(0);
	}
	CHECK(readable(bus->client[1].fd, 5000));
	expect(bus->client[1].fd, 1);
	send_to(&bus->client[0], TO(1), 2);
	expect(bus->client[1].fd, 2);
	bus_free(bus);
}

TEST(peek_offset_and_inq_still_work, EACH_TYPE)
{
	struct bus *bus = bus_new(2);
	int waiting = 0, offset = 0;
	char byte;

	send_to(&bus->client[0], TO(1), 1);
	CHECK(!ioctl(bus->client[1].fd, FIONREAD, &waiting));
	EQUAL(waiting, MINIMUM);
	CHECK(!setsockopt(bus->client[1].fd, SOL_SOCKET, SO_PEEK_OFF, &offset, sizeof(offset)));
	EQUAL(recv(bus->client[1].fd, &byte, 1, MSG_PEEK), 1);
	expect(bus->client[1].fd, 1);
	bus_free(bus);
}
