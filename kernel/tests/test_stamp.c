// SPDX-License-Identifier: GPL-2.0
/* The stamp, and messages that try to forge one. */

#include "umc.h"

#define OFFSET	MINIMUM
#define LENGTH	offsetof(struct message, body_length)

static void send_body(struct client *from, uint32_t verdict, uint32_t body_length)
{
	char buffer[MINIMUM + 8];
	struct message *message = (struct message *)buffer;

	memset(buffer, 'b', sizeof(buffer));
	message->verdict = htonl(verdict);
	message->length = htonl(sizeof(buffer));
	message->body_length = body_length;
	EQUAL(send(from->fd, buffer, sizeof(buffer), MSG_DONTWAIT), sizeof(buffer));
}

static void expect_stamped(int fd, uint32_t body_length)
{
	char buffer[200];
	struct message *message = (struct message *)buffer;

	EQUAL(recv(fd, buffer, sizeof(buffer), MSG_DONTWAIT), MINIMUM + 16 + 8);
	EQUAL(message->body_length, body_length);
	CHECK(!memcmp(buffer + OFFSET, "I am number zero", 16));
	CHECK(!memcmp(buffer + OFFSET + 16, "bbbbbbbb", 8));
}

TEST(stamp_is_inserted, SMOKE | EACH_TYPE)
{
	struct bus *bus = bus_new(3);

	set_verdict(bus, UMC_FILTER_INGRESS, 0, UMC_NO);
	CHECK(!set_stamp(bus, 0, "I am number zero", 16, OFFSET, LENGTH, UMC_STAMP_LENGTH));
	send_body(&bus->client[0], TO(1), 8);
	expect_stamped(bus->client[1].fd, 24);
	send_body(&bus->client[0], TO(1) | UMC_VERDICT_BIG_ENDIAN, htonl(0xfff8));
	expect_stamped(bus->client[1].fd, htonl(0x10008));
	send_body(&bus->client[0], UMC_MULTICAST, 8);
	expect_stamped(bus->client[1].fd, 24);
	expect_stamped(bus->client[2].fd, 24);
	/* The daemon sees what the client sent. */
	send_to(&bus->client[0], UMC_ASK, 3);
	expect(bus->client[0].daemon, 3);
	EQUAL(release(bus, 0), 0);
	CHECK(!set_stamp(bus, 0, "", 0, 0, 0, 0));
	send_to(&bus->client[0], TO(1), 4);
	expect(bus->client[1].fd, 4);
	bus_free(bus);
}

TEST(stamp_without_a_length_field, EACH_TYPE)
{
	struct bus *bus = bus_new(2);

	CHECK(!set_stamp(bus, 0, "I am number zero", 16, OFFSET, 0, 0));
	send_body(&bus->client[0], TO(1), 8);
	expect_stamped(bus->client[1].fd, 8);
	bus_free(bus);
}

TEST(length_that_would_wrap_asks, SMOKE | EACH_TYPE)
{
	struct bus *bus = bus_new(2);
	char buffer[100];

	CHECK(!set_stamp(bus, 0, "I am number zero", 16, OFFSET, LENGTH, UMC_STAMP_LENGTH));
	send_body(&bus->client[0], TO(1), 0xfffffff0);
	EQUAL(recv(bus->client[0].daemon, buffer, sizeof(buffer), 0), MINIMUM + 8);
	EQUAL(asked(bus, 0, UMC_ASKED_STAMP), 1);
	EQUAL(release(bus, 0), 0);
	send_body(&bus->client[0], UMC_MULTICAST, 0xfffffff0);
	EQUAL(recv(bus->client[0].daemon, buffer, sizeof(buffer), 0), MINIMUM + 8);
	expect_nothing(bus->client[1].fd);
	EQUAL(release(bus, 0), 0);
	send_body(&bus->client[0], TO(1), 0xffffffef);
	expect_stamped(bus->client[1].fd, 0xffffffff);
	bus_free(bus);
}

TEST(message_shorter_than_the_stamps_place_asks, EACH_TYPE)
{
	struct bus *bus = bus_new(2);

	set_verdict(bus, UMC_FILTER_EGRESS, 0, TO(1));
	CHECK(!set_stamp(bus, 0, "I am number zero", 16, OFFSET, LENGTH, UMC_STAMP_LENGTH));
	EQUAL(send(bus->client[0].fd, "short", 5, 0), 5);
	CHECK(readable(bus->client[0].daemon, 0));
	EQUAL(asked(bus, 0, UMC_ASKED_STAMP), 1);
	bus_free(bus);
}

TEST(bad_stamps_are_refused, SMOKE)
{
	struct bus *bus = bus_new(1);

	FAILS(set_stamp(bus, 0, "x", UMC_MAX_STAMP + 1, 0, 0, 0), EINVAL);
	FAILS(set_stamp(bus, 0, "x", 1, UMC_MAX_STAMP + 1, 0, 0), EINVAL);
	FAILS(set_stamp(bus, 0, "x", 1, 16, 13, UMC_STAMP_LENGTH), EINVAL);
	FAILS(set_stamp(bus, 0, "x", 1, 2, 0, UMC_STAMP_LENGTH), EINVAL);
	FAILS(set_stamp(bus, 0, "x", 1, 16, 0xfffffffe, UMC_STAMP_LENGTH), EINVAL);
	FAILS(set_stamp(bus, 0, "x", 1, 16, 12, 4), EINVAL);
	FAILS(set_stamp(bus, 7, "x", 1, 16, 12, 0), ENOENT);
	CHECK(!set_stamp(bus, 0, "x", 1, UMC_MAX_STAMP, UMC_MAX_STAMP - 4, UMC_STAMP_LENGTH));
	bus_free(bus);
}

/* ---- a small D-Bus header: length of the fields at 12, fields from 16, each eight bytes here ---- */

#define FIELDS	4
#define SENDER	7

struct dbus {
	uint8_t fixed[8];
	uint32_t serial;
	uint32_t fields_length;
	uint8_t field[FIELDS][8];
};

/* Walks all fields; asks for an empty array, unknown codes and an existing SENDER. */
static void set_walking_filter(struct bus *bus, uint32_t index, uint32_t to)
{
	enum { PER_FIELD = 5, START = 6 };
	struct sock_filter code[START + FIELDS * PER_FIELD + 2];
	int n = 0, ask = START + FIELDS * PER_FIELD, yes = ask + 1;

	/* fields_length is little-endian: only its first byte may be set. */
	code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 12);
	code[n++] = (struct sock_filter)BPF_STMT(BPF_ALU | BPF_RSH | BPF_K, 24);
	code[n] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, ask - n - 1, 0), n++;
	code[n++] = (struct sock_filter)BPF_STMT(BPF_MISC | BPF_TAX, 0);
	code[n] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, FIELDS * 8, ask - n - 1, 0), n++;
	code[n++] = (struct sock_filter)BPF_STMT(BPF_MISC | BPF_TXA, 0);
	for (int i = 0; i < FIELDS; i++) {
		code[n++] = (struct sock_filter)BPF_STMT(BPF_MISC | BPF_TXA, 0);
		code[n] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, i * 8 + 1, 0, yes - n - 1), n++;
		code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 16 + i * 8);
		code[n] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SENDER, ask - n - 1, 0), n++;
		code[n] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, 9, ask - n - 1, 0), n++;
	}
	code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, UMC_ASK);
	code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, TO(to));
	CHECK(!set_filter(bus, UMC_FILTER_EGRESS, index, code, n));
}

TEST(message_that_forges_sender, SMOKE | EACH_TYPE)
{
	static const uint8_t ours[8] = { SENDER, 1, 's', 0, ':', '1', '.', '0' };
	struct bus *bus = bus_new(2);
	struct dbus got, message = { .fields_length = 3 * 8 };
	char stamped[sizeof(message) + 8];

	set_walking_filter(bus, 0, 1);
	CHECK(!set_stamp(bus, 0, ours, sizeof(ours), 16, 12, UMC_STAMP_LENGTH));
	/* Honest: stamped first, with a length that has grown. */
	for (int i = 0; i < FIELDS; i++)
		message.field[i][0] = 1 + i;
	EQUAL(send(bus->client[0].fd, &message, sizeof(message), 0), sizeof(message));
	EQUAL(recv(bus->client[1].fd, stamped, sizeof(stamped), MSG_DONTWAIT), sizeof(stamped));
	CHECK(!memcmp(stamped + 16, ours, 8));
	EQUAL(stamped[12], 4 * 8);
	/* Forged, wherever it stands; unknown; and no fields at all. */
	for (int i = 0; i < 5; i++) {
		message.fields_length = i == 4 ? 0 : 3 * 8;
		for (int k = 0; k < FIELDS; k++)
			message.field[k][0] = 1 + k;
		if (i < 3)
			message.field[i][0] = SENDER;
		else
			message.field[0][0] = 10;
		EQUAL(send(bus->client[0].fd, &message, sizeof(message), 0), sizeof(message));
		EQUAL(recv(bus->client[0].daemon, &got, sizeof(got), MSG_DONTWAIT), sizeof(got));
		CHECK(!memcmp(&got, &message, sizeof(got)));
		EQUAL(release(bus, 0), 0);
	}
	expect_nothing(bus->client[1].fd);
	bus_free(bus);
}
