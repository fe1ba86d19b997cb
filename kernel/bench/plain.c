// SPDX-License-Identifier: GPL-2.0
/*
 * Messages that name their receiver in the first word: over socketpairs, through a minimal relay, and through a group with
 * a daemon that does what a daemon has to: it relays what asks, keeps what does not fit, and releases.
 */

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/filter.h>

#include "../include/uapi/linux/unix_multicast.h"
#include "bench.h"

struct message {
	uint32_t verdict;
	uint32_t length;
	uint32_t from;
	uint32_t sequence;
	char body[SIZE - 16];
};

static int ends[MANY][2];	/* client's, daemon's */
static int clients_now;
int receiver_fds[MANY];

static size_t make(void *buffer, int from, int to, uint32_t sequence)
{
	struct message *m = buffer;

	memset(m, 0, sizeof(*m));
	m->verdict = htonl(to == ALL ? UMC_MULTICAST : UMC_UNICAST | (uint32_t)to);
	m->length = htonl(SIZE);
	m->from = from;
	m->sequence = sequence;
	return sizeof(*m);
}

static size_t total(const uint8_t *header)
{
	(void)header;
	return SIZE;
}

static void make_ends(int clients)
{
	clients_now = clients;
	for (int i = 0; i < clients; i++)
		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends[i]))
			DIE("socketpair");
}

static int plain_open(int client)
{
	for (int i = 0; i < clients_now; i++) {
		close(ends[i][1]);
		if (i != client)
			close(ends[i][0]);
	}
	return ends[client][0];
}

static void stop(pid_t daemon)
{
	for (int i = 0; i < clients_now; i++) {
		close(ends[i][0]);
		close(ends[i][1]);
	}
	if (daemon > 0) {
		kill(daemon, SIGKILL);
		waitpid(daemon, NULL, 0);
	}
}

/* ---- direct: client 0 has a socketpair to each of the others ---- */

static pid_t direct_start(int clients)
{
	make_ends(clients);
	return 0;
}

static int direct_open(int client)
{
	if (client)
		return plain_open(client);
	for (int i = 1; i < clients_now; i++)
		receiver_fds[i] = ends[i][1];
	return clients_now == 2 ? ends[1][1] : -1;
}

const struct contender direct = { "direct", make, total, direct_start, direct_open, stop, false, false };

/* ---- the minimal relay: receive, send ---- */

/* What did not fit: only the slow receiver's case needs it. */
struct queue {
	char *bytes;
	size_t used, size;
};

static struct queue queues[MANY];

static void queue_add(struct queue *q, const void *data, size_t length)
{
	if (q->used + length > q->size) {
		q->size = (q->used + length) * 2;
		q->bytes = realloc(q->bytes, q->size);
		if (!q->bytes)
			DIE("realloc");
	}
	memcpy(q->bytes + q->used, data, length);
	q->used += length;
}

static void queue_take(struct queue *q, size_t length)
{
	memmove(q->bytes, q->bytes + length, q->used - length);
	q->used -= length;
}

static void wait_for_out(int poll_fd, int client, bool on)
{
	struct epoll_event event = { .events = EPOLLIN | (on ? EPOLLOUT : 0), .data.u32 = client };

	/* A client that has hung up is not watched any more. */
	if (epoll_ctl(poll_fd, EPOLL_CTL_MOD, ends[client][1], &event) && errno != ENOENT)
		DIE("epoll_ctl");
}

static void relay_send(int poll_fd, int to, const void *data, size_t length)
{
	ssize_t sent = 0;

	if (!queues[to].used) {
		sent = send(ends[to][1], data, length, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (sent < 0)
			sent = 0;
	}
	if (sent == (ssize_t)length)
		return;
	if (!queues[to].used)
		wait_for_out(poll_fd, to, true);
	queue_add(&queues[to], (char *)data + sent, length - sent);
}

static void relay_flush(int poll_fd, int to)
{
	ssize_t sent = send(ends[to][1], queues[to].bytes, queues[to].used, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (sent > 0)
		queue_take(&queues[to], sent);
	if (!queues[to].used)
		wait_for_out(poll_fd, to, false);
}

static int poll_ends(int clients)
{
	int poll_fd = epoll_create1(EPOLL_CLOEXEC);

	for (int i = 0; i < clients; i++) {
		struct epoll_event event = { .events = EPOLLIN, .data.u32 = i };

		close(ends[i][0]);
		if (epoll_ctl(poll_fd, EPOLL_CTL_ADD, ends[i][1], &event))
			DIE("epoll_ctl");
	}
	return poll_fd;
}

static void relay_dispatch(int poll_fd, int clients, const struct message *m)
{
	uint32_t verdict = ntohl(m->verdict);

	if ((verdict & UMC_KIND_MASK) == UMC_UNICAST) {
		relay_send(poll_fd, verdict & UMC_VERDICT_INDEX_MASK, m, SIZE);
		return;
	}
	for (int to = 0; to < clients; to++)
		if (to != (int)m->from)
			relay_send(poll_fd, to, m, SIZE);
}

static void relay_run(int clients)
{
	int poll_fd = poll_ends(clients);
	struct epoll_event events[MANY];
	static char buffer[65536];

	for (;;) {
		int n = epoll_wait(poll_fd, events, MANY, -1);

		shared->wake_ups++;
		for (int i = 0; i < n; i++) {
			int from = events[i].data.u32;
			ssize_t got;

			if (events[i].events & EPOLLHUP) {
				epoll_ctl(poll_fd, EPOLL_CTL_DEL, ends[from][1], NULL);
				continue;
			}
			if (events[i].events & EPOLLOUT)
				relay_flush(poll_fd, from);
			if (!(events[i].events & EPOLLIN))
				continue;
			got = recv(ends[from][1], buffer, sizeof(buffer), MSG_DONTWAIT);
			for (ssize_t at = 0; at + SIZE <= got; at += SIZE)
				relay_dispatch(poll_fd, clients, (struct message *)(buffer + at));
		}
	}
}

static pid_t relay_start(int clients)
{
	pid_t pid;

	make_ends(clients);
	pid = fork();
	if (pid == 0)
		relay_run(clients);
	return pid;
}

const struct contender relay = { "relay", make, total, relay_start, plain_open, stop, false, false };

/* ---- the group ---- */

static int group_fd;

static void set_filter(uint32_t which, uint32_t index, const struct sock_filter *code, uint32_t length)
{
	struct umc_program program = { .instructions = (uintptr_t)code, .length = length };
	struct umc_filter filter = {
		.index = index, .which = which, .count = 1, .programs = (uintptr_t)&program,
	};

	if (ioctl(group_fd, UMC_SET_FILTER, &filter))
		DIE("UMC_SET_FILTER");
}

static void group_release(int client)
{
	struct umc_release_entry entry = { .index = client };
	struct umc_write call = { .releases = (uintptr_t)&entry, .release_count = 1 };

	ioctl(group_fd, UMC_WRITE, &call);
}

static void group_add(int listener, int client)
{
	static const struct sock_filter egress[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_LEN, 0),
		BPF_STMT(BPF_MISC | BPF_TAX, 0),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct message, length)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_X, 0, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, UMC_ASK),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct message, verdict)),
		BPF_STMT(BPF_RET | BPF_A, 0),
	};
	const struct sock_filter ingress[] = {
		/* Not its own: the mark is the sender's index. */
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, SKF_AD_OFF + SKF_AD_MARK),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, client, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, UMC_YES),
		BPF_STMT(BPF_RET | BPF_K, UMC_NO),
	};
	struct umc_add add = {
		.listener_fd = listener, .accepted_fd = ends[client][1], .index = client, .mark = client,
	};

	if (ioctl(group_fd, UMC_ADD, &add))
		DIE("UMC_ADD");
	set_filter(UMC_FILTER_EGRESS, client, egress, sizeof(egress) / sizeof(egress[0]));
	set_filter(UMC_FILTER_INGRESS, client, ingress, sizeof(ingress) / sizeof(ingress[0]));
	group_release(client);
}

static void group_setup(int clients)
{
	static const struct sock_filter no = BPF_STMT(BPF_RET | BPF_K, UMC_NO);
	struct umc_create create = {
		.version = UMC_VERSION, .max_members = MANY, .max_pending = 64, .address_fd = -1,
	};
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	socklen_t length = sizeof(address);
	int device = open(UMC_DEVICE, O_RDWR | O_CLOEXEC);
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	group_fd = ioctl(device, UMC_CREATE, &create);
	if (group_fd < 0 || bind(listener, (struct sockaddr *)&address, sizeof(sa_family_t)) ||
	    getsockname(listener, (struct sockaddr *)&address, &length) || listen(listener, MANY))
		DIE("group");
	set_filter(UMC_FILTER_REST, UMC_ANY, &no, 1);
	clients_now = clients;
	for (int i = 0; i < clients; i++) {
		ends[i][0] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (connect(ends[i][0], (struct sockaddr *)&address, length))
			DIE("connect");
		ends[i][1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		group_add(listener, i);
	}
	close(device);
	close(listener);
}

/* The queue of each listed receiver, as one batch; what does not fit stays, and its receiver held. */
static void group_flush(int poll_fd, const bool *touched, int clients)
{
	struct umc_write_entry entries[MANY] = {};
	struct iovec iov[MANY];
	struct umc_write call = { .entries = (uintptr_t)entries };

	for (int to = 0; to < clients; to++) {
		if (!touched[to] || !queues[to].used)
			continue;
		iov[call.count] = (struct iovec){ queues[to].bytes, queues[to].used };
		entries[call.count] = (struct umc_write_entry){
			.index = to, .iov = (uintptr_t)&iov[call.count], .iov_count = 1,
		};
		call.count++;
	}
	if (call.count && ioctl(group_fd, UMC_WRITE, &call) < 0)
		DIE("UMC_WRITE");
	for (uint32_t i = 0; i < call.count; i++) {
		int to = entries[i].index;

		if (entries[i].result > 0)
			queue_take(&queues[to], entries[i].result);
		wait_for_out(poll_fd, to, queues[to].used);
	}
}

static void group_queue(const struct message *m, bool *touched, int clients)
{
	uint32_t verdict = ntohl(m->verdict);

	for (int to = 0; to < clients; to++) {
		if ((verdict & UMC_KIND_MASK) == UMC_UNICAST ? to != (int)(verdict & UMC_VERDICT_INDEX_MASK) :
							       to == (int)m->from)
			continue;
		queue_add(&queues[to], m, SIZE);
		touched[to] = true;
	}
}

static void group_run(int clients)
{
	int poll_fd = poll_ends(clients);
	struct epoll_event events[MANY];
	static char buffer[MANY][65536];
	size_t kept[MANY] = {};

	for (;;) {
		int n = epoll_wait(poll_fd, events, MANY, -1);
		bool touched[MANY] = {};

		shared->wake_ups++;
		for (int i = 0; i < n; i++) {
			int from = events[i].data.u32;
			ssize_t got;
			size_t at = 0;

			if (events[i].events & EPOLLHUP) {
				epoll_ctl(poll_fd, EPOLL_CTL_DEL, ends[from][1], NULL);
				continue;
			}
			if (events[i].events & EPOLLOUT)
				touched[from] = true;
			if (!(events[i].events & EPOLLIN))
				continue;
			got = recv(ends[from][1], buffer[from] + kept[from], 65536 - kept[from], MSG_DONTWAIT);
			if (got > 0)
				kept[from] += got;
			for (; at + SIZE <= kept[from]; at += SIZE)
				group_queue((struct message *)(buffer[from] + at), touched, clients);
			kept[from] -= at;
			memmove(buffer[from], buffer[from] + at, kept[from]);
		}
		group_flush(poll_fd, touched, clients);
		for (int i = 0; i < n; i++)
			if (events[i].events & EPOLLIN && !kept[events[i].data.u32])
				group_release(events[i].data.u32);
	}
}

/* Messages that asked, since the group was made. */
uint64_t group_asked(void)
{
	struct umc_stats stats = { .index = UMC_ANY };
	uint64_t sum = 0;

	if (ioctl(group_fd, UMC_GET_STATS, &stats))
		DIE("UMC_GET_STATS");
	for (int i = 0; i < UMC_ASKED_REASONS; i++)
		sum += stats.asked[i];
	return sum;
}

static pid_t group_start(int clients)
{
	pid_t pid;

	group_setup(clients);
	pid = fork();
	if (pid == 0)
		group_run(clients);
	return pid;
}

static int group_open(int client)
{
	/* Client 0 of the slow receiver's case is the parent, which reads the counters. */
	if (client)
		close(group_fd);
	return plain_open(client);
}

static void group_stop(pid_t daemon)
{
	stop(daemon);
	close(group_fd);
}

const struct contender group = { "group", make, total, group_start, group_open, group_stop, false, false };
