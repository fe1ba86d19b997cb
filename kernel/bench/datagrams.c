// SPDX-License-Identifier: GPL-2.0
/* 1 to N by other transports: UDP multicast on loopback, and netlink multicast. */

#include <arpa/inet.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench.h"

static size_t make(void *buffer, int from, int to, uint32_t sequence)
{
	(void)to;
	memset(buffer, 0, SIZE);
	memcpy(buffer, &(struct nlmsghdr){ .nlmsg_len = SIZE, .nlmsg_pid = from, .nlmsg_seq = sequence },
	       sizeof(struct nlmsghdr));
	return SIZE;
}

static pid_t start(int clients)
{
	(void)clients;
	return 0;
}

static void stop(pid_t daemon)
{
	(void)daemon;
}

static int udp_open(int client)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_port = htons(7777), .sin_addr.s_addr = inet_addr("239.1.2.3"),
	};
	struct ip_mreqn group = {
		.imr_multiaddr = address.sin_addr, .imr_address.s_addr = htonl(INADDR_LOOPBACK),
	};
	int fd = socket(AF_INET, SOCK_DGRAM, 0), one = 1;

	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)))
		DIE("SO_REUSEADDR");
	if (!client) {
		if (setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &group, sizeof(group)) ||
		    connect(fd, (struct sockaddr *)&address, sizeof(address)))
			DIE("IP_MULTICAST_IF");
		return fd;
	}
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) ||
	    setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &group, sizeof(group)))
		DIE("IP_ADD_MEMBERSHIP");
	return fd;
}

const struct contender udp = { "udp", make, NULL, start, udp_open, stop, true, true };

static int netlink_open(int client)
{
	struct sockaddr_nl address = { .nl_family = AF_NETLINK, .nl_groups = 1 };
	int fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_USERSOCK);

	if (client) {
		if (bind(fd, (struct sockaddr *)&address, sizeof(address)))
			DIE("bind");
	} else if (connect(fd, (struct sockaddr *)&address, sizeof(address))) {
		DIE("connect");
	}
	return fd;
}

const struct contender netlink = { "netlink", make, NULL, start, netlink_open, stop, true, true };
