// SPDX-License-Identifier: GPL-2.0
/* The tests' bus: a daemon and its clients in one process. */

#include <sched.h>

#include "umc.h"

int device_open(void)
{
	int fd = open(UMC_DEVICE, O_RDWR | O_CLOEXEC);

	CHECK(fd >= 0);
	return fd;
}

int group_new(int device, uint32_t mode)
{
	struct umc_create create = {
		.version = UMC_VERSION,
		.mode = mode,
		.max_members = 64,
		.max_pending = 64,
		.address_fd = -1,
	};

	return ioctl(device, UMC_CREATE, &create);
}

int set_shape(int group, uint32_t size)
{
	struct umc_shape shape = {
		.flags = UMC_SHAPE_BIG_ENDIAN | UMC_SHAPE_TOTAL,
		.size = size ? size : HEADER,
		.alignment = 1,
		.fields_at = size ? UMC_ANY : offsetof(struct message, topic),
		.length_at = offsetof(struct message, length),
		.skip_at = offsetof(struct message, key),
	};

	return ioctl(group, UMC_SET_SHAPE, &shape);
}

void client_connect(struct bus *bus, struct client *client)
{
	client->fd = socket(AF_UNIX, socket_type | SOCK_CLOEXEC, 0);
	CHECK(client->fd >= 0);
	CHECK(!connect(client->fd, (struct sockaddr *)&bus->address, bus->address_length));
	client->daemon = accept4(bus->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	CHECK(client->daemon >= 0);
}

int client_add(struct bus *bus, struct client *client, uint32_t index)
{
	struct umc_add add = {
		.listener_fd = bus->listener,
		.accepted_fd = client->daemon,
		.index = index,
		.mark = 1000 + index,
	};

	client->index = index;
	return ioctl(bus->group, UMC_ADD, &add);
}

void client_close(struct client *client)
{
	if (client->fd >= 0)
		close(client->fd);
	if (client->daemon >= 0)
		close(client->daemon);
	client->fd = -1;
	client->daemon = -1;
}

struct bus *bus_new_shaped(unsigned int clients, uint32_t mode, uint32_t header)
{
	struct bus *bus = calloc(1, sizeof(*bus));

	CHECK(bus);
	bus->device = device_open();
	bus->group = group_new(bus->device, mode);
	CHECK(bus->group >= 0);
	CHECK(!set_shape(bus->group, header));
	bus->listener = socket(AF_UNIX, socket_type | SOCK_CLOEXEC, 0);
	bus->address.sun_family = AF_UNIX;
	CHECK(!bind(bus->listener, (struct sockaddr *)&bus->address, sizeof(sa_family_t)));
	bus->address_length = sizeof(bus->address);
	CHECK(!getsockname(bus->listener, (struct sockaddr *)&bus->address, &bus->address_length));
	CHECK(!listen(bus->listener, 64));
	for (unsigned int i = 0; i < clients; i++) {
		client_connect(bus, &bus->client[i]);
		CHECK(!client_add(bus, &bus->client[i], i));
	}
	bus->clients = clients;
	set_standard_filters(bus);
	release_all(bus);
	return bus;
}

struct bus *bus_new_mode(unsigned int clients, uint32_t mode)
{
	return bus_new_shaped(clients, mode, HEADER);
}

/* A bus in the mode D-Bus uses. */
struct bus *bus_new(unsigned int clients)
{
	return bus_new_mode(clients, UMC_MODE_ASK);
}

void bus_free(struct bus *bus)
{
	for (unsigned int i = 0; i < bus->clients; i++)
		client_close(&bus->client[i]);
	close(bus->group);
	close(bus->listener);
	close(bus->device);
	free(bus);
}

/* Returns 0, 1 if it has sent directly since the last time, or minus the errno reported for this member. */
int release_result(struct bus *bus, uint32_t index)
{
	struct umc_release_entry entry = { .index = index };
	struct umc_write call = { .releases = (uintptr_t)&entry, .release_count = 1 };

	EQUAL(ioctl(bus->group, UMC_WRITE, &call), 0);
	return entry.result;
}

/* Returns 0, or minus the errno. */
int release(struct bus *bus, uint32_t index)
{
	int result = release_result(bus, index);

	return result > 0 ? 0 : result;
}

void release_all(struct bus *bus)
{
	for (unsigned int i = 0; i < bus->clients; i++)
		EQUAL(release(bus, bus->client[i].index), 0);
}

int set_filter(struct bus *bus, uint32_t which, uint32_t index, const struct sock_filter *code,
	       unsigned int length)
{
	struct umc_program program = { .instructions = (uintptr_t)code, .length = length };
	struct umc_filter filter = {
		.index = index,
		.which = which,
		.count = code ? 1 : 0,
		.programs = (uintptr_t)&program,
	};

	return ioctl(bus->group, UMC_SET_FILTER, &filter);
}

static const struct sock_filter own_verdict[] = {
	BPF_STMT(BPF_LD | BPF_W | BPF_LEN, 0),
	BPF_STMT(BPF_MISC | BPF_TAX, 0),
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct message, length)),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_X, 0, 1, 0),
	BPF_STMT(BPF_RET | BPF_K, UMC_ASK),
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct message, verdict)),
	BPF_STMT(BPF_RET | BPF_A, 0),
};

int set_own_verdict(struct bus *bus, uint32_t which, uint32_t index)
{
	return set_filter(bus, which, index, own_verdict, ARRAY_SIZE(own_verdict));
}

void set_verdict(struct bus *bus, uint32_t which, uint32_t index, uint32_t verdict)
{
	const struct sock_filter code[] = { BPF_STMT(BPF_RET | BPF_K, verdict) };

	CHECK(!set_filter(bus, which, index, code, 1));
}

/* All members take every multicast, and only members listen. */
void set_standard_filters(struct bus *bus)
{
	set_verdict(bus, UMC_FILTER_REST, UMC_ANY, UMC_NO);
	for (unsigned int i = 0; i < bus->clients; i++) {
		uint32_t index = bus->client[i].index;

		CHECK(!set_own_verdict(bus, UMC_FILTER_EGRESS, index));
		set_verdict(bus, UMC_FILTER_INGRESS, index, UMC_YES);
	}
}

void set_ingress_topic(struct bus *bus, uint32_t index, uint32_t topic)
{
	const struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct message, topic)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, topic, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, UMC_YES),
		BPF_STMT(BPF_RET | BPF_K, UMC_NO),
	};

	CHECK(!set_filter(bus, UMC_FILTER_INGRESS, index, code, ARRAY_SIZE(code)));
}

int remove_member(struct bus *bus, uint32_t index)
{
	return ioctl(bus->group, UMC_REMOVE, &(struct umc_index){ .index = index });
}

int forget(struct bus *bus, uint32_t index)
{
	return ioctl(bus->group, UMC_FORGET, &(struct umc_index){ .index = index });
}

int gate(struct bus *bus, bool closed)
{
	return ioctl(bus->group, UMC_GATE, &(struct umc_gate){ .closed = closed });
}

int64_t daemon_write(struct bus *bus, uint32_t index, const void *data, size_t length,
		     uint32_t flags)
{
	struct iovec iov = { .iov_base = (void *)data, .iov_len = length };
	struct umc_write_entry entry = {
		.index = index,
		.flags = flags,
		.iov = (uintptr_t)&iov,
		.iov_count = length ? 1 : 0,
	};
	struct umc_write call = { .entries = (uintptr_t)&entry, .count = 1 };

	CHECK(ioctl(bus->group, UMC_WRITE, &call) >= 0);
	return entry.result;
}

int64_t daemon_send(struct bus *bus, uint32_t index, uint32_t sequence)
{
	struct message *message = message_new(0, MINIMUM, sequence);
	int64_t result = daemon_write(bus, index, message, MINIMUM, 0);

	free(message);
	return result;
}

int set_stamp(struct bus *bus, uint32_t index, const void *bytes, uint32_t length,
	      uint32_t offset, uint32_t length_offset, uint32_t flags)
{
	struct umc_stamp stamp = {
		.index = index,
		.flags = flags,
		.length = length,
		.offset = offset,
		.length_offset = length_offset,
	};

	if (length <= sizeof(stamp.bytes))
		memcpy(stamp.bytes, bytes, length);
	return ioctl(bus->group, UMC_SET_STAMP, &stamp);
}

struct umc_stats stats_of(struct bus *bus, uint32_t index)
{
	struct umc_stats stats = { .index = index };

	CHECK(!ioctl(bus->group, UMC_GET_STATS, &stats));
	return stats;
}

uint32_t state_of(struct bus *bus, uint32_t index)
{
	struct umc_member_info info = { .index = index };

	CHECK(!ioctl(bus->group, UMC_GET_MEMBER, &info));
	return info.state;
}

uint64_t asked(struct bus *bus, uint32_t index, int reason)
{
	return stats_of(bus, index).asked[reason];
}

int pending_count(struct bus *bus, uint32_t caller, uint32_t callee)
{
	struct umc_pending_list list = { .caller = caller, .callee = callee };

	CHECK(!ioctl(bus->group, UMC_PENDING_LIST, &list));
	return list.count;
}

int pending_add(struct bus *bus, uint32_t caller, uint32_t callee, uint32_t key)
{
	struct umc_pending pending = { .caller = caller, .callee = callee, .key = key };

	return ioctl(bus->group, UMC_PENDING_ADD, &pending);
}

int pending_take(struct bus *bus, uint32_t caller, uint32_t callee, uint32_t key)
{
	struct umc_pending pending = { .caller = caller, .callee = callee, .key = key };

	return ioctl(bus->group, UMC_PENDING_TAKE, &pending);
}

int fill(struct bus *bus, struct client *from, struct client *to)
{
	int sent = 0;

	while (send_sized(from, TO(to->index), sent, 8000) == 8000 &&
	       !(state_of(bus, from->index) & UMC_STATE_DIRTY))
		sent++;
	/* The last one asked. */
	expect(from->daemon, sent);
	EQUAL(release(bus, from->index), 0);
	CHECK(sent > 3);
	return sent;
}

void catch_up(struct bus *bus, struct client *client)
{
	const uint32_t last = 0x7ffffff0;
	int64_t written;

	while ((written = daemon_send(bus, client->index, last)) != MINIMUM) {
		CHECK(written == -EBUSY || written == -EAGAIN);
		while (receive(client->fd) >= 0)
			;
		sched_yield();
	}
	while (receive(client->fd) != (int)last)
		;
}

void settle(struct bus *bus)
{
	for (unsigned int i = 0; i < bus->clients; i++)
		while (receive(bus->client[i].daemon) >= 0)
			;
	release_all(bus);
}

void wait_until_asleep(const _Atomic int *thread)
{
	char path[64], line[256], state = 0;

	while (!*thread)
		sched_yield();
	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", *thread);
	while (state != 'S') {
		FILE *file = fopen(path, "r");

		CHECK(file && fgets(line, sizeof(line), file));
		fclose(file);
		state = strrchr(line, ')')[2];
		sched_yield();
	}
}

unsigned long parameter(const char *name)
{
	char path[128], text[32] = {};
	int fd;

	snprintf(path, sizeof(path), PARAMETERS "%s", name);
	fd = open(path, O_RDONLY);
	CHECK(fd >= 0);
	CHECK(read(fd, text, sizeof(text) - 1) > 0);
	close(fd);
	return text[0] == 'Y' ? 1 : strtoul(text, NULL, 10);
}

bool appends(void)
{
	return socket_type == SOCK_STREAM && !access(PARAMETERS "append", F_OK) && parameter("append");
}
