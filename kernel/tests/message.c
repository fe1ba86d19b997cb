// SPDX-License-Identifier: GPL-2.0
/* Messages of the tests: what is sent, and what is expected to arrive. */

#include "umc.h"

struct message *message_new(uint32_t verdict, uint32_t length, uint32_t sequence)
{
	struct message *message = calloc(1, length < MINIMUM ? MINIMUM : length);

	CHECK(message);
	message->verdict = htonl(verdict);
	message->length = htonl(length);
	message->sequence = sequence;
	message->key = sequence;
	for (uint32_t i = MINIMUM; i < length; i++)
		((char *)message)[i] = (char)(sequence + i);
	return message;
}

static int send_message(struct client *from, struct message *message, uint32_t length)
{
	int sent = send(from->fd, message, length, MSG_DONTWAIT | MSG_NOSIGNAL);
	int error = errno;

	free(message);
	errno = error;
	return sent;
}

int send_sized(struct client *from, uint32_t verdict, uint32_t sequence, uint32_t length)
{
	return send_message(from, message_new(verdict, length, sequence), length);
}

int send_to(struct client *from, uint32_t verdict, uint32_t sequence)
{
	return send_sized(from, verdict, sequence, MINIMUM);
}

int send_topic(struct client *from, uint32_t topic, uint32_t sequence)
{
	struct message *message = message_new(UMC_MULTICAST, MINIMUM, sequence);

	message->topic = htonl(topic);
	return send_message(from, message, MINIMUM);
}

int send_key(struct client *from, uint32_t verdict, uint32_t sequence, uint32_t key)
{
	struct message *message = message_new(verdict, MINIMUM, sequence);

	message->key = key;
	return send_message(from, message, MINIMUM);
}

static int receive_all(int fd, void *to, size_t size)
{
	size_t got = 0;

	while (got < size) {
		int n = recv(fd, (char *)to + got, size - got, MSG_DONTWAIT);

		if (n < 0 && errno == EAGAIN && got && readable(fd, 2000))
			continue;
		if (n <= 0)
			return got ? (int)got : n;
		got += n;
	}
	return got;
}

int receive_message(int fd, struct message *message, size_t size)
{
	uint32_t length;
	int type, n;

	CHECK(!getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &(socklen_t){ sizeof(type) }));
	if (type != SOCK_STREAM)
		return recv(fd, message, size, MSG_DONTWAIT);
	n = receive_all(fd, message, MINIMUM);
	if (n < (int)MINIMUM)
		return n;
	length = ntohl(message->length);
	CHECK(length >= MINIMUM && length <= size);
	EQUAL(receive_all(fd, message->body, length - MINIMUM), length - MINIMUM);
	return length;
}

int receive(int fd)
{
	static char buffer[LARGE + 1000];
	struct message *message = (struct message *)buffer;
	int n = receive_message(fd, message, sizeof(buffer));

	if (n <= 0)
		return -1;
	EQUAL(n, ntohl(message->length));
	for (int i = MINIMUM; i < n; i++)
		CHECK(buffer[i] == (char)(message->sequence + i));
	return message->sequence;
}

void expect(int fd, uint32_t sequence)
{
	EQUAL(receive(fd), sequence);
}

void expect_nothing(int fd)
{
	char byte;

	EQUAL(recv(fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK), -1);
	EQUAL(errno, EAGAIN);
}

bool readable(int fd, int ms)
{
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };

	return poll(&poll_fd, 1, ms) == 1;
}
