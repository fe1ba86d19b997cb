/* SPDX-License-Identifier: GPL-2.0 */
/* Shared by the parts of the benchmark. */
#ifndef UMC_BENCH_H
#define UMC_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#define SIZE	128	/* of a whole message */
#define MANY	16	/* clients at most */

/* Seen by all processes of one case. */
struct shared {
	_Atomic uint64_t wake_ups;	/* of the daemon */
	_Atomic uint64_t received[MANY];
	_Atomic uint64_t done[MANY];	/* when a receiver had everything it waits for */
};

/* A way for clients to talk to each other. */
struct contender {
	const char *name;
	/* Makes a message of SIZE bytes from client @from to client @to, or to all (ALL). */
	size_t (*make)(void *buffer, int from, int to, uint32_t sequence);
	/* How long a message is, from its first 16 bytes. */
	size_t (*total)(const uint8_t *header);
	/* In the parent: sockets, and the daemon if there is one; returns its pid or 0. */
	pid_t (*start)(int clients);
	/* In each client's process: its socket. */
	int (*open)(int client);
	void (*stop)(pid_t daemon);
	bool fanout_only;
	bool lossy;
};

#define ALL	(-1)

#define DIE(what) do { perror(what); fprintf(stderr, "%s:%d\n", __FILE__, __LINE__); exit(1); } while (0)

extern struct shared *shared;
extern int receiver_fds[MANY];	/* of those that a send loop writes to */

/* plain.c */
extern const struct contender direct, relay, group;
uint64_t group_asked(void);
/* dbus.c */
extern const struct contender bus;
extern const char *bus_path;
/* datagrams.c */
extern const struct contender udp, netlink;

uint64_t now(void);

#endif
