/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Shared by the tests: a small framework, and a bus of one daemon and some
 * clients.  A message begins with its own egress verdict, so a test sets the
 * destination with each message.
 */
#ifndef UMC_TESTS_H
#define UMC_TESTS_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include <linux/filter.h>

#include "../include/uapi/linux/unix_multicast.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* ---- framework ---- */

#define SMOKE		1u	/* part of the short run */
#define EACH_TYPE	2u	/* for STREAM and for SEQPACKET sockets */
#define INJECT		4u	/* needs a module that can fail deliveries */

struct test {
	const char *name;
	void (*run)(void);
	unsigned int flags;
	struct test *next;
};

void test_register(struct test *test);

#define TEST(test_name, test_flags)						\
	static void test_name(void);						\
	static struct test test_##test_name = {					\
		.name = #test_name, .run = test_name, .flags = test_flags };	\
	__attribute__((constructor)) static void register_##test_name(void)	\
	{									\
		test_register(&test_##test_name);				\
	}									\
	static void test_name(void)

void test_fail(const char *file, int line, const char *format, ...)
	__attribute__((format(printf, 3, 4), noreturn));
void test_skip(const char *why) __attribute__((noreturn));

#define CHECK(condition)							\
	do {									\
		if (!(condition))						\
			test_fail(__FILE__, __LINE__, "%s (errno %d)", #condition, errno); \
	} while (0)

#define EQUAL(actual, expected)							\
	do {									\
		long long actual_ = (actual), expected_ = (expected);		\
		if (actual_ != expected_)					\
			test_fail(__FILE__, __LINE__, "%s is %lld, not %lld (errno %d)", \
				  #actual, actual_, expected_, errno);		\
	} while (0)

/* The call fails with this errno. */
#define FAILS(call, error)							\
	do {									\
		errno = 0;							\
		EQUAL(call, -1);						\
		EQUAL(errno, error);						\
	} while (0)

extern int socket_type;		/* of the running test */

/* ---- messages ---- */

#define LARGE	200000

struct message {
	uint32_t verdict;	/* big-endian, as BPF loads it */
	uint32_t length;	/* big-endian: of the whole message */
	uint32_t topic;		/* big-endian */
	uint32_t key;		/* little-endian unless the verdict says otherwise */
	uint32_t sequence;
	uint32_t body_length;	/* little-endian: what a stamp makes larger */
	char body[];
};

#define MINIMUM		((uint32_t)sizeof(struct message))
#define HEADER		((uint32_t)offsetof(struct message, sequence))
#define KEY_AT(offset)	((uint32_t)(offset) / 4 << UMC_VERDICT_KEY_SHIFT)
#define KEY		KEY_AT(offsetof(struct message, key))
#define TO(index)	(UMC_UNICAST | (index))
#define CALL(index)	(TO(index) | UMC_VERDICT_CALL | KEY)
#define REPLY(index)	(TO(index) | UMC_VERDICT_REPLY | KEY)

struct message *message_new(uint32_t verdict, uint32_t length, uint32_t sequence);

/* ---- the bus ---- */

#define MAX_CLIENTS	32

struct client {
	int fd;		/* the member */
	int daemon;	/* the daemon's end */
	uint32_t index;
};

struct bus {
	int device;
	int group;
	int listener;
	struct sockaddr_un address;
	socklen_t address_length;
	struct client client[MAX_CLIENTS];
	unsigned int clients;
};

struct bus *bus_new(unsigned int clients);
struct bus *bus_new_mode(unsigned int clients, uint32_t mode);
struct bus *bus_new_shaped(unsigned int clients, uint32_t mode, uint32_t header);
void bus_free(struct bus *bus);
int device_open(void);
int group_new(int device, uint32_t mode);
/* A header is so long, or with 0 as long as its topic says behind HEADER; the key in it may differ. */
int set_shape(int group, uint32_t size);
void client_connect(struct bus *bus, struct client *client);
int client_add(struct bus *bus, struct client *client, uint32_t index);
void client_close(struct client *client);

/* Sends through the client; the message is of minimal length. */
int send_to(struct client *from, uint32_t verdict, uint32_t sequence);
int send_sized(struct client *from, uint32_t verdict, uint32_t sequence, uint32_t length);
int send_topic(struct client *from, uint32_t topic, uint32_t sequence);
int send_key(struct client *from, uint32_t verdict, uint32_t sequence, uint32_t key);

/* Sequence number of the next message at that end; -1: there is none. */
int receive(int fd);
int receive_message(int fd, struct message *message, size_t size);
void expect(int fd, uint32_t sequence);
void expect_nothing(int fd);
bool readable(int fd, int ms);

/* ioctls */
int release_result(struct bus *bus, uint32_t index);
int release(struct bus *bus, uint32_t index);
void release_all(struct bus *bus);
int set_filter(struct bus *bus, uint32_t which, uint32_t index, const struct sock_filter *code,
	       unsigned int length);
/* The message's own verdict, if its length is right. */
int set_own_verdict(struct bus *bus, uint32_t which, uint32_t index);
void set_standard_filters(struct bus *bus);
void set_ingress_topic(struct bus *bus, uint32_t index, uint32_t topic);
void set_verdict(struct bus *bus, uint32_t which, uint32_t index, uint32_t verdict);
int remove_member(struct bus *bus, uint32_t index);
int forget(struct bus *bus, uint32_t index);
int gate(struct bus *bus, bool closed);
int64_t daemon_write(struct bus *bus, uint32_t index, const void *data, size_t length,
		     uint32_t flags);
int64_t daemon_send(struct bus *bus, uint32_t index, uint32_t sequence);
int set_stamp(struct bus *bus, uint32_t index, const void *bytes, uint32_t length,
	      uint32_t offset, uint32_t length_offset, uint32_t flags);
struct umc_stats stats_of(struct bus *bus, uint32_t index);
uint32_t state_of(struct bus *bus, uint32_t index);
uint64_t asked(struct bus *bus, uint32_t index, int reason);
int pending_count(struct bus *bus, uint32_t caller, uint32_t callee);
int pending_add(struct bus *bus, uint32_t caller, uint32_t callee, uint32_t key);
int pending_take(struct bus *bus, uint32_t caller, uint32_t callee, uint32_t key);

/* Fills the receiver's queue directly; returns how many messages it took. */
int fill(struct bus *bus, struct client *from, struct client *to);
/* Waits until that thread, once it has an id, sleeps in a system call. */
void wait_until_asleep(const _Atomic int *thread);
/*
 * What was decided before the daemon's last call may still be on its way, but
 * comes before all that the daemon writes afterwards: reads up to that.
 */
void catch_up(struct bus *bus, struct client *client);
/* Reads everything at the daemon's ends and releases every member. */
void settle(struct bus *bus);

#define PARAMETERS	"/sys/module/unix_multicast/parameters/"
/* Of the module: its number, or 1 for Y. */
unsigned long parameter(const char *name);
/* Are messages of this type of socket appended to unread ones? */
bool appends(void);

#endif
